package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// A small message goes into the journal, where its sync is shared with all that is written at the same time, and only
// then into its file, which is loose: nobody has synced it. Most are delivered and removed before anybody need. When the
// journal is written anew, loose files are synced and leave the journal; when the queue is opened, those that the journal
// has are written again, whatever the file looks like.

const (
	// maxLoose is the most octets of a file whose contents go into the journal.
	maxLoose = 32 << 10
	// looseSyncs is how many loose files are synced at the same time.
	looseSyncs = 8
)

// loose is a message whose contents are in the journal.
type loose struct {
	line    []byte // of the journal
	written bool   // the file is complete
	bad     bool   // a sync of it has failed: another one would prove nothing
}

// writeLoose brings a small message to the disk.
func (q *Queue) writeLoose(head []byte, s *stored, msg *mailbricks.Message) error {
	var data bytes.Buffer
	data.Grow(len(head) + int(s.Size))
	data.Write(head)
	if n, err := msg.WriteTo(&data); err != nil {
		return err
	} else if n != s.Size {
		return fmt.Errorf("message has %d octets, not %d", n, s.Size)
	}
	line, err := checkedLine(change{ID: s.ID, File: data.Bytes()})
	if err != nil {
		return err
	}
	l := &loose{line: line}
	q.mu.Lock()
	q.loose[s.ID] = l
	q.journal.addLine(line)
	q.mu.Unlock()

	err = q.journal.commit()
	if err == nil {
		err = q.writeLooseFile(s.ID, data.Bytes())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil { // it may be in the journal all the same: say that it has ended
		delete(q.loose, s.ID)
		q.leaving[s.ID] = s.Created
		q.journal.add(change{ID: s.ID, End: &end{At: s.Created}})
		return err
	}
	l.written = true
	return nil
}

// writeLooseFile writes the file without a sync.
func (q *Queue) writeLooseFile(id string, data []byte) error {
	f, err := q.fs.OpenFile(q.file(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = q.fs.Remove(q.file(id)) // Open removes it otherwise
	}
	return err
}

// syncLoose syncs the loose files and the names in their folder. Those for which it could not stay in the journal.
func (q *Queue) syncLoose() error {
	files := map[string]*loose{}
	q.mu.Lock()
	for id, l := range q.loose {
		if l.written && !l.bad {
			files[id] = l
		}
	}
	q.mu.Unlock()
	var failed sync.Map
	var n atomic.Int64
	var wg sync.WaitGroup
	room := make(chan struct{}, looseSyncs)
	for id := range files {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if err := q.syncFile(id); err != nil {
				failed.Store(id, true)
				n.Add(1)
			}
		})
	}
	wg.Wait()
	err := q.fs.SyncDir(q.messages())

	q.mu.Lock()
	defer q.mu.Unlock()
	for id, l := range files {
		if _, bad := failed.Load(id); bad || err != nil {
			l.bad = true
		} else if q.loose[id] == l {
			delete(q.loose, id)
		}
	}
	if n := n.Load(); n > 0 {
		q.log.Error("relay: messages cannot be synced and stay in the journal", "messages", n)
	}
	return err
}

func (q *Queue) syncFile(id string) error {
	f, err := q.fs.OpenFile(q.file(id), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has ended
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return durable.SyncData(f)
}

// restoreLoose writes the files that the journal has.
func (q *Queue) restoreLoose(changes map[string]*change) error {
	for id, c := range changes {
		data := c.File
		c.File = nil
		if data == nil || c.End != nil || id != filepath.Base(id) {
			continue
		}
		if err := q.restoreFile(q.file(id), data); err != nil {
			return err
		}
	}
	return nil // readMessages syncs the folder
}

func (q *Queue) restoreFile(name string, data []byte) error {
	f, err := q.fs.OpenFile(name+tempSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return q.fs.Rename(name+tempSuffix, name)
}
