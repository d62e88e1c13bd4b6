package serving

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// Watch runs f, which is code of the embedder's, with a context that ends with the cause ErrPeerLeft when the peer leaves.
// To notice it reads ahead, from the first time on that f, or what it calls, asks the context whether it has ended (Done,
// Err) or the connection what has arrived (Pending, Arrived): an f that does neither pays for nothing. A peer that has sent
// more commands and closed its side for sending (QUIT, then a half-close) has not left. When the buffer is full nothing more
// is noticed.
func (c *LineConn) Watch(ctx context.Context, f func(context.Context) error) error {
	return c.WatchFor(ctx, 0, f)
}

// WatchFor is Watch with a context that ends after atMost, too; 0: it does not.
func (c *LineConn) WatchFor(ctx context.Context, atMost time.Duration, f func(context.Context) error) error {
	w := &watched{parent: ctx, conn: c}
	if atMost > 0 {
		w.deadline = time.Now().Add(atMost)
	}
	c.watched.Store(w)
	defer w.end()
	return f(w)
}

// lookOut makes what arrives known from here on, if Watch runs.
func (c *LineConn) lookOut() {
	if w := c.watched.Load(); w != nil {
		w.ask()
	}
}

// watched is the context of a Watch. It becomes one that can end, and the connection one that is read, when somebody asks.
// Any goroutine may, also when Watch has returned.
type watched struct {
	parent   context.Context
	conn     *LineConn
	deadline time.Time // zero: none

	mu   sync.Mutex
	real context.Context // nil: nobody has asked
	stop func()          // ends real and the reading; nil with real
	over bool            // Watch has returned
}

// ask gives the context that can end.
func (w *watched) ask() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.real != nil {
		return w.real
	}
	ctx, cancel := context.WithCancelCause(w.parent)
	cancelTimer := context.CancelFunc(func() {})
	if !w.deadline.IsZero() {
		ctx, cancelTimer = context.WithDeadline(ctx, w.deadline)
	}
	stopReading := func() {}
	if !w.over {
		stopReading = w.conn.watch(cancel)
	}
	w.real = ctx
	w.stop = func() {
		stopReading()
		cancelTimer()
		cancel(nil)
	}
	if w.over {
		w.stop()
	}
	return ctx
}

// end ends the context and the reading, if there are any.
func (w *watched) end() {
	w.conn.watched.Store(nil)
	w.mu.Lock()
	w.over = true
	stop := w.stop
	w.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Deadline is the earlier of Watch's and its parent's.
func (w *watched) Deadline() (time.Time, bool) {
	deadline, ok := w.parent.Deadline()
	if !w.deadline.IsZero() && (!ok || w.deadline.Before(deadline)) {
		return w.deadline, true
	}
	return deadline, ok
}

// Done is for whoever waits.
func (w *watched) Done() <-chan struct{} { return w.ask().Done() }

// Err is for whoever looks now and then.
func (w *watched) Err() error { return w.ask().Err() }

// Value is the parent's, once there is one the real context's: by it package context finds causes.
func (w *watched) Value(key any) any {
	w.mu.Lock()
	ctx := w.real
	w.mu.Unlock()
	if ctx == nil {
		ctx = w.parent
	}
	return ctx.Value(key)
}

// watch begins to read ahead, and calls cancel when the peer leaves; the function that it returns ends it.
func (c *LineConn) watch(cancel context.CancelCauseFunc) (stop func()) {
	c.SetBuffer(c.buf)
	if c.err != nil { // there is nothing more to read
		if c.left(c.err) {
			cancel(ErrPeerLeft)
		}
		return func() {}
	}
	if c.w == len(c.buf) || c.wakeBy(time.Time{}) != nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.readAhead(cancel)
	}()
	return func() {
		_ = c.wakeBy(time.Unix(1, 0)) // if that fails the connection is gone, and so the read
		<-done
	}
}

// readAhead reads until the buffer is full or reading fails, and calls cancel if the peer has left.
func (c *LineConn) readAhead(cancel context.CancelCauseFunc) {
	for c.w < len(c.buf) {
		err := c.err
		if err == nil {
			n, readErr := c.net.Read(c.buf[c.w:])
			err = c.took(n, readErr)
		}
		if err == nil {
			continue
		}
		if c.left(err) {
			cancel(ErrPeerLeft)
		}
		return
	}
}

// left says whether the peer has left when reading has ended with err.
func (c *LineConn) left(err error) bool {
	return !isTimeout(err) && (!errors.Is(err, io.EOF) || c.waiting() == 0)
}
