package relay

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// Queue keeps messages on disk until they are delivered. It is a [mailbricks.Handler]. Its methods may be called at the
// same time.
type Queue struct {
	opts     Options
	dir      string
	fs       durable.FS
	log      *slog.Logger
	spool    mailbricks.Spool
	lock     io.Closer
	journal  *journal
	dirs     *durable.DirSyncer
	maxLoose int64         // see there
	filing   sync.Mutex    // held, before mu, while loose messages get their files
	wake     chan struct{} // has room for one: look for something due
	users    sync.WaitGroup

	patience atomic.Pointer[patience]

	// Nothing waits for the disk or the network while it has mu.
	mu      sync.Mutex
	closed  bool
	stop    context.CancelFunc // ends Run; nil: it does not run
	entries map[string]*entry
	due     dueHeap
	bytes   int64 // sizes of entries and of what is being stored

	looseBytes int64
	storing    int // messages that are being stored

	keys     map[string]string        // of messages in the queue and of those remembered: their IDs
	keyBusy  map[string]chan struct{} // keys of messages that are being stored; closed at the end of that
	ended    map[string]*entry        // remembered
	endOrder []*entry                 // ended, oldest first
	loose    map[string]*loose        // in the journal and in memory
	leaving  map[string]time.Time     // ended when, its file not removed yet
	gone     map[string]time.Time     // file removed, which may not be on disk yet
	unread   []change                 // what the journal knows of messages that could not be read at the start

	dests   map[string]*dest
	resting map[string]*dest // those with a rest that has to end
	ready   []*dest          // may start an attempt, in their turn
	busy    int              // attempts that run
}

func newQueue(dir string, opts Options) *Queue {
	q := &Queue{
		opts: opts, dir: dir, fs: opts.FS, log: opts.Logger, dirs: durable.NewDirSyncer(opts.FS),
		spool:    mailbricks.Spool{MaxHeader: math.MaxInt32}, // whoever accepted the message had a limit of his own
		maxLoose: maxLoose, wake: make(chan struct{}, 1),
		entries: map[string]*entry{}, keys: map[string]string{}, keyBusy: map[string]chan struct{}{},
		ended: map[string]*entry{}, loose: map[string]*loose{},
		leaving: map[string]time.Time{}, gone: map[string]time.Time{},
		dests: map[string]*dest{}, resting: map[string]*dest{},
	}
	q.Reschedule(opts.Retry, opts.Lifetime)
	q.journal = newJournal(opts.FS, dir, q.journalLines)
	return q
}

func (q *Queue) messages() string      { return filepath.Join(q.dir, "msg") }
func (q *Queue) corrupt() string       { return filepath.Join(q.dir, "corrupt") }
func (q *Queue) file(id string) string { return filepath.Join(q.messages(), id) }

// newEntry makes the index entry of a stored message, as if nothing had happened to it yet.
func (q *Queue) newEntry(s *stored) *entry {
	e := &entry{
		id: s.ID, envID: s.EnvID, key: s.Key, from: s.From, size: s.Size, created: s.Created, notUntil: s.HoldUntil,
		expires: s.Created.Add(q.patience.Load().lifetime), remember: s.Remember, index: -1,
	}
	if e.notUntil.After(e.created) { // RFC 4865 §5: the lifetime begins with the release
		e.expires = e.notUntil.Add(q.patience.Load().lifetime)
	}
	if by := s.DeliverBy; by != nil && by.Return && by.Deadline.Before(e.expires) { // RFC 2852 §4.1.4
		e.expires = by.Deadline
	}
	e.rcpts = make([]recipient, len(s.Rcpts))
	for i, sr := range s.Rcpts {
		r := &e.rcpts[i]
		r.address = sr.Address
		r.dest = destination(q.opts.Transport, s.From, sr.Address)
		if sr.Status != nil {
			r.status = *sr.Status
		} else {
			r.status = status{Kind: Queued, When: s.Created, Next: s.Created}
			if e.notUntil.After(s.Created) {
				r.Next = e.notUntil
			}
		}
		r.seq = 1
	}
	return e
}

// insert makes a stored message known. q.mu is held, or nobody else is there yet.
func (q *Queue) insert(e *entry) {
	q.entries[e.id] = e
	q.bytes += e.size
	if e.key != "" {
		q.keys[e.key] = e.id
	}
	q.schedule(e)
}

// schedule puts an entry into its place in the heap after something about it has changed. q.mu is held.
func (q *Queue) schedule(e *entry) {
	e.next = e.due()
	switch {
	case e.next.IsZero() || q.entries[e.id] != e:
		if e.index >= 0 {
			heap.Remove(&q.due, e.index)
		}
		return
	case e.index >= 0:
		heap.Fix(&q.due, e.index)
	default:
		heap.Push(&q.due, e)
	}
	if e.index == 0 {
		q.poke()
	}
}

// poke has Run look for something to do.
func (q *Queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// record notes the state of some recipients in the journal; commit makes it last. q.mu is held.
func (q *Queue) record(e *entry, picks ...int) {
	c := change{ID: e.id, Rcpts: make(map[int]status, len(picks))}
	for _, i := range picks {
		c.Rcpts[i] = e.rcpts[i].status
	}
	q.journal.add(c)
}

// finish takes a message out of the index if nothing is left to do for it, and says so in the journal. Once that is
// committed, the caller calls discard. q.mu is held.
func (q *Queue) finish(e *entry) bool {
	if q.entries[e.id] != e || e.jobs > 0 || e.telling != nil || !e.removed && !e.done() {
		return false
	}
	e.endedAt = wallNow()
	q.forget(e)
	if !q.dropLoose(e.id) {
		q.leaving[e.id] = e.endedAt
	}
	q.journal.add(change{ID: e.id, End: e.end()})
	if e.remember {
		q.keepEnded(e)
	}
	return true
}

// forget takes a message out of the index. q.mu is held.
func (q *Queue) forget(e *entry) {
	delete(q.entries, e.id)
	q.bytes -= e.size
	if q.keys[e.key] == e.id {
		delete(q.keys, e.key)
	}
	q.schedule(e)
}

func (e *entry) end() *end {
	if !e.remember {
		return &end{At: e.endedAt}
	}
	out := &end{At: e.endedAt, Key: e.key, From: e.from}
	for i := range e.rcpts {
		out.Rcpts = append(out.Rcpts, e.rcpts[i].address)
	}
	return out
}

// keepEnded remembers a message that has ended, and forgets others for it. q.mu is held.
func (q *Queue) keepEnded(e *entry) {
	q.ended[e.id] = e
	if e.key != "" {
		q.keys[e.key] = e.id
	}
	at, _ := slices.BinarySearchFunc(q.endOrder, e, func(a, b *entry) int { return a.endedAt.Compare(b.endedAt) })
	q.endOrder = slices.Insert(q.endOrder, at, e)
	q.forgetEnded()
}

// forgetEnded forgets what is too old or too much. q.mu is held.
func (q *Queue) forgetEnded() {
	old := time.Now().Add(-q.opts.Remember)
	for len(q.endOrder) > 0 && (len(q.endOrder) > q.opts.MaxRemembered || q.endOrder[0].endedAt.Before(old)) {
		e := q.endOrder[0]
		q.endOrder[0] = nil
		q.endOrder = q.endOrder[1:]
		delete(q.ended, e.id)
		if q.keys[e.key] == e.id {
			delete(q.keys, e.key)
		}
	}
}

// discard removes the file, if there is one, of a message whose end is committed. The name need not be off the disk at
// once: the journal keeps the end until it is.
func (q *Queue) discard(id string) {
	q.mu.Lock()
	at, ok := q.leaving[id]
	q.mu.Unlock()
	if !ok {
		return
	}
	q.filing.Lock() // it may be in the making
	err := q.fs.Remove(q.file(id))
	q.filing.Unlock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.log.Warn("relay: file of a finished message stays until the next start", "id", id, "error", err)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone[id] = at
	delete(q.leaving, id)
}

// journalLines has the lines of a journal that begins now. When it fails, the buffer of the one before is as it was.
func (q *Queue) journalLines() ([]byte, error) {
	q.mu.Lock()
	gone := q.gone // their names are off the disk when fileLoose has synced the folder
	q.gone = map[string]time.Time{}
	q.mu.Unlock()
	err := q.fileLoose()
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		maps.Copy(q.gone, gone)
		return nil, err
	}
	q.journal.take() // in memory, thus in what follows
	return q.snapshot(), nil
}

// snapshot is all that the queue knows as lines of the journal. q.mu is held.
func (q *Queue) snapshot() (lines []byte) {
	put := func(c change) {
		if line, err := durable.AppendRecord(nil, c); err == nil {
			lines = append(lines, line...)
		}
	}
	for id, l := range q.loose { // since fileLoose
		put(change{ID: id, File: l.data})
	}
	for _, e := range q.entries {
		if c, fresh := e.change(); !fresh {
			put(c)
		}
	}
	for _, c := range q.unread {
		put(c)
	}
	q.forgetEnded()
	for _, e := range q.ended {
		c, _ := e.change()
		c.End = e.end()
		put(c)
	}
	for _, ids := range []map[string]time.Time{q.leaving, q.gone} {
		for id, at := range ids {
			if q.ended[id] == nil {
				put(change{ID: id, End: &end{At: at}})
			}
		}
	}
	return lines
}

// change is all that the journal has to know of an entry; fresh when that is nothing.
func (e *entry) change() (c change, fresh bool) {
	c = change{ID: e.id, Rcpts: make(map[int]status, len(e.rcpts))}
	fresh = !e.held
	for i := range e.rcpts {
		c.Rcpts[i] = e.rcpts[i].status
		fresh = fresh && e.rcpts[i].Kind == Queued
	}
	if e.held {
		c.Held = &e.held
	}
	return c, fresh
}
