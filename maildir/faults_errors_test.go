package maildir_test

import (
	"errors"
	"fmt"
	"maps"
	"syscall"

	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// failEverywhere has each call fail once, and has the disk full from each call on.
func (r *faultRun) failEverywhere() {
	for n := 1; r.fail(n, false); n++ {
	}
	for n := 1; r.fail(n, true); n++ {
	}
}

// fail has the n-th call of the operation fail, or all that need room from then on. It says whether there was such a call.
func (r *faultRun) fail(n int, full bool) bool {
	w := r.start(r.base.Clone())
	calls, failed := 0, crashfs.Op{}
	w.fs.Fail(func(op crashfs.Op) error {
		calls++
		switch {
		case !full && calls == n:
			failed = op
			return syscall.EIO
		case full && calls >= n && (needsRoom(op) || calls == n && op.Kind == "rename"):
			if failed.Kind == "" {
				failed = op
			}
			return syscall.ENOSPC
		}
		return nil
	})
	err := r.op.do(w)
	w.fs.Fail(nil)
	if failed.Kind == "" {
		w.stop()
		return calls >= n
	}
	r.counts.errors++
	where := fmt.Sprintf("%s fails", failed)
	if full {
		where = fmt.Sprintf("the disk is full from %s", failed)
	}
	if errors.As(err, new(errNotTemporary)) {
		r.counts.find(&r.counts.wrong, "%s: not a temporary failure: %v", where, err)
	}
	told := err == nil || w.answers
	if now, lookErr := w.facts(); lookErr != nil {
		r.counts.find(&r.counts.wrong, "%s: %v", where, lookErr)
	} else {
		j := judge{r.before, r.after, told, r.op.pieces, r.counts, fmt.Sprintf("%s (%v)", where, err)}
		j.check(now)
	}
	r.again(w, told, where)
	w.stop()
	return true
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
func (r *faultRun) again(w *faultWorld, told bool, where string) {
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
		if err := r.op.do(w); err != nil {
			r.counts.find(&r.counts.wrong, "%s, and once more: %v", where, err)
			return
		}
	}
	if now, err = w.facts(); err != nil {
		r.counts.find(&r.counts.wrong, "%s, and once more: %v", where, err)
		return
	}
	if got := now.shape(r.before); !maps.Equal(got, want) {
		r.counts.find(&r.counts.wrong, "%s, and once more: %v, not %v", where, got, want)
		return
	}
	w.fs.Crash()
	n := 0
	for s := range w.fs.States() {
		if n++; n > errorStates {
			break
		}
		r.counts.states++
		key := "failed" + print(s.FS)
		if r.seen[key] {
			continue
		}
		r.seen[key] = true
		r.counts.distinct++
		w := startWorld(s.FS, s.FS, r.op.limit, 0)
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

// errorStates is how many states are tried of a power cut after an error.
const errorStates = 4
