package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
)

// learnedOf is a message with what readers have found out about it. Call it with f.mu held.
func (f *folder) learnedOf(e entry) entry {
	if l, ok := f.learned[e.uid]; ok {
		e.size, e.date = l.size, l.date
	}
	return e
}

// unsized gives the messages whose size nobody knows.
func (f *folder) unsized() (missing []entry, err error) {
	err = f.read(func(st *state) {
		if st.counts.unsized == 0 {
			return
		}
		for at := range st.entries.all() {
			if at.size >= 0 {
				continue
			}
			if e := f.learnedOf(*at); e.size < 0 && !f.guessed(&e) {
				missing = append(missing, e)
			}
		}
	})
	return missing, err
}

// learnSizes finds out the sizes that names do not tell.
func (s *session) learnSizes() error {
	missing, err := s.f.unsized()
	if err == nil && len(missing) > 0 {
		s.f.summaries.recall()
		missing, err = s.f.unsized()
	}
	if err != nil {
		return err
	}
	for i := range missing {
		if err := s.learnOrGuess(&missing[i]); err != nil && !errors.Is(err, mailbox.ErrExpunged) {
			return err
		}
	}
	return nil
}

// learnAll finds out what is not known of messages. Those that are gone are left out.
func (s *session) learnAll(entries []entry) ([]entry, error) {
	unknown := func(e entry) bool { return e.size < 0 || e.date == noDate }
	if !slices.ContainsFunc(entries, unknown) {
		return entries, nil
	}
	s.f.summaries.recall()
	if err := s.f.read(func(*state) {
		for i, e := range entries {
			entries[i] = s.f.learnedOf(e)
			if unknown(entries[i]) {
				s.f.guessed(&entries[i])
			}
		}
	}); err != nil {
		return nil, err
	}
	out := entries[:0]
	for _, e := range entries {
		if unknown(e) {
			if err := s.learnOrGuess(&e); errors.Is(err, mailbox.ErrExpunged) {
				continue
			} else if err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// fill takes a size and a date where there is none. It says whether it did.
func (l *learned) fill(size, date int64) bool {
	did := false
	if l.size < 0 && size >= 0 {
		l.size, did = size, true
	}
	if l.date == noDate && date != noDate {
		l.date, did = date, true
	}
	return did
}

// guess is what is told of a message that cannot be read: its length as it is on disk.
type guess struct {
	size, date int64
	until      time.Time // then somebody tries again
}

// guessTime is how long that is.
const guessTime = time.Minute

// guessed fills in what is told of a message that could not be read. Call it with f.mu held.
func (f *folder) guessed(e *entry) bool {
	g, ok := f.guesses[e.uid]
	if ok = ok && g.until.After(f.account.maildir.now()); ok {
		e.size, e.date = g.size, g.date
	}
	return ok
}

// learnOrGuess is learn for who tells of many messages: one that cannot be read must not keep the others from being told of.
func (s *session) learnOrGuess(e *entry) error {
	err := s.learn(e)
	if !isBadMessage(err) {
		return err
	}
	f := s.f
	if guessErr := s.withFile(e, func(path string) error {
		info, err := f.fs().Lstat(path)
		if err == nil {
			e.size, e.date = info.Size(), info.ModTime().Unix()
		}
		return err
	}); guessErr != nil {
		return guessErr
	}
	f.account.maildir.logger().Warn("maildir: message cannot be read", "folder", f.dir(), "uid", e.uid, "error", err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.guesses == nil {
		f.guesses = map[uint32]guess{}
	}
	f.guesses[e.uid] = guess{e.size, e.date, f.account.maildir.now().Add(guessTime)}
	return nil
}

// isBadMessage says whether an error is about one message's file: it may not be read or is no file, the disk has a bad spot, or
// what is encrypted is damaged, of a newer version or for other keys.
func isBadMessage(err error) bool {
	for _, bad := range []error{
		durable.ErrNotRegular, fs.ErrPermission, syscall.EIO, sealed.ErrDamaged, sealed.ErrNewer, sealed.ErrNoKey, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, bad) {
			return true
		}
	}
	return false
}

// isBadFolder says whether an error is about one mailbox's folder: it may not be read, or what is in it is damaged or of a newer
// version.
func isBadFolder(err error) bool {
	return isBadMessage(err) || errors.Is(err, errNewer) || errors.Is(err, durable.ErrTooLarge) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR)
}

// learn looks at the file of a message for its size and date.
func (s *session) learn(e *entry) error {
	l := learned{size: e.size, date: e.date}
	if err := s.withFile(e, func(path string) error {
		info, err := s.f.fs().Lstat(path)
		if err != nil {
			return err
		}
		if l.date == noDate {
			l.date = info.ModTime().Unix()
		}
		if l.size >= 0 {
			return nil
		}
		c, err := openContent(s.f.fs(), path, -1)
		if err != nil {
			return err
		}
		l.size = c.Size()
		if err := s.f.unpacked(e.base, c); errors.Is(err, ErrPacked) {
			l.size = packedSize(e.base, info.Size())
			return nil
		} else if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		return err
	}
	e.size, e.date = l.size, l.date
	s.f.note(e.uid, l)
	return nil
}

// note keeps what was learned for the next run, and starts one when it is much.
func (f *folder) note(uid uint32, l learned) {
	f.mu.Lock()
	f.learned[uid] = l
	start := len(f.learned) > minRewrite && !f.kicked
	f.kicked = f.kicked || start
	f.mu.Unlock()
	if start {
		f.kick()
	}
}

// withFile calls fn with the path of a message, e, which is brought up to date if it has changed. A file that has got
// another name is looked for; mailbox.ErrExpunged if it is gone.
func (s *session) withFile(e *entry, fn func(path string) error) error {
	for try := 0; ; try++ {
		err := fn(filepath.Join(s.f.dir(), e.path()))
		if !isNotExist(err) {
			return err
		}
		if try > 0 { // else it may have been renamed by us meanwhile
			if err := s.f.submit((*tx).rescan); err != nil {
				return err
			}
		}
		now, _, err := s.entries([]mailbox.UID{mailbox.UID(e.uid)})
		if err != nil {
			return err
		}
		if len(now) == 0 || try == maxTries {
			return fmt.Errorf("%w: UID %d", mailbox.ErrExpunged, e.uid)
		}
		*e = now[0]
	}
}

// maxTries is how often a file that another program keeps renaming is looked for.
const maxTries = 4

// rescan looks at all files, once in a run.
func (tx *tx) rescan() error {
	if tx.scanned {
		return nil
	}
	return tx.scan()
}
