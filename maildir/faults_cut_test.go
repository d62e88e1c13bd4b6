package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
)

// faultRun tries one operation.
type faultRun struct {
	t             testing.TB
	op            faultOp
	counts        *faultCounts
	base          *crashfs.FS
	before, after *facts
	kinds         []crashfs.Op // its calls
	seen          map[string]bool
	effort        effort
	// under puts a file layer between the store and the disk.
	under func(durable.FS) durable.FS
}

// effort is how much is tried.
type effort struct {
	// states of a power cut, of one that follows the end of a process, of one that follows a failure, and of one in the next start.
	states, killed, failed, again int
	// recuts is how many states of a cut have the next start cut as well, before every step-th call.
	recuts, step int
	// both has the process cut before and after each call: the second is the first of the next call, but for what the
	// caller has seen.
	both bool
	// calls and reads are about how many calls of an operation are tried.
	calls, reads int
}

func effortOf() effort {
	if os.Getenv("MAILBRICKS_LONG") != "" {
		return effort{states: crashfs.MaxStates, killed: 12, failed: 4, again: 4, recuts: 2, step: 1, both: true, calls: 1 << 30, reads: 1 << 30}
	}
	if withRace {
		return effort{states: 4, killed: 1, failed: 1, again: 1, step: 1, calls: 2, reads: 1}
	}
	return effort{states: 8, killed: 2, failed: 1, again: 1, recuts: 1, step: 7, calls: 6, reads: 3}
}

// newFaultRun learns what the operation does when there are no faults.
func newFaultRun(t testing.TB, op faultOp, counts *faultCounts) *faultRun {
	r := &faultRun{t: t, op: op, counts: counts, base: faultBase(t), seen: map[string]bool{}, effort: effortOf(),
		under: func(fsys durable.FS) durable.FS { return fsys }}
	if op.prepare != nil {
		w := r.world(r.base, r.base, 0)
		require.NoError(t, op.prepare(w))
		w.stop()
		r.base = r.base.Clone()
	}
	r.before = r.look(r.base.Clone())
	w := r.start(r.base.Clone())
	calls := w.fs.Calls()
	w.fs.Fail(func(op crashfs.Op) error {
		r.kinds = append(r.kinds, op)
		return nil
	})
	require.NoError(t, op.do(w))
	w.fs.Fail(nil)
	counts.calls = w.fs.Calls() - calls
	w.stop()
	r.after = r.look(w.fs)
	return r
}

func (r *faultRun) look(fsys *crashfs.FS) *facts {
	w := r.world(fsys, fsys, 0)
	defer w.stop()
	f, err := w.facts()
	require.NoError(r.t, err)
	return f
}

// world begins a process, so many hours after the first, that looks at the accounts of the operation.
func (r *faultRun) world(fsys *crashfs.FS, under durable.FS, hours int) *faultWorld {
	w := startWorld(fsys, under, r.op.limit, hours)
	if r.op.all {
		w.users = faultUsers()
	}
	return w
}

// start begins a process that is about to do the operation.
func (r *faultRun) start(fsys *crashfs.FS) *faultWorld {
	w := r.world(fsys, r.under(fsys), 0)
	for _, name := range r.op.open {
		_, err := w.box(name)
		require.NoError(r.t, err)
	}
	return w
}

// stride has about so many of n tried.
func stride(n, limit int) int { return 1 + (n-1)/limit }

// cutEverywhere cuts the operation before and after each of its calls.
func (r *faultRun) cutEverywhere() {
	step, last := stride(r.counts.calls, r.effort.calls), r.counts.calls+1 // it is done before that call
	for n := 1; n <= last; n++ {
		if n%step != 0 && n > 1 && n < r.counts.calls {
			continue
		}
		r.cut(n, true)
		if r.effort.both {
			r.cut(n, false)
		}
	}
}

// cut cuts the operation before or after its n-th call.
func (r *faultRun) cut(n int, before bool) {
	w := r.start(r.base.Clone())
	at := w.fs.Calls() + n
	if before {
		w.fs.CrashBefore(at)
	} else {
		w.fs.CrashAfter(at)
	}
	err := r.op.do(w)
	w.fs.Crash()
	w.stop()
	r.counts.cuts++
	c := cutInfo{told: err == nil || w.answers, note: w.note, where: fmt.Sprintf("cut after %s", lastCall(w.fs, before))}
	r.powerCut(w.fs, c)
	if !before || !r.effort.both {
		r.kill(w.fs, c)
	}
}

// cutInfo is what is known of a cut.
type cutInfo struct {
	told        bool
	note, where string
}

func (c cutInfo) at(where string) cutInfo {
	c.where += where
	return c
}

func lastCall(fsys *crashfs.FS, before bool) string {
	log := fsys.Log()
	if before && len(log) > 1 {
		log = log[:len(log)-1]
	}
	return log[len(log)-1].String()
}

// fresh says whether a state was not tried yet.
func (r *faultRun) fresh(kind string, fsys *crashfs.FS) bool {
	r.counts.states++
	key := kind + print(fsys)
	if r.seen[key] {
		return false
	}
	r.seen[key] = true
	r.counts.distinct++
	return true
}

// powerCut tries the states of the disk.
func (r *faultRun) powerCut(fsys *crashfs.FS, c cutInfo) {
	tried := 0
	for s := range fsys.Some(r.effort.states) {
		if !r.fresh(fmt.Sprint(c.told), s.FS) {
			continue
		}
		if tried++; tried <= r.effort.recuts {
			r.cutRestart(s.FS, c.at(", state "+s.What))
		}
		r.restart(s.FS, c.at(", state "+s.What))
	}
}

// cutRestart cuts the next start, too.
func (r *faultRun) cutRestart(fsys *crashfs.FS, c cutInfo) {
	for n := 1; ; n += r.effort.step {
		again := fsys.Clone()
		again.CrashAfter(n)
		w := r.world(again, again, 0)
		_, err := w.facts()
		w.stop()
		if !again.Crashed() {
			if err != nil {
				r.counts.find(&r.counts.wrong, "%s: the next start: %v", c.where, err)
			}
			return
		}
		r.counts.recuts++
		for s := range again.Some(r.effort.again) {
			if r.fresh(fmt.Sprint(c.told), s.FS) {
				r.restart(s.FS, c.at(", the next start cut after "+lastCall(again, false)+", state "+s.What))
			}
		}
	}
}

// restart begins two processes, one after the other, and looks at what they find.
func (r *faultRun) restart(fsys *crashfs.FS, c cutInfo) {
	where := c.where
	left := filesOf(fsys)
	w := r.world(fsys, fsys, 0)
	first, err := w.facts()
	if err == nil {
		err = r.hears(w, first)
	}
	w.stop()
	if err != nil {
		r.counts.find(&r.counts.wrong, "%s: the next start: %v", where, err)
		return
	}
	repaired := filesOf(fsys)
	if len(differences(repaired, left)) > 0 {
		r.counts.repaired++
	}
	j := judge{r.before, r.after, c.told, r.op.pieces, r.counts, where}
	j.count(j.check(first))

	w = r.world(fsys, fsys, 40) // later: what is left behind is old by now
	second, err := w.facts()
	if err != nil {
		r.counts.find(&r.counts.wrong, "%s: the second start: %v", where, err)
		w.stop()
		return
	}
	if diff := differences(second.values, first.values); len(diff) > 0 {
		r.counts.find(&r.counts.wrong, "%s: the second start: %s", where, strings.Join(diff, "; "))
	}
	if again := differences(filesOf(fsys), repaired); len(again) > 0 {
		r.counts.find(&r.counts.wrong, "%s: the second start has something to repair: %s", where, strings.Join(again, "; "))
	}
	err = r.worksOn(w, second)
	if err == nil && r.op.verify != nil {
		err = r.op.verify(w, c.told, c.note)
	}
	w.stop()
	if err != nil {
		r.counts.find(&r.counts.wrong, "%s: %v", where, err)
	}
	for _, left := range leftovers(fsys) {
		if r.op.stays == nil || !r.op.stays(left) {
			r.counts.find(&r.counts.wrong, "%s: left behind: %s", where, left)
		}
	}
}

// filesOf has the contents of all files by name, without those that were not finished.
func filesOf(fsys *crashfs.FS) map[string]string {
	out := map[string]string{}
	for e := range fsys.Walk() {
		if !unfinished(e.Name) {
			out[e.Name] = string(e.Data)
		}
	}
	return out
}

func unfinished(name string) bool {
	return strings.Contains(name, "/tmp/") || strings.HasSuffix(name, ".tmp")
}

// leftovers are files that are nobody's, and lines that Dovecot could not read.
func leftovers(fsys *crashfs.FS) []string {
	var out []string
	for e := range fsys.Walk() {
		base := e.Name[strings.LastIndexByte(e.Name, '/')+1:]
		switch {
		case unfinished(e.Name), strings.HasPrefix(base, ".."):
			out = append(out, e.Name)
		case !isSealed(e.Data) && !dovecotReads(base, string(e.Data)):
			out = append(out, fmt.Sprintf("%s: %q", e.Name, e.Data))
		}
	}
	return out
}

var (
	uidlistText  = regexp.MustCompile(`^3 V\d+ N\d+( [A-Z][^ \n]*)*\n(\d+ ([A-Z][^ \n]* )*:[^:/\n]+\n)*$`)
	keywordsText = regexp.MustCompile(`^(\d+ [^ \n]+\n)*$`)
	subsText     = regexp.MustCompile(`^V\t2\n\n([^\n]+\n)*$`)
)

// dovecotReads says whether a file that is Dovecot's is written as Dovecot does.
func dovecotReads(base, data string) bool {
	switch base {
	case "dovecot-uidlist":
		return uidlistText.MatchString(data)
	case "dovecot-keywords":
		return keywordsText.MatchString(data)
	case "subscriptions":
		return subsText.MatchString(data)
	}
	return true
}

// hears asks for the changes since before the operation, which have to explain all that is not as it was.
func (r *faultRun) hears(w *faultWorld, now *facts) error {
	for key, was := range r.before.boxes {
		is, there := now.boxes[key]
		if !there {
			continue
		}
		c, err := r.changes(w, key.user, is.name, was.seq)
		if errors.Is(err, mailbox.ErrTooOld) {
			continue
		}
		if err != nil {
			return err
		}
		heard := map[mailbox.UID]bool{}
		for _, m := range c.Changed {
			heard[m.UID] = true
		}
		for _, uid := range c.Expunged {
			if _, there := is.texts[uid]; there {
				return fmt.Errorf("UID %d of %s is there and said to have gone", uid, is.name)
			}
			heard[uid] = true
		}
		for uid := range is.texts {
			if _, old := was.texts[uid]; (!old || is.flags[uid] != was.flags[uid]) && !heard[uid] {
				return fmt.Errorf("nobody hears of UID %d of %s: %s", uid, is.name, is.flags[uid])
			}
		}
		for uid := range was.texts {
			if _, there := is.texts[uid]; !there && !heard[uid] {
				return fmt.Errorf("nobody hears that UID %d of %s is gone", uid, is.name)
			}
		}
	}
	return nil
}

func (r *faultRun) changes(w *faultWorld, user, name string, since mailbox.ModSeq) (c mailbox.Changes, err error) {
	s, err := w.m.Store(context.Background(), mailbricks.Identity{User: user})
	if err != nil {
		return c, err
	}
	defer s.Close()
	b, err := s.Open(context.Background(), name)
	if err != nil {
		return c, err
	}
	defer b.Close()
	return b.Changes(context.Background(), since)
}

// worksOn puts one more message into each mailbox.
func (r *faultRun) worksOn(w *faultWorld, now *facts) error {
	for key, box := range now.boxes {
		if key.user != ann || r.op.limit > 0 {
			continue
		}
		if err := w.append(box.name, "afterwards"); err != nil {
			return fmt.Errorf("%s: afterwards: %w", box.name, err)
		}
		uids, _, err := w.boxes[box.name].UIDs(context.Background())
		if err != nil {
			return err
		}
		if len(uids) != len(box.texts)+1 || uids[len(uids)-1] < box.next {
			return fmt.Errorf("%s: one more than %d, from %d: %v", box.name, len(box.texts), box.next, uids)
		}
	}
	return nil
}

// kill ends the process alone. What the next one finds is not on disk yet; what it tells has to be.
func (r *faultRun) kill(fsys *crashfs.FS, c cutInfo) {
	fsys.Restart()
	w := r.world(fsys, fsys, 0)
	found, err := w.facts()
	fsys.Crash()
	w.stop()
	if err != nil {
		r.counts.find(&r.counts.wrong, "%s, killed: %v", c.where, err)
		return
	}
	j := judge{r.before, r.after, c.told, r.op.pieces, r.counts, c.where + ", killed"}
	j.count(j.check(found))
	for s := range fsys.Some(r.effort.killed) {
		if !r.fresh("killed", s.FS) {
			continue
		}
		w := r.world(s.FS, s.FS, 0)
		later, err := w.facts()
		w.stop()
		if err != nil {
			r.counts.find(&r.counts.wrong, "%s, killed, then a power cut: %v", c.where, err)
			continue
		}
		j := judge{found, found, true, false, r.counts, c.where + ", killed, then a power cut, state " + s.What}
		j.check(later)
	}
}
