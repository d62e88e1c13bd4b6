package serving_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// Who does not ask gets no goroutine, and nothing is read.
func TestWatchIsLazy(t *testing.T) {
	inPair(t, func(p *pair) {
		p.send("one\n")
		type key struct{}
		parent := context.WithValue(p.t.Context(), key{}, "value")
		require.NoError(p.t, p.conn.WatchFor(parent, time.Minute, func(ctx context.Context) error {
			time.Sleep(time.Second)
			require.Equal(p.t, "value", ctx.Value(key{}))
			deadline, ok := ctx.Deadline()
			require.True(p.t, ok)
			require.Equal(p.t, time.Now().Add(59*time.Second), deadline)
			require.Empty(p.t, p.conn.Buffered())
			return nil
		}))
		p.line("one\n")
	})
}

// Each way to ask notices that the peer has left, and that time is over, at the moment when it happens.
func TestWatchTellsWhoAsks(t *testing.T) {
	ways := map[string]func(p *pair, ctx context.Context) error{
		"Done": func(_ *pair, ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
		"Err": func(_ *pair, ctx context.Context) error {
			for ctx.Err() == nil {
				time.Sleep(time.Second / 4)
			}
			return context.Cause(ctx)
		},
		"Cause": func(_ *pair, ctx context.Context) error {
			for context.Cause(ctx) == nil {
				time.Sleep(time.Second / 4)
			}
			return context.Cause(ctx)
		},
		"a child": func(_ *pair, ctx context.Context) error {
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			<-child.Done()
			return context.Cause(child)
		},
		"a grandchild with a value": func(_ *pair, ctx context.Context) error {
			child, cancel := context.WithCancelCause(context.WithValue(ctx, t, t))
			defer cancel(nil)
			<-child.Done()
			return context.Cause(child)
		},
		"AfterFunc": func(_ *pair, ctx context.Context) error {
			cause := make(chan error)
			context.AfterFunc(ctx, func() { cause <- context.Cause(ctx) })
			return <-cause
		},
		"Pending, then Done": func(p *pair, ctx context.Context) error {
			require.Zero(p.t, p.conn.Pending())
			<-ctx.Done()
			return context.Cause(ctx)
		},
		"many at once": func(p *pair, ctx context.Context) error {
			var wg sync.WaitGroup
			causes := make([]error, 10)
			for i := range causes {
				wg.Go(func() {
					<-ctx.Done()
					_ = ctx.Err()
					causes[i] = context.Cause(ctx)
				})
			}
			wg.Wait()
			for _, cause := range causes {
				require.Equal(p.t, causes[0], cause)
			}
			return causes[0]
		},
	}
	for name, ask := range ways {
		t.Run(name+", peer leaves", func(t *testing.T) {
			inPair(t, func(p *pair) {
				began := time.Now()
				time.AfterFunc(2*time.Second, func() { p.peer.Close() })
				err := p.conn.WatchFor(p.t.Context(), time.Minute, func(ctx context.Context) error { return ask(p, ctx) })
				require.ErrorIs(p.t, err, serving.ErrPeerLeft)
				require.InDelta(p.t, 2, time.Since(began).Seconds(), 0.25, "who looks four times a second may find out later")
			})
		})
		t.Run(name+", time is over", func(t *testing.T) {
			inPair(t, func(p *pair) {
				began := time.Now()
				err := p.conn.WatchFor(p.t.Context(), 3*time.Second, func(ctx context.Context) error {
					time.Sleep(time.Second) // the time counts from the start
					return ask(p, ctx)
				})
				require.ErrorIs(p.t, err, context.DeadlineExceeded)
				require.InDelta(p.t, 3, time.Since(began).Seconds(), 0.25)
			})
		})
		t.Run(name+", server is closed", func(t *testing.T) {
			inPair(t, func(p *pair) {
				closed := errors.New("closed")
				ctx, cancel := context.WithCancelCause(p.t.Context())
				time.AfterFunc(2*time.Second, func() { cancel(closed) })
				err := p.conn.WatchFor(ctx, time.Minute, func(ctx context.Context) error { return ask(p, ctx) })
				require.Equal(p.t, closed, err)
			})
		})
	}
}

// A peer that left before anybody asked is noticed once somebody does.
func TestWatchAskedLate(t *testing.T) {
	inPair(t, func(p *pair) {
		require.NoError(p.t, p.peer.Close())
		require.ErrorIs(p.t, p.conn.Watch(p.t.Context(), func(ctx context.Context) error {
			time.Sleep(time.Second)
			require.NoError(p.t, ctx.Err())
			synctest.Wait()
			require.ErrorIs(p.t, ctx.Err(), context.Canceled)
			return context.Cause(ctx)
		}), serving.ErrPeerLeft)
	})
}

// A context that was kept has ended, whether or not somebody had asked before, and does not touch the connection.
func TestWatchIsOver(t *testing.T) {
	for name, before := range map[string]func(context.Context){
		"asked":     func(ctx context.Context) { require.NoError(t, ctx.Err()) },
		"not asked": func(context.Context) {},
	} {
		t.Run(name, func(t *testing.T) {
			inPair(t, func(p *pair) {
				var kept context.Context
				require.NoError(p.t, p.conn.WatchFor(p.t.Context(), time.Minute, func(ctx context.Context) error {
					kept = ctx
					before(ctx)
					return nil
				}))
				p.send("one\n")
				<-kept.Done()
				require.Equal(p.t, context.Canceled, kept.Err())
				require.Equal(p.t, context.Canceled, context.Cause(kept))
				synctest.Wait()
				require.Zero(p.t, p.conn.Pending())
				p.line("one\n")
			})
		})
	}
}

// The parent's deadline holds if it is earlier.
func TestWatchDeadline(t *testing.T) {
	inPair(t, func(p *pair) {
		_ = p.conn.Watch(context.Background(), func(ctx context.Context) error {
			_, ok := ctx.Deadline()
			require.False(p.t, ok)
			return nil
		})
		parent, cancel := context.WithTimeout(p.t.Context(), time.Second)
		defer cancel()
		for _, atMost := range []time.Duration{0, time.Minute} {
			_ = p.conn.WatchFor(parent, atMost, func(ctx context.Context) error {
				deadline, ok := ctx.Deadline()
				require.True(p.t, ok)
				require.Equal(p.t, time.Now().Add(time.Second), deadline)
				return nil
			})
		}
	})
}

// reset is a connection whose peer has reset it behind the octets that it gives.
type reset struct {
	net.Conn
	first string
}

func (c *reset) SetReadDeadline(time.Time) error { return nil }

func (c *reset) Read(p []byte) (int, error) {
	n := copy(p, c.first)
	c.first = c.first[n:]
	if n == 0 {
		return 0, syscall.ECONNRESET
	}
	return n, nil
}

// cause is what a Watch ends with that waits for a minute at most.
func cause(t *testing.T, conn *serving.LineConn) error {
	t.Helper()
	return conn.WatchFor(t.Context(), time.Minute, func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

// Steps that run after the peer has left are told, too, although commands wait.
func TestWatchAgainAfterAReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := new(serving.LineConn)
		conn.Init(&reset{first: "one\ntwo\nthree\n"}, writeTimeout)
		line, err := conn.ReadLine(time.Now().Add(time.Minute), true)
		require.NoError(t, err)
		require.Equal(t, "one\n", string(line))
		began := time.Now()
		for _, next := range []string{"two\n", "three\n", ""} {
			require.ErrorIs(t, cause(t, conn), serving.ErrPeerLeft)
			require.Equal(t, next, string(conn.NextLine()))
		}
		require.Zero(t, time.Since(began))
	})
}

// Who closes its side behind commands waits for the replies, up to the last command.
func TestWatchAgainAfterAHalfClose(t *testing.T) {
	inPair(t, func(p *pair) {
		p.send("one\ntwo\n")
		halfClose(p.t, p.peer)
		p.line("one\n")
		require.ErrorIs(p.t, cause(p.t, p.conn), context.DeadlineExceeded)
		require.ErrorIs(p.t, cause(p.t, p.conn), context.DeadlineExceeded)
		require.Equal(p.t, "two\n", string(p.conn.NextLine()))
		began := time.Now()
		require.ErrorIs(p.t, cause(p.t, p.conn), serving.ErrPeerLeft)
		require.Zero(p.t, time.Since(began))
	})
}
