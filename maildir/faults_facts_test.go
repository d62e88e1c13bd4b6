package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
)

// facts is what clients of all accounts can see.
type facts struct {
	// values are single facts by what they are about: the text and flags of a message, that a mailbox is there.
	values map[string]string
	// bodies counts the messages of each account with a text, in all of its mailboxes.
	bodies map[string]int
	// boxes are the mailboxes by account and UIDVALIDITY.
	boxes map[boxKey]boxFacts
	// used is how much mail each account has.
	used map[string]mailbox.Usage
}

type boxKey struct {
	user     string
	validity uint32
}

type boxFacts struct {
	name  string
	next  mailbox.UID
	seq   mailbox.ModSeq
	texts map[mailbox.UID]string
	flags map[mailbox.UID]string
}

// facts looks at everything.
func (w *faultWorld) facts() (*facts, error) {
	f := &facts{values: map[string]string{}, bodies: map[string]int{}, boxes: map[boxKey]boxFacts{}, used: map[string]mailbox.Usage{}}
	for _, user := range w.users {
		s, err := w.m.Store(context.Background(), mailbricks.Identity{User: user})
		if err == nil {
			err = errors.Join(f.addAccount(user, s), s.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", user, err)
		}
	}
	return f, nil
}

func (f *facts) addAccount(user string, s mailbox.Store) error {
	infos, err := s.List(context.Background())
	if err != nil {
		return err
	}
	for _, info := range infos {
		if info.Subscribed {
			f.values[user+" subscribed "+info.Name] = "yes"
		}
		if info.NoSelect || info.NonExistent {
			continue
		}
		f.values[user+" use "+info.Name] = fmt.Sprint(info.Uses)
		b, err := s.Open(context.Background(), info.Name)
		if err == nil {
			err = errors.Join(f.addBox(user, info.Name, b), b.Close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", info.Name, err)
		}
	}
	quota, err := s.(mailbox.QuotaKeeper).Quota(context.Background())
	if err != nil {
		return err
	}
	if quota.Used != f.used[user] {
		return fmt.Errorf("quota: %+v is counted and %+v is there", quota.Used, f.used[user])
	}
	if a, ok := s.(mailbox.Annotator); ok {
		for _, name := range append([]string{""}, names(infos)...) {
			list, err := a.Annotations(context.Background(), name)
			if err != nil {
				return fmt.Errorf("annotations of %q: %w", name, err)
			}
			for _, note := range list {
				f.values[user+" note "+name+" "+note.Entry] = string(note.Value)
			}
		}
	}
	return nil
}

// names are those of the mailboxes that can be opened.
func names(infos []mailbox.Info) []string {
	var out []string
	for _, info := range infos {
		if !info.NoSelect && !info.NonExistent {
			out = append(out, info.Name)
		}
	}
	return out
}

func (f *facts) addBox(user, name string, b mailbox.Mailbox) error {
	ctx := context.Background()
	st, err := b.Status(ctx)
	if err != nil {
		return err
	}
	uids, _, err := b.UIDs(ctx)
	if err != nil {
		return err
	}
	metas, err := b.Messages(ctx, uids)
	if err != nil {
		return err
	}
	if len(metas) != len(uids) || st.Messages != len(uids) {
		return fmt.Errorf("%d UIDs, %d messages, %d by STATUS", len(uids), len(metas), st.Messages)
	}
	box := boxFacts{name: name, next: st.UIDNext, seq: st.ModSeq, texts: map[mailbox.UID]string{}, flags: map[mailbox.UID]string{}}
	f.values[user+" box "+name] = fmt.Sprint(st.UIDValidity)
	for _, m := range metas {
		c, err := b.Content(ctx, m.UID)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		if err = errors.Join(err, c.Close()); err != nil {
			return err
		}
		if int64(len(text)) != m.Size || m.UID >= st.UIDNext || m.ModSeq > st.ModSeq {
			return fmt.Errorf("UID %d: %d octets for %d, modseq %d of %d", m.UID, len(text), m.Size, m.ModSeq, st.ModSeq)
		}
		flags, body := flagText(m.Flags), withoutDeliveredTo(string(text))
		box.texts[m.UID], box.flags[m.UID] = body, flags
		f.values[fmt.Sprintf("%s message %s %d", user, name, m.UID)] = flags + " " + body
		f.bodies[user+" "+body]++
		f.used[user] = mailbox.Usage{Octets: f.used[user].Octets + int64(len(text)), Messages: f.used[user].Messages + 1}
	}
	f.boxes[boxKey{user, st.UIDValidity}] = box
	return nil
}

// withoutDeliveredTo takes off a field that a message has only where it was delivered to one recipient: whoever is left when it
// is tried again is.
func withoutDeliveredTo(text string) string {
	before, rest, ok := strings.Cut(text, "Delivered-To: ")
	if !ok {
		return text
	}
	_, rest, _ = strings.Cut(rest, "\r\n")
	return before + rest
}

func flagText(flags []mailbox.Flag) string {
	list := make([]string, len(flags))
	for i, f := range flags {
		list[i] = string(f)
	}
	sort.Strings(list)
	return "[" + strings.Join(list, " ") + "]"
}

// known makes the UIDVALIDITY of mailboxes that are not in base the same in every run: it comes from the time.
func (f *facts) known(base *facts) map[string]string {
	out := maps.Clone(f.values)
	for key, box := range f.boxes {
		if _, old := base.boxes[key]; !old {
			out[key.user+" box "+box.name] = "new"
		}
	}
	return out
}

// shape are the facts without the UIDs of messages that are not in base, which are other ones when something is tried again.
func (f *facts) shape(base *facts) map[string]int {
	out := map[string]int{}
	for what, value := range f.known(base) {
		if !strings.Contains(what, " message ") {
			out[what+"="+value] = 1
		}
	}
	for key, box := range f.boxes {
		for uid, text := range box.texts {
			place := fmt.Sprintf("%s %s %d", key.user, box.name, uid)
			if old, ok := base.boxes[key]; !ok || uid >= old.next {
				place = key.user + " " + box.name
			}
			out[place+" "+box.flags[uid]+" "+text]++
		}
	}
	return out
}

// differences lists the facts that are not the same.
func differences(got, want map[string]string) []string {
	var out []string
	for what, value := range got {
		if want[what] != value {
			out = append(out, fmt.Sprintf("%s is %q, not %q", what, value, want[what]))
		}
	}
	for what, value := range want {
		if _, there := got[what]; !there {
			out = append(out, fmt.Sprintf("%s is missing, not %q", what, value))
		}
	}
	slices.Sort(out)
	return out
}

// judge compares what is there with what was there before and with what is there after the operation. told says that the
// caller was told that it was done.
type judge struct {
	before, after *facts
	told, pieces  bool
	counts        *faultCounts
	where         string
}

// outcome says what a cut has left.
type outcome int

const (
	wrongly outcome = iota
	done
	undone
	partly
)

func (j *judge) count(o outcome) {
	j.counts.mu.Lock()
	defer j.counts.mu.Unlock()
	switch o {
	case done:
		j.counts.done++
	case undone:
		j.counts.undone++
	case partly:
		j.counts.partly++
	}
}

func (j *judge) check(got *facts) outcome {
	j.checkBodies(got)
	j.checkMeaning(got)
	if j.told {
		if wrong := differences(got.known(j.before), j.after.known(j.before)); len(wrong) > 0 {
			j.counts.find(&j.counts.wrong, "%s: it was done, but %s", j.where, strings.Join(wrong, "; "))
			return wrongly
		}
		return done
	}
	// Nobody was told of the UIDs of new messages.
	is, was, will := got.shape(j.before), j.before.shape(j.before), j.after.shape(j.before)
	switch {
	case maps.Equal(is, was):
		return undone
	case maps.Equal(is, will):
		return done
	}
	wrong := between(is, was, will)
	if !j.pieces {
		wrong = append(between(is, was, was), between(is, will, will)...)
	}
	if len(wrong) == 0 {
		return partly
	}
	j.counts.find(&j.counts.wrong, "%s: neither as before nor as after: %s", j.where, strings.Join(wrong, "; "))
	return wrongly
}

// between lists what is there less often than in both others, or more often.
func between(got, a, b map[string]int) []string {
	all := maps.Clone(got)
	maps.Copy(all, a)
	maps.Copy(all, b)
	var out []string
	for what := range all {
		if n := got[what]; n < min(a[what], b[what]) || n > max(a[what], b[what]) {
			out = append(out, fmt.Sprintf("%d, not %d to %d: %q", n, a[what], b[what], what))
		}
	}
	slices.Sort(out)
	return out
}

// checkBodies counts what is lost and what is there too often, wherever it is.
func (j *judge) checkBodies(got *facts) {
	for body, n := range got.bodies {
		most := j.after.bodies[body]
		if !j.told {
			most = max(most, j.before.bodies[body])
		}
		switch {
		case j.before.bodies[body] == 0 && j.after.bodies[body] == 0:
			j.counts.find(&j.counts.meaning, "%s: a message that nobody sent: %q", j.where, body)
		case n > most:
			j.counts.find(&j.counts.doubled, "%s: %d times: %q", j.where, n, body)
		}
	}
	for body, least := range j.after.bodies {
		if !j.told {
			least = min(least, j.before.bodies[body])
		}
		if got.bodies[body] < least {
			j.counts.find(&j.counts.lost, "%s: %d of %d: %q", j.where, got.bodies[body], least, body)
		}
	}
}

// checkMeaning wants what a UID, a UIDVALIDITY and a modseq stood for to be what they stand for.
func (j *judge) checkMeaning(got *facts) {
	known := []*facts{j.before}
	if j.told {
		known = append(known, j.after)
	}
	newest := map[string]uint32{}
	for key := range j.before.boxes {
		newest[key.user] = max(newest[key.user], key.validity)
	}
	for key, box := range got.boxes {
		if _, old := j.before.boxes[key]; !old && key.validity <= newest[key.user] {
			j.counts.find(&j.counts.meaning, "%s: %s has UIDVALIDITY %d, which is not new", j.where, box.name, key.validity)
		}
		for _, f := range known {
			old, ok := f.boxes[key]
			if !ok {
				continue
			}
			if box.next < old.next || box.seq < old.seq {
				j.counts.find(&j.counts.meaning, "%s: %s goes back: UIDNEXT %d after %d, modseq %d after %d", j.where, box.name,
					box.next, old.next, box.seq, old.seq)
			}
			for uid, text := range box.texts {
				if was, ok := old.texts[uid]; ok && was != text || !ok && uid < old.next {
					j.counts.find(&j.counts.meaning, "%s: UID %d of %s is %q, was %q", j.where, uid, box.name, text, was)
				}
			}
		}
	}
}
