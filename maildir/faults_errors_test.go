package maildir_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"

	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// fault is how calls fail.
type fault int

const (
	failsOnce    fault = iota // one call
	diskIsFull                // all that need room, from one call on
	diskIsBroken              // all that change something, from one call on
)

// failEverywhere has each call fail once, and has the disk full or broken from each call on.
func (r *faultRun) failEverywhere() {
	reads := 0
	for _, op := range r.kinds {
		if op.N == 0 {
			reads++
		}
	}
	writes := len(r.kinds) - reads
	readStep, writeStep := stride(reads, r.effort.reads), stride(writes, r.effort.calls)
	reads, writes = 0, 0
	for i, op := range r.kinds {
		if op.N == 0 {
			if reads++; reads%readStep == 0 {
				r.fail(i+1, failsOnce)
			}
			continue
		}
		if writes++; writes%writeStep != 0 {
			continue
		}
		for _, kind := range []fault{failsOnce, diskIsFull, diskIsBroken} {
			r.fail(i+1, kind)
		}
	}
}

// fail has the n-th call of the operation fail, or more from then on.
func (r *faultRun) fail(n int, kind fault) {
	w := r.start(r.base.Clone())
	calls, failed := 0, crashfs.Op{}
	w.fs.Fail(func(op crashfs.Op) error {
		calls++
		err := error(nil)
		switch {
		case kind == failsOnce && calls == n, kind == diskIsBroken && calls >= n && op.N > 0:
			err = syscall.EIO
		case kind == diskIsFull && calls >= n && (needsRoom(op) || calls == n && op.Kind == "rename"):
			err = syscall.ENOSPC
		}
		if err != nil && failed.Kind == "" {
			failed = op
		}
		return err
	})
	err := r.op.do(w)
	w.fs.Fail(nil)
	if failed.Kind == "" { // the calls are not always in the same order
		w.stop()
		return
	}
	r.counts.errors++
	where := fmt.Sprintf([]string{"%s fails", "the disk is full from %s", "the disk is broken from %s"}[kind], failed)
	if errors.As(err, new(errNotTemporary)) {
		r.counts.find(&r.counts.wrong, "%s: not a temporary failure: %v", where, err)
	}
	told := err == nil || w.answers
	if told {
		r.counts.accepted++
	} else {
		r.counts.refused++
	}
	if now, lookErr := w.facts(); lookErr != nil {
		r.counts.find(&r.counts.wrong, "%s: %v", where, lookErr)
	} else {
		j := judge{r.before, r.after, told, r.op.pieces, r.counts, fmt.Sprintf("%s (%v)", where, err)}
		j.check(now)
	}
	r.again(w, told, kind, where)
	w.stop()
}

// needsRoom says whether a call fails for want of room. A rename can as well, but hardly the one that undoes it.
func needsRoom(op crashfs.Op) bool {
	switch op.Kind {
	case "create", "write", "mkdir", "link":
		return true
	}
	return false
}

// again does an operation that has failed once more, and wants everything to be as after it, for good.
// What a broken disk did not let the operation take back may be there once more then.
func (r *faultRun) again(w *faultWorld, told bool, kind fault, where string) {
	want := r.after.shape(r.before)
	now, err := w.facts()
	if err != nil {
		r.counts.find(&r.counts.wrong, "%s: %v", where, err)
		return
	}
	if !told {
		if maps.Equal(now.shape(r.before), want) {
			return // it is done, though not for certain: there is nothing to do once more
		}
		err := r.op.do(w)
		if now, lookErr := w.facts(); err != nil && (lookErr != nil || !maps.Equal(now.shape(r.before), want)) {
			r.counts.find(&r.counts.wrong, "%s, and once more: %v", where, err)
			return
		} // an error says, too, that the first try has done it: the mailbox has no longer its old name
	}
	if now, err = w.facts(); err != nil {
		r.counts.find(&r.counts.wrong, "%s, and once more: %v", where, err)
		return
	}
	most := want
	if kind == diskIsBroken && !r.op.strict {
		most = r.twice(want)
	}
	if wrong := between(now.shape(r.before), want, most); len(wrong) > 0 {
		r.counts.find(&r.counts.wrong, "%s, and once more: %v", where, strings.Join(wrong, "; "))
		return
	}
	w.fs.Crash()
	for s := range w.fs.Some(r.effort.failed) {
		if !r.fresh("failed", s.FS) {
			continue
		}
		w := r.world(s.FS, s.FS, 0)
		later, err := w.facts()
		w.stop()
		if err != nil {
			r.counts.find(&r.counts.wrong, "%s, and once more, then a power cut: %v", where, err)
			continue
		}
		j := judge{now, now, true, false, r.counts, where + ", and once more, then a power cut, state " + s.What}
		j.check(later)
	}
}

// twice has the messages that are new twice.
func (r *faultRun) twice(want map[string]int) map[string]int {
	out, was := maps.Clone(want), r.before.shape(r.before)
	for what, n := range want {
		if more := n - was[what]; more > 0 && strings.Contains(what, "Subject: ") {
			out[what] = was[what] + 2*more
		}
	}
	return out
}
