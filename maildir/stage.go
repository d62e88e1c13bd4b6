package maildir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// staged is a message in a folder's tmp: complete, on disk, and not yet in the mailbox.
type staged struct {
	temp  string // path
	base  string // the name it will have, without flags
	size  int64  // octets in the file
	crlf  int64  // octets with CRLF line ends
	date  int64  // Unix seconds
	flags []mailbox.Flag
}

func (s *staged) discard(fsys durable.FS) { _ = fsys.Remove(s.temp) } // what stays in tmp is removed when it is old

// bufferSize is the most that is written at once.
const bufferSize = 64 << 10

// stage writes a message into the tmp of the folder dir and syncs it. A zero date is now. expect is about how long the
// message is.
func (a *account) stage(dir string, date time.Time, expect int64, write func(io.Writer) error) (*staged, error) {
	name := a.maildir.names.next()
	s := &staged{temp: filepath.Join(dir, "tmp", name), date: date.Unix()}
	f, err := a.fs().OpenFile(s.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, messagePerm)
	if err != nil {
		return nil, err
	}
	count := &lineCounter{w: f}
	buf := bufio.NewWriterSize(count, int(min(max(expect, 512), bufferSize)))
	if err = write(buf); err == nil {
		err = buf.Flush()
	}
	if err == nil && !date.IsZero() {
		err = a.fs().Chtimes(s.temp, date)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil && date.IsZero() {
		s.date = a.dateOf(f)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		s.discard(a.fs())
		return nil, err
	}
	s.size, s.crlf = count.size, count.size+count.bare
	s.base = withSizes(name, s.size, s.crlf)
	return s, nil
}

// dateOf is the date of a file that was written just now: what the file says, for others read it there, unless the clock of its
// file system is not ours.
func (a *account) dateOf(f durable.File) int64 {
	now := a.maildir.now()
	if info, err := f.Stat(); err == nil && now.Sub(info.ModTime()).Abs() < settleTime {
		return info.ModTime().Unix()
	}
	return now.Unix()
}

// lineCounter counts octets and line feeds without a carriage return in front.
type lineCounter struct {
	w          io.Writer
	size, bare int64
	cr         bool // the octet before was a carriage return
}

func (c *lineCounter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.size += int64(n)
	c.bare += int64(countBare(p[:n], &c.cr))
	return n, err
}

// countBare counts line feeds without a carriage return in front; cr carries over from piece to piece.
func countBare(p []byte, cr *bool) int {
	if len(p) == 0 {
		return 0
	}
	bare := bytes.Count(p, []byte("\n"))
	if bare > 0 {
		bare -= bytes.Count(p, []byte("\r\n"))
		if p[0] == '\n' && *cr {
			bare--
		}
	}
	*cr = p[len(p)-1] == '\r'
	return bare
}

// stageLink puts one more name of a message's file into the tmp of the folder dir, or a copy where files have one name
// only.
func (a *account) stageLink(path string, e *entry, dir string) (*staged, error) {
	name := a.maildir.names.next()
	s := &staged{temp: filepath.Join(dir, "tmp", name), date: e.date}
	if err := a.fs().Link(path, s.temp); err != nil {
		if isNotExist(err) {
			return nil, err
		}
		return a.stageCopy(path, e, dir)
	}
	err := a.measure(s, e)
	if err != nil {
		s.discard(a.fs())
		return nil, err
	}
	s.name()
	return s, nil
}

// measure finds the sizes of a message that got one more name: Dovecot refuses to read a file of another length than its
// name says. Where the old name was wrong about that, it is not believed in its other size either.
func (a *account) measure(s *staged, e *entry) error {
	info, err := a.fs().Lstat(s.temp)
	if err == nil && !info.Mode().IsRegular() { // pipes and symbolic links can have another name as well
		err = fmt.Errorf("maildir: %s: %w", e.path(), durable.ErrNotRegular)
	}
	if err != nil {
		return err
	}
	s.size, s.crlf = info.Size(), e.size
	named, ok := nameSize(e.base, 'S')
	if (!ok || named == s.size) && (s.crlf < 0 || s.crlf >= s.size) {
		return nil
	}
	if packed, err := a.keepSizes(s, e.base); packed || err != nil {
		return err
	}
	c, err := openContent(a.fs(), s.temp, -1)
	if err != nil {
		return err
	}
	s.crlf = c.Size()
	return c.Close()
}

func (a *account) stageCopy(path string, e *entry, dir string) (*staged, error) {
	f, err := a.fs().OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := a.stage(dir, time.Unix(e.date, 0), e.size, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.stagedCopy(s, e.base)
}

// place stages that messages come into the mailbox: all or none. Each gets its place in cur at once; commit makes it
// last.
func (tx *tx) place(messages []*staged) ([]uint32, error) {
	fsys := tx.f.fs()
	for _, s := range messages {
		if err := tx.withKeywords(s.flags); err != nil {
			return nil, err
		}
	}
	if uint64(tx.next)+uint64(len(messages)) >= 1<<32 {
		return nil, errNoUID
	}
	tx.touch("cur")
	entries := make([]entry, len(messages))
	for i, s := range messages {
		e := entry{base: s.base, date: s.date, saved: tx.savedNow(s.date), size: s.crlf}
		e.flags, e.extra = tx.keywords.encode(s.flags)
		entries[i] = e
		if err := fsys.Rename(s.temp, filepath.Join(tx.dir, e.path())); err != nil {
			for j := range i {
				if fsys.Remove(filepath.Join(tx.dir, entries[j].path())) != nil {
					tx.f.rescan = true // it is a message then
				}
			}
			return nil, err
		}
	}
	uids := make([]uint32, len(entries))
	for i, e := range entries {
		uids[i], _ = tx.add(e) // there are enough
		tx.usage.bytes += messages[i].size
		tx.usage.messages++
		tx.undo = append(tx.undo, func() { _ = fsys.Remove(filepath.Join(tx.dir, e.path())) })
	}
	tx.dirs[filepath.Join(tx.dir, "cur")] = true
	return uids, nil
}

var errNoUID = errors.New("maildir: mailbox has no UID left")
