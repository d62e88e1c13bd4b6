package statelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// Limits and times of a Log.
const (
	// MaxGroup is how many changes wait in memory. When more come before they are written, the file is written anew.
	MaxGroup = 1 << 16
	// MaxLine is the longest line in octets; longer ones are left out when the file is read.
	MaxLine = 16 << 10
	// GroupTime is how long changes are gathered before they are written: what a power cut may cost.
	GroupTime = 2 * time.Second
	// RetryAfter is the time between two tries while the disk fails.
	RetryAfter = time.Minute
	// MinRewrite is the size in octets below which the file is not written anew for its size.
	MinRewrite = 1 << 20
)

// ErrClosed is what Sync and Close give when the log was closed before.
var ErrClosed = errors.New("log is closed")

// Config says what a log keeps, and where. Restore and Snapshot may not use the log.
type Config[R any] struct {
	FS      durable.FS
	Name    string // of the file; Name.new and Name.lock are used, too
	Format  string // of the file, the first word in it
	Version int
	Logger  *slog.Logger // nil: none

	// Restore is told of the records of the file, in their order. It is called by Open only, and decides what to make of
	// values that nobody wrote.
	Restore func(R)
	// Snapshot gives records that make up the whole state. It is called from any goroutine. A change is in memory before it
	// is given to Add, and changes of the same thing are given to Add in their order.
	Snapshot func(yield func(R) bool)
}

// Log is an open file. Its methods may be called by many goroutines at once.
type Log[R any] struct {
	Config[R]
	wake chan struct{} // has room for one: there is something to write
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	group   []R
	whole   bool // too many changes came: the file must be written anew
	stopped bool

	// write is held by who writes. The rest belongs to him.
	write   sync.Mutex
	locked  bool
	lock    io.Closer    // nil: not locked, or the system has no locks
	file    durable.File // nil: must be written anew first
	size    int64
	limit   int64 // the size at which it is written anew
	failing bool  // the last write failed, and it was said
	buf     []byte
}

// Open reads the file, if there is one, writes it anew and keeps it open. It fails when the file cannot be read, when its first
// line is of another format (durable.ErrCorrupt), when a newer version has written it (durable.ErrNewer), when somebody else has it open (durable.ErrLocked), and when there is no such
// folder or it may not be used. A disk that is full or fails otherwise as it is written to is none of its errors: the log then
// is as it is after such a fault.
func Open[R any](c Config[R]) (*Log[R], error) {
	l := &Log[R]{Config: c, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	l.Logger = serving.Logger(c.Logger)
	err := l.takeLock()
	if errors.Is(err, durable.ErrLocked) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("open %s: %w", c.Name, err)
	}
	if err := l.load(); err != nil {
		l.unlock()
		return nil, fmt.Errorf("open %s: %w", c.Name, err)
	}
	if l.flush() != nil { // which has been logged
		l.wakeUp()
	}
	go l.run()
	return l, nil
}

// takeLock locks the file, if that is not done.
func (l *Log[R]) takeLock() error {
	if l.locked {
		return nil
	}
	lock, err := l.FS.TryLock(l.Name + ".lock")
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	l.lock, l.locked = lock, true
	return nil
}

func (l *Log[R]) unlock() {
	if l.lock != nil {
		_ = l.lock.Close() // only closes
	}
}

// Add takes a change. It never waits for the disk. After Close it does nothing.
func (l *Log[R]) Add(r R) {
	l.mu.Lock()
	switch {
	case l.stopped || l.whole:
	case len(l.group) >= MaxGroup:
		l.group, l.whole = nil, true
	default:
		l.group = append(l.group, r)
	}
	l.mu.Unlock()
	l.wakeUp()
}

// wakeUp says that there is something to write.
func (l *Log[R]) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Sync returns when all changes that were added before are on disk, or with the reason why they are not.
func (l *Log[R]) Sync() error {
	l.mu.Lock()
	stopped := l.stopped
	l.mu.Unlock()
	if stopped {
		return ErrClosed
	}
	return l.flush()
}

// Rewrite has the next write, which Close or Sync do at once, write the file anew: for a state of which not every change is
// added.
func (l *Log[R]) Rewrite() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.group, l.whole = nil, true
}

// Close writes what waits, ends the goroutine and closes the file.
func (l *Log[R]) Close() error {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return ErrClosed
	}
	l.stopped = true
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	err := l.flush()
	l.write.Lock()
	defer l.write.Unlock()
	l.drop()
	l.unlock()
	return err
}

// run writes in groups until Close.
func (l *Log[R]) run() {
	defer close(l.done)
	for l.wait(l.wake, 0) {
		pause := GroupTime
		l.write.Lock()
		if l.failing {
			pause = RetryAfter
		}
		l.write.Unlock()
		if !l.wait(nil, pause) {
			return
		}
		if l.flush() != nil { // which has been logged
			l.wakeUp()
		}
	}
}

// wait returns true when there is something in c, or after a time if c is nil, and false on Close.
func (l *Log[R]) wait(c <-chan struct{}, d time.Duration) bool {
	var over <-chan time.Time
	if c == nil {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-c:
	case <-over:
	case <-l.stop:
		return false
	}
	return true
}

// flush writes what waits, and says it once when the disk begins to fail and once when it works again.
func (l *Log[R]) flush() error {
	l.write.Lock()
	defer l.write.Unlock()
	err := l.writeGroup()
	switch {
	case err != nil && !l.failing:
		l.Logger.Error("statelog: what is known is kept in memory only: cannot write", "file", l.Name, "err", err)
	case err == nil && l.failing:
		l.Logger.Info("statelog: what is known is kept on disk again", "file", l.Name)
	}
	l.failing = err != nil
	return err
}

// writeGroup appends what waits, or writes all anew.
func (l *Log[R]) writeGroup() error {
	if l.file == nil || l.size >= l.limit {
		return l.rewrite()
	}
	group, whole := l.take()
	if whole {
		return l.rewrite()
	}
	if len(group) == 0 {
		return nil
	}
	l.buf = l.buf[:0]
	for i := range group {
		l.encode(&group[i])
	}
	_, err := l.file.Write(l.buf)
	if err == nil {
		err = durable.SyncData(l.file)
	}
	if err != nil { // nobody knows what is on disk now
		l.drop()
		return err
	}
	l.size += int64(len(l.buf))
	return nil
}

// take gives the changes that wait, and says whether some were left out.
func (l *Log[R]) take() (group []R, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	group, whole = l.group, l.whole
	l.group, l.whole = nil, false
	return group, whole
}

// encode appends a record to buf.
func (l *Log[R]) encode(r *R) {
	buf, err := durable.AppendRecord(l.buf, r)
	if err != nil {
		l.Logger.Error("statelog: a record has no JSON form", "file", l.Name, "err", err) // a bug of the caller's
		return
	}
	l.buf = buf
}

// drop gives up the file.
func (l *Log[R]) drop() {
	if l.file != nil {
		_ = l.file.Close() // what counts has been synced
		l.file = nil
	}
}

// chunk is how many octets of a new file are written at a time.
const chunk = 64 << 10

// rewrite makes a new file of all that is in the caller's memory.
func (l *Log[R]) rewrite() error {
	l.drop()
	l.take() // changes are in memory before they are added: the snapshot has these
	if err := l.takeLock(); err != nil {
		return err
	}
	size, err := l.create(l.Name + ".new")
	if err == nil {
		err = l.FS.Rename(l.Name+".new", l.Name)
	}
	if err == nil {
		err = l.FS.SyncDir(filepath.Dir(l.Name))
	}
	if err != nil {
		_ = l.FS.Remove(l.Name + ".new") // it takes room, and what a Sync that failed was for may never get to disk by another one
		return err
	}
	f, err := l.FS.OpenFile(l.Name, os.O_WRONLY|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	l.file, l.size, l.limit = f, size, max(MinRewrite, 2*size)
	return nil
}

// fileMode: addresses are nobody else's business.
const fileMode = 0o600

// create writes and syncs the new file.
func (l *Log[R]) create(name string) (size int64, err error) {
	f, err := l.FS.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	out := func() error {
		n, err := f.Write(l.buf)
		size += int64(n)
		l.buf = l.buf[:0]
		return err
	}
	l.buf = fmt.Appendf(l.buf[:0], "%s %d\n", l.Format, l.Version)
	l.Snapshot(func(r R) bool {
		if l.encode(&r); len(l.buf) >= chunk {
			err = out()
		}
		return err == nil
	})
	if err == nil {
		err = out()
	}
	if err == nil {
		err = f.Sync()
	}
	return size, err
}
