package relay

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// A small message goes into the journal, where its sync is shared with all that is written at the same time, and stays
// in memory: it is loose. Most are delivered before anything else need be done. When the journal is written anew, loose
// messages get files of their own and leave the journal and the memory; so they do when the queue is opened.

const (
	// maxLoose is the most octets of a message file that goes into the journal.
	maxLoose = 32 << 10
	// maxLooseBytes is how many octets of them are in memory; above it, messages get files at once.
	maxLooseBytes = 16 << 20
	// looseWrites is how many loose messages get their files at the same time.
	looseWrites = 8
)

// loose is a message that is in the journal.
type loose struct {
	data  []byte // its file
	filed bool   // the file may be there
}

// writeLoose brings a small message to the disk. It is false when there is no room for it.
func (q *Queue) writeLoose(head []byte, s *stored, msg *mailbricks.Message) (bool, error) {
	size := int64(len(head)) + s.Size
	if size > q.maxLoose {
		return false, nil
	}
	data := bytes.NewBuffer(make([]byte, 0, size))
	data.Write(head)
	if n, err := msg.WriteTo(data); err != nil {
		return true, err
	} else if n != s.Size {
		return true, fmt.Errorf("message has %d octets, not %d", n, s.Size)
	}
	line, err := durable.AppendRecord(nil, change{ID: s.ID, File: data.Bytes()})
	if err != nil {
		return true, err
	}
	q.mu.Lock()
	if q.looseBytes+size > maxLooseBytes {
		q.mu.Unlock()
		return false, nil
	}
	q.keepLoose(s.ID, data.Bytes())
	q.journal.addLine(line)
	q.mu.Unlock()

	if err = q.journal.commit(); err == nil {
		return true, nil
	}
	q.mu.Lock() // it may be in the journal all the same: say that it has ended
	q.dropLoose(s.ID)
	q.leaving[s.ID] = s.Created
	q.journal.add(change{ID: s.ID, End: &end{At: s.Created}})
	q.mu.Unlock()
	q.discard(s.ID)
	return true, err
}

func (q *Queue) keepLoose(id string, data []byte) {
	q.loose[id] = &loose{data: data}
	q.looseBytes += int64(len(data))
}

// dropLoose lets go of a loose message and says whether it has no file. q.mu is held.
func (q *Queue) dropLoose(id string) bool {
	l := q.loose[id]
	if l == nil {
		return false
	}
	delete(q.loose, id)
	q.looseBytes -= int64(len(l.data))
	return !l.filed
}

// fileLoose gives loose messages their files, synced, with synced names. The files of messages that end meanwhile are
// removed by discard, which waits for filing.
func (q *Queue) fileLoose() error {
	q.filing.Lock()
	defer q.filing.Unlock()
	q.mu.Lock()
	todo := maps.Clone(q.loose)
	for _, l := range todo {
		l.filed = true
	}
	q.mu.Unlock()

	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	room := make(chan struct{}, looseWrites)
	for id, l := range todo {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if err := durable.ReplaceFile(q.fs, q.file(id), l.data, fileMode); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, q.fs.SyncDir(q.messages()))...); err != nil {
		return err // all are still loose, and get new files the next time
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, l := range todo {
		if q.loose[id] == l {
			q.dropLoose(id)
		}
	}
	return nil
}

// readLoose brings back the loose messages of the journal.
func (q *Queue) readLoose(changes map[string]*change) error {
	for id, c := range changes {
		data := c.File
		c.File = nil
		if data == nil || c.End != nil || id != filepath.Base(id) {
			continue
		}
		s, _, err := readStored(bytes.NewReader(data), int64(len(data)))
		if errors.Is(err, ErrVersion) {
			return err
		}
		if err != nil || s.ID != id {
			if err := durable.ReplaceFile(q.fs, q.file(id), data, fileMode); err != nil { // where it is found and put aside
				q.log.Error("relay: message cannot be put aside", "id", id, "error", err)
				c.File = data // it stays in the journal
				q.unread = append(q.unread, *c)
				delete(changes, id)
			}
			continue
		}
		delete(changes, id)
		q.keepLoose(id, data)
		if !q.admit(s, c) {
			q.dropLoose(id)
		}
	}
	return nil
}
