package maildir

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// What is read from a folder's files can be older than what was in them before: somebody has put a backup back, or Dovecot,
// which used the tree in between, has written the uidlist anew without the messages that went. Then no UID may get another
// meaning, and a client that asks for changes must not be left with what is no longer so.

// isShort says whether lines have gone from the uidlist: it was longer, or it does not have all messages of which the index has
// flags. noted is how many of them it has.
func (x *index) isShort(size int64, noted int) bool { return size < x.listed || noted < len(x.flags) }

// inMemory says whether this process knows what was there before.
func (f *folder) inMemory() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.st != nil
}

// forget has all messages look as if they were new after the modseq floor, for nobody knows what happened before: clients
// that ask for changes are told to look at everything.
func (tx *tx) forget(floor uint64) {
	st := tx.st
	st.base = newBase(tx.f.account.maildir.now(), max(floor, st.modseq))
	st.modseq, st.expunged = st.base, nil
	for e := range st.entries.all() {
		e.modseq = st.base
	}
	st.news, st.newsBase = nil, st.base
	tx.whole, tx.asMarked, tx.f.noted = true, nil, ""
	tx.reset()
}

// follow makes what was just read the successor of what sessions have seen. It fails if it cannot be: UIDs have another
// meaning then, and whoever opens the mailbox next gives new ones.
func (tx *tx) follow(old *state) error {
	st := tx.st
	setBack := false
	for now := range st.entries.all() {
		was := old.entries.find(now.uid)
		if was != nil && was.base != now.base && !sameStem(was.base, now.base) {
			tx.f.account.maildir.logger().Warn("maildir: UIDs are given anew: the list has another meaning than it had", "folder", tx.dir)
			if err := tx.f.fs().Remove(filepath.Join(tx.dir, uidlistFile)); err != nil && !isNotExist(err) {
				return err
			}
			return fmt.Errorf("%w: it was replaced", mailbox.ErrNoMailbox)
		}
		setBack = setBack || was == nil && now.uid < old.next || was != nil && now.modseq < was.modseq
	}
	if st.next < old.next {
		st.next, tx.next, tx.whole, tx.asMarked = old.next, old.next, true, nil
	}
	if setBack {
		tx.forget(old.modseq)
		return nil
	}
	if st.modseq < old.modseq {
		st.modseq, tx.modseq, tx.whole = old.modseq, old.modseq, true
	}
	tx.remove(tx.missing(old), 'v')
	return nil
}

// sameStem says whether two names can be those of one file before and after Check has mended the sizes in it.
func sameStem(a, b string) bool {
	a, _, _ = strings.Cut(a, ",")
	b, _, _ = strings.Cut(b, ",")
	return a == b
}

// missing gives the messages of old that are not listed any more, and of which nobody has noted that they are gone.
func (tx *tx) missing(old *state) []entry {
	told := make(map[uint32]bool, len(tx.st.expunged))
	for _, e := range tx.st.expunged {
		told[e.uid] = true
	}
	var gone []entry
	for e := range old.entries.all() {
		if tx.st.entries.find(e.uid) == nil && !told[e.uid] {
			gone = append(gone, *e)
		}
	}
	return gone
}
