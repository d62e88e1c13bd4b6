package maildir

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// setFlags stages a change of flags and gives the messages after it. A rename of each file is the change; it is made at
// once and synced with the folder. A message whose file cannot be renamed is left as it is, and the error told; the others
// are changed all the same.
func (tx *tx) setFlags(uids []mailbox.UID, change mailbox.FlagChange) ([]entry, error) {
	if change.Op != mailbox.RemoveFlags {
		if err := tx.withKeywords(change.Flags); err != nil {
			return nil, err
		}
	}
	bits, extra := tx.keywords.encode(change.Flags)
	keep := tx.keywords.unnamed(^flags(0))
	var out []entry
	var failed error
	seq := uint64(0)
	for _, uid := range slices.Compact(slices.Sorted(slices.Values(uids))) {
		e, ok := tx.find(uint32(uid))
		if !ok {
			continue
		}
		want, wantExtra := change.UnchangedSince, e.extra
		fl := e.flags
		switch {
		case want != 0 && e.modseq > uint64(want):
		case change.Op == mailbox.AddFlags:
			fl |= bits
			wantExtra = e.extra.with(extra)
		case change.Op == mailbox.RemoveFlags:
			fl &^= bits
			wantExtra = e.extra.without(extra)
		case change.Op == mailbox.ReplaceFlags:
			fl = fl&keep | bits
			wantExtra = extra
		}
		if fl == e.flags && sameKeywords(wantExtra, e.extra) {
			out = append(out, e)
			continue
		}
		if seq == 0 {
			tx.modseq++
			seq = tx.modseq
		}
		e, ok, err := tx.reflag(e, fl)
		if failed == nil {
			failed = err
		}
		if err != nil || !ok {
			continue
		}
		e.extra, e.modseq = wantExtra, seq
		tx.noteFlags(e)
		out = append(out, e)
	}
	return out, failed
}

// reflag renames a message's file for other flags. It says no if the message is gone.
func (tx *tx) reflag(e entry, fl flags) (entry, bool, error) {
	for {
		after := e
		after.flags = fl
		if fl != e.flags {
			after.isNew = false
		}
		if after.flags == e.flags && after.isNew == e.isNew {
			return after, true, nil
		}
		err := tx.rename(e.pathIn(tx.dir), after.pathIn(tx.dir))
		if err == nil {
			tx.dirs[filepath.Join(tx.dir, "cur")] = true
			tx.f.newDirty = tx.f.newDirty || e.isNew
			return after, true, nil
		}
		if !isNotExist(err) && !errors.Is(err, fs.ErrExist) || tx.scanned {
			return e, false, ignoreNotExist(err)
		}
		if err := tx.scan(); err != nil { // another program has renamed it, or made a file that is in the way
			return e, false, err
		}
		var ok bool
		if e, ok = tx.find(e.uid); !ok {
			return e, false, nil
		}
	}
}

func ignoreNotExist(err error) error {
	if isNotExist(err) {
		return nil
	}
	return err
}

// inNew gives the messages whose files are in new, UIDs ascending. They are among the last.
func (s *state) inNew() []entry {
	out := make([]entry, 0, s.counts.inNew)
	for e := range s.entries.backward() {
		if len(out) == s.counts.inNew {
			break
		}
		if e.isNew {
			out = append(out, *e)
		}
	}
	slices.Reverse(out)
	return out
}

// takeRecent stages that all messages are known to a session. Their files move to cur, as Maildir has it; no sync is
// needed for that, since a file that is in new again after a power cut is the same message.
func (tx *tx) takeRecent() uint32 {
	first := tx.recent
	if first >= tx.next {
		return first
	}
	tx.recent = tx.next
	if len(tx.log) == 0 {
		tx.unsynced = true
	}
	tx.log = appendNumberLine(tx.log, 'r', uint64(tx.recent))
	tx.logLines++
	for _, was := range append(tx.st.inNew(), tx.added...) {
		e, ok := tx.find(was.uid)
		if !ok || !e.isNew {
			continue
		}
		after := e
		after.isNew = false
		if tx.rename(e.pathIn(tx.dir), after.pathIn(tx.dir)) == nil {
			tx.put(after)
			tx.f.newDirty = true
		}
	}
	return first
}
