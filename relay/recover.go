package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// recover reads what is on disk. Nothing runs yet, so no lock is held.
func (q *Queue) recover() error {
	changes := make(map[string]*change)
	number, skipped, err := readJournal(q.fs, q.dir, func(c change) { merge(changes, c) })
	if err != nil {
		return err
	}
	q.journal.number = number
	if skipped > 0 {
		q.log.Warn("relay: journal has lines that cannot be read", "lines", skipped)
	}
	if err := q.removeTemps(q.dir, tempSuffix); err != nil {
		return err
	}
	if q.spool.Dir != "" { // where an open file has a name, a killed process leaves it
		if err := q.removeTemps(q.spool.Dir, ""); err != nil {
			return err
		}
	}
	if err := q.readLoose(changes); err != nil {
		return err
	}
	if err := q.readMessages(changes); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(changes)) { // what is left has no file
		c := changes[id]
		if c.End == nil {
			q.log.Error("relay: message is missing", "id", id)
			continue
		}
		if len(c.End.Rcpts) > 0 {
			q.rememberChange(id, c)
		}
	}
	return nil
}

// merge adds a change to those before it.
func merge(changes map[string]*change, c change) {
	have := changes[c.ID]
	if have == nil {
		changes[c.ID] = &c
		return
	}
	if c.File != nil {
		have.File = c.File
	}
	if have.Rcpts == nil {
		have.Rcpts = c.Rcpts
	} else {
		maps.Copy(have.Rcpts, c.Rcpts)
	}
	if c.Held != nil {
		have.Held = c.Held
	}
	if c.End != nil {
		have.End, have.File = c.End, nil
	}
}

// readMessages reads the message files and takes their changes out of the map.
func (q *Queue) readMessages(changes map[string]*change) error {
	if err := q.removeTemps(q.messages(), tempSuffix); err != nil {
		return err
	}
	names, err := q.fs.ReadNames(q.messages())
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if q.loose[name] != nil {
			continue // it gets a new file
		}
		c := changes[name]
		if c != nil && c.End != nil { // it had ended, only its file was left
			if err := q.fs.Remove(q.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		delete(changes, name)
		if err := q.readMessage(name, c); err != nil {
			return err
		}
	}
	return q.fs.SyncDir(q.messages())
}

// readMessage brings one message back into the index.
func (q *Queue) readMessage(name string, c *change) error {
	s, err := q.load(name)
	switch {
	case errors.Is(err, ErrVersion):
		return err
	case errors.Is(err, durable.ErrCorrupt):
		q.log.Error("relay: message cannot be read and is put aside", "id", name, "error", err)
		if err := q.putAside(name); err != nil {
			q.log.Error("relay: message cannot be put aside", "id", name, "error", err)
		}
		return nil
	case err != nil: // the disk, perhaps for now: the file stays for the next time
		q.log.Error("relay: message cannot be read", "id", name, "error", err)
		if c != nil {
			q.unread = append(q.unread, *c)
		}
		return nil
	}
	if !q.admit(s, c) {
		q.leaving[name] = wallNow() // its file goes when the new journal says that it has ended
	}
	return nil
}

// admit brings a message back into the index, with what the journal knows of it. It is false when the message had ended
// and only the last line of the journal is missing.
func (q *Queue) admit(s *stored, c *change) bool {
	e := q.newEntry(s)
	if c != nil {
		q.restore(e, c)
	}
	if !e.done() {
		q.insert(e)
		return true
	}
	e.endedAt = wallNow()
	if e.remember {
		q.keepEnded(e)
	}
	return false
}

// load reads the envelope of a message.
func (q *Queue) load(id string) (*stored, error) {
	f, err := q.fs.OpenFile(q.file(id), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, _, err := readStoredFile(f)
	if err == nil && s.ID != id {
		err = fmt.Errorf("%w: message %q in file %q", durable.ErrCorrupt, s.ID, id)
	}
	return s, err
}

// restore applies what the journal knows. An attempt that began and has no outcome was cut off by the end of the
// process: it counts, and if its final dot may have been sent, its outcome is unknown.
func (q *Queue) restore(e *entry, c *change) {
	e.held = c.Held != nil && *c.Held
	for i, st := range c.Rcpts {
		if i < 0 || i >= len(e.rcpts) {
			continue
		}
		r := &e.rcpts[i]
		r.status = st
		if !r.Open {
			continue
		}
		if r.Kind.End() { // it was removed while the attempt ran
			r.Open, r.Dot = false, false
			continue
		}
		kind, text := Deferred, "The attempt was cut off by the end of the program"
		if r.Dot {
			kind, text = Unknown, "The program ended after the message was sent and before the answer: the peer may have it"
			r.Held = r.Held || q.opts.HoldUnknown
		}
		r.Open, r.Dot = false, false
		r.Kind, r.Code, r.Status, r.Text, r.Reply = kind, 451, "4.4.2", text, ""
	}
}

// rememberChange brings back what is remembered of a message that has ended.
func (q *Queue) rememberChange(id string, c *change) {
	e := &entry{id: id, key: c.End.Key, from: c.End.From, endedAt: c.End.At, remember: true, index: -1}
	e.rcpts = make([]recipient, len(c.End.Rcpts))
	for i, address := range c.End.Rcpts {
		e.rcpts[i] = recipient{address: address, seq: 1, status: c.Rcpts[i]}
		if e.rcpts[i].pending() { // its last line was lost
			e.rcpts[i].Kind = Removed
		}
	}
	q.keepEnded(e)
}

// putAside moves a file that cannot be read out of the way.
func (q *Queue) putAside(name string) error {
	to := filepath.Join(q.corrupt(), fmt.Sprintf("%s.%d", name, time.Now().UnixNano()))
	if err := q.fs.Rename(q.file(name), to); err != nil {
		return err
	}
	return q.fs.SyncDir(q.corrupt())
}

// removeTemps removes the files that a killed process had not finished, by the end of their names. Whoever has the lock
// is alone here.
func (q *Queue) removeTemps(dir, suffix string) error {
	names, err := q.fs.ReadNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			if err := q.fs.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
