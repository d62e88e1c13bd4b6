package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// Open opens the queue in the folder dir, which it makes if need be, and brings it back to where it was. One process
// has it at a time; durable's ErrLocked says that another one does. ErrVersion says that a newer version wrote it. A
// message that cannot be read is moved to the folder corrupt and logged.
//
// A disk that is full, or cannot be written to for another reason, is no error of Open where the folders are there: what
// is in the queue can be read, and Remove can make room, while new mail is refused for now (452 4.3.1 when the disk is
// full) and no attempt is made, as none could be noted, until the disk can be written to.
//
// The queue takes mail at once; it delivers while Run runs.
func Open(dir string, opts Options) (*Queue, error) {
	q := newQueue(dir, opts.withDefaults())
	if v, ok := q.opts.Transport.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	if err := q.open(); err != nil {
		return nil, fmt.Errorf("relay: open queue %s: %w", dir, err)
	}
	return q, nil
}

func (q *Queue) open() (err error) {
	folders := []string{q.dir, q.messages(), q.corrupt()}
	if q.fs == durable.OS() { // a Spool writes to the operating system's files
		q.spool.Dir = filepath.Join(q.dir, "spool")
		folders = append(folders, q.spool.Dir)
	}
	for _, d := range folders {
		if err := durable.MkdirAll(q.fs, d, dirMode); err != nil {
			return err
		}
	}
	if q.lock, err = q.fs.TryLock(filepath.Join(q.dir, "lock")); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = q.lock.Close()
		}
	}()
	if err := q.recover(); err != nil {
		return err
	}
	if err := q.journal.commit(); err != nil { // begins a new one
		q.log.Error("relay: journal cannot be written anew; mail is refused and none is sent until it can be", "error", err)
		return nil // all that is known stays in the old one
	}
	for _, id := range slices.Collect(maps.Keys(q.leaving)) {
		q.discard(id)
	}
	return nil
}

// Close ends the queue: Run returns first, if it runs, and nothing is taken any more. What is in the queue stays on
// disk.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	if q.stop != nil {
		q.stop()
	}
	for _, e := range q.entries {
		if e.changed != nil {
			close(e.changed)
			e.changed = nil
		}
	}
	q.mu.Unlock()
	q.users.Wait()

	err := q.journal.commit()
	_ = q.journal.group.Do() // waits for a run that is under way
	q.journal.drop()
	if c, ok := q.opts.Transport.(interface{ Close() error }); ok {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, q.lock.Close())
}

// enter counts a call that uses the files, so that Close can wait for it; leave ends it.
func (q *Queue) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.users.Add(1)
	return nil
}

func (q *Queue) leave() { q.users.Done() }
