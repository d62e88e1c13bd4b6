package serving_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errClosed = errors.New("echo: closed")

// echo is a server that greets with a digit (the Refusal) and sends back what comes. "leave" gives up the place, "panic"
// panics, "stay" waits for the end of the context and sends its cause.
type echo struct {
	t           *testing.T
	life        serving.Life
	net         *mailtest.Network
	connections int
	perAddress  int // of an address
	perNetwork  int // of a network; 0: none
	log         *strings.Builder
	ended       chan error
}

const address = "192.0.2.1:7"

// inEcho runs f in a bubble with a server.
func inEcho(t *testing.T, connections, perAddress int, f func(e *echo)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &echo{t: t, net: mailtest.NewNetwork(), connections: connections, perAddress: perAddress, log: new(strings.Builder)}
		e.ended = make(chan error, 1)
		l := e.listen(address)
		go func() { e.ended <- e.life.Serve(l, e.service()) }()
		defer synctest.Wait()
		defer e.life.Close(errClosed)
		f(e)
		require.NoError(t, e.life.Close(errClosed))
		require.ErrorIs(t, <-e.ended, errClosed)
	})
}

func (e *echo) listen(addr string) net.Listener {
	l, err := e.net.Listen("tcp", addr)
	require.NoError(e.t, err)
	return l
}

func (e *echo) service() serving.Service {
	log := slog.New(slog.NewTextHandler(e.log, nil))
	return serving.Service{Name: "echo", Closed: errClosed, Logger: log, New: func(c net.Conn) serving.Newcomer {
		return serving.Newcomer{
			Session: &session{conn: c}, Logger: log, MaxConnections: e.connections, MaxPerAddress: e.perAddress,
			MaxPerNetwork: cmp.Or(e.perNetwork, -1),
		}
	}}
}

type session struct {
	conn     net.Conn
	mu       sync.Mutex
	draining bool
}

func (s *session) Serve(ctx context.Context, place *serving.Place) {
	if _, err := s.conn.Write([]byte{'0' + byte(place.Refusal)}); err != nil || place.Refusal != serving.Admitted {
		return
	}
	for r := bufio.NewReader(s.conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.draining {
				_, _ = s.conn.Write([]byte("bye\n"))
			}
			return
		}
		switch line {
		case "leave\n":
			place.Leave()
		case "panic\n":
			panic("aargh")
		case "stay\n":
			<-ctx.Done()
			line = context.Cause(ctx).Error() + "\n"
		}
		_, _ = s.conn.Write([]byte(line))
	}
}

func (s *session) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
}

// dial connects from an address and expects a greeting.
func (e *echo) dial(from, greeting string) net.Conn {
	e.t.Helper()
	conn, err := e.net.Dialer(from).Dial("tcp", address)
	require.NoError(e.t, err)
	e.t.Cleanup(func() { conn.Close() })
	e.expect(conn, greeting)
	return conn
}

func (e *echo) expect(conn net.Conn, want string) {
	e.t.Helper()
	buf := make([]byte, len(want))
	_, err := io.ReadFull(conn, buf)
	require.NoError(e.t, err)
	require.Equal(e.t, want, string(buf))
}

// ask sends a line and expects another.
func (e *echo) ask(conn net.Conn, line, want string) {
	e.t.Helper()
	_, err := io.WriteString(conn, line)
	require.NoError(e.t, err)
	e.expect(conn, want)
}

func (e *echo) gone(conn net.Conn) {
	e.t.Helper()
	_, err := conn.Read(make([]byte, 1))
	require.Error(e.t, err)
}

func TestServerFull(t *testing.T) {
	inEcho(t, 2, -1, func(e *echo) {
		first := e.dial("203.0.113.1", "0")
		e.dial("203.0.113.1", "0")
		e.gone(e.dial("203.0.113.1", "1"))
		require.NoError(e.t, first.Close())
		synctest.Wait()
		e.dial("203.0.113.1", "0")
	})
}

// stuck is a listener whose connections do not take what is written.
type stuck struct{ net.Listener }

type stuckConn struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l stuck) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &stuckConn{Conn: conn, closed: make(chan struct{})}, err
}

func (c *stuckConn) Write([]byte) (int, error) { <-c.closed; return 0, net.ErrClosed }

func (c *stuckConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Those who are told that there is no room are not without number either.
func TestRefusalsAreBounded(t *testing.T) {
	inEcho(t, 1, -1, func(e *echo) {
		l := stuck{e.listen("192.0.2.1:8")}
		go func() { e.ended <- e.life.Serve(l, e.service()) }()
		dialer := e.net.Dialer("")
		for i := range 1 + serving.MaxRefusals + 1 {
			conn, err := dialer.Dial("tcp", "192.0.2.1:8")
			require.NoError(e.t, err)
			synctest.Wait()
			require.NoError(e.t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			_, err = conn.Read(make([]byte, 1))
			timeout, ok := errors.AsType[net.Error](err)
			require.Equal(e.t, i <= serving.MaxRefusals, ok && timeout.Timeout(), "%d: %v", i, err)
			defer conn.Close()
		}
		require.NoError(e.t, e.life.Close(errClosed))
		require.ErrorIs(e.t, <-e.ended, errClosed)
	})
}

func TestAddressFull(t *testing.T) {
	inEcho(t, -1, 1, func(e *echo) {
		first := e.dial("203.0.113.1", "0")
		e.gone(e.dial("203.0.113.1", "2"))
		e.dial("203.0.113.2", "0")
		e.ask(first, "leave\n", "leave\n")
		e.ask(first, "leave\n", "leave\n") // counts once
		second := e.dial("203.0.113.1", "0")
		e.dial("203.0.113.1", "2")
		require.NoError(e.t, first.Close()) // it was not counted any more
		synctest.Wait()
		e.dial("203.0.113.1", "2")
		require.NoError(e.t, second.Close())
		synctest.Wait()
		e.dial("203.0.113.1", "0")
	})
}

func TestNetworkFull(t *testing.T) {
	inEcho(t, -1, 2, func(e *echo) {
		e.perNetwork = 2
		first := e.dial("203.0.113.1", "0")
		e.dial("203.0.113.2", "0")
		e.gone(e.dial("203.0.113.3", "3"))
		e.dial("203.0.114.3", "0")
		e.ask(first, "leave\n", "leave\n")
		e.dial("203.0.113.3", "0") // what was refused has left nothing behind
		e.gone(e.dial("203.0.113.3", "3"))
	})
}

func TestAPanicEndsOneSession(t *testing.T) {
	inEcho(t, 2, 2, func(e *echo) {
		other := e.dial("203.0.113.1", "0")
		conn := e.dial("203.0.113.1", "0")
		_, err := io.WriteString(conn, "panic\n")
		require.NoError(e.t, err)
		e.gone(conn)
		synctest.Wait()
		require.Contains(e.t, e.log.String(), `msg="echo: session: panic" panic=aargh stack=`)
		e.ask(other, "x\n", "x\n")
		e.dial("203.0.113.1", "0") // nothing is counted for it
	})
}

// unready is a connection that cannot be served after all.
type unready struct {
	net.Conn
	err error
}

func (u unready) Ready() error { return u.err }

// over is a connection over another.
type over struct{ net.Conn }

func (o over) NetConn() net.Conn { return o.Conn }

// wrapping changes the connections of a listener.
type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (w wrapping) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(conn), nil
}

// A connection that is not ready has no session and does not count.
func TestConnectionsThatAreNotReady(t *testing.T) {
	inEcho(t, 1, 1, func(e *echo) {
		bad := errors.New("no header")
		wraps := []func(net.Conn) net.Conn{
			func(c net.Conn) net.Conn { return unready{c, bad} },
			func(c net.Conn) net.Conn { return over{over{unready{c, bad}}} },
			func(c net.Conn) net.Conn { return over{unready{c, nil}} },
		}
		next := 0
		l := wrapping{e.listen("192.0.2.2:7"), func(c net.Conn) net.Conn { next++; return wraps[next-1](c) }}
		done := make(chan error)
		go func() { done <- e.life.Serve(l, e.service()) }()
		for i := range wraps {
			conn, err := e.net.Dialer("203.0.113.1").Dial("tcp", "192.0.2.2:7")
			require.NoError(e.t, err)
			if i == len(wraps)-1 {
				e.expect(conn, "0")
				require.NoError(e.t, conn.Close())
				continue
			}
			got, _ := io.ReadAll(conn)
			require.Empty(e.t, got)
			synctest.Wait()
		}
		require.Empty(e.t, e.log.String())
		require.NoError(e.t, e.life.Close(errClosed))
		require.ErrorIs(e.t, <-done, errClosed)
	})
}

// A panic before there is a session ends the connection, and nothing else.
func TestAPanicOfNew(t *testing.T) {
	inEcho(t, 1, 1, func(e *echo) {
		panics, made := true, e.service()
		service := made
		service.New = func(conn net.Conn) serving.Newcomer {
			if panics {
				panics = false
				panic("new")
			}
			return made.New(conn)
		}
		l, err := e.net.Listen("tcp", "192.0.2.2:1")
		require.NoError(e.t, err)
		done := make(chan error)
		go func() { done <- e.life.Serve(l, service) }()
		for _, alive := range []bool{false, true} {
			conn, err := e.net.Dialer("203.0.113.1").Dial("tcp", "192.0.2.2:1")
			require.NoError(e.t, err)
			if alive {
				e.expect(conn, "0")
			} else {
				e.gone(conn)
			}
		}
		synctest.Wait()
		require.Contains(e.t, e.log.String(), `msg="echo: new session: panic" panic=new stack=`)
		require.NoError(e.t, e.life.Close(errClosed))
		require.ErrorIs(e.t, <-done, errClosed)
	})
}

func TestShutdownLetsWorkEnd(t *testing.T) {
	inEcho(t, -1, -1, func(e *echo) {
		waiting, busy := e.dial("203.0.113.1", "0"), e.dial("203.0.113.1", "0")
		_, err := io.WriteString(busy, "stay\n")
		require.NoError(e.t, err)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ended, began := make(chan error, 1), time.Now()
		go func() { ended <- e.life.Shutdown(ctx, errClosed) }()
		e.expect(waiting, "bye\n")
		<-e.life.Draining()
		_, err = e.net.Dialer("").Dial("tcp", address)
		require.Error(e.t, err)
		require.Zero(e.t, time.Since(began), "at once")
		require.ErrorIs(e.t, <-ended, context.DeadlineExceeded)
		require.Equal(e.t, time.Minute, time.Since(began))
		<-e.life.Drained()
		e.gone(busy)
		require.NoError(e.t, e.life.Shutdown(context.Background(), errClosed), "again")
	})
}

func TestCloseEndsContexts(t *testing.T) {
	inEcho(t, -1, -1, func(e *echo) {
		cause := errors.New("cause")
		causes := make(chan error, 1)
		life := new(serving.Life)
		s := e.service()
		s.New = func(net.Conn) serving.Newcomer {
			return serving.Newcomer{Session: &waiter{causes: causes}, Logger: s.Logger, MaxConnections: 1, MaxPerAddress: 1,
				MaxPerNetwork: -1}
		}
		l := e.listen("192.0.2.1:8")
		ended := make(chan error, 1)
		go func() { ended <- life.Serve(l, s) }()
		conn, err := e.net.Dialer("").Dial("tcp", "192.0.2.1:8")
		require.NoError(e.t, err)
		synctest.Wait()
		require.NoError(e.t, life.Close(cause))
		require.Equal(e.t, cause, <-causes)
		require.ErrorIs(e.t, <-ended, errClosed)
		e.gone(conn)
		<-life.Drained()
	})
}

// waiter is a session that waits for the end of its context.
type waiter struct{ causes chan error }

func (w *waiter) Serve(ctx context.Context, _ *serving.Place) {
	<-ctx.Done()
	w.causes <- context.Cause(ctx)
}

func (w *waiter) Drain() {}

func TestLifeThatNeverServed(t *testing.T) {
	t.Parallel()
	var a, b serving.Life
	require.NoError(t, a.Close(errClosed))
	require.NoError(t, b.Shutdown(context.Background(), errClosed))
	serve := func(l net.Listener) error {
		require.ErrorIs(t, a.Serve(l, serving.Service{Closed: errClosed}), errClosed)
		require.ErrorIs(t, l.Close(), net.ErrClosed, "it was closed")
		return errClosed
	}
	require.ErrorIs(t, serving.ListenAndServe("echo", "127.0.0.1:0", serve), errClosed)
	require.ErrorContains(t, serving.ListenAndServe("echo", "256.0.0.1:1", serve), "echo: ")
}

// tired is a listener whose Accept fails.
type tired struct {
	net.Listener
	errs     []error
	closeErr error
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }

func (l *tired) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

func (l *tired) Close() error { return errors.Join(l.Listener.Close(), l.closeErr) }

func TestAcceptFails(t *testing.T) {
	inEcho(t, -1, -1, func(e *echo) {
		emfile := temporary{errors.New("too many open files")}
		began := time.Now()
		broken := &tired{Listener: e.listen("192.0.2.1:8"), errs: []error{emfile, emfile, emfile, errors.New("broken")}}
		require.ErrorContains(e.t, e.life.Serve(broken, e.service()), "echo: accept: broken")
		require.Equal(e.t, 35*time.Millisecond, time.Since(began), "5, 10 and 20")
		require.Equal(e.t, 3, strings.Count(e.log.String(), `msg="echo: accept failed" err="too many open files"`))
		_, err := e.net.Dialer("").Dial("tcp", "192.0.2.1:8")
		require.Error(e.t, err, "the listener is closed")
	})
}

// Nobody waits for the end of a pause.
func TestCloseWhileAcceptFails(t *testing.T) {
	inEcho(t, -1, -1, func(e *echo) {
		emfile := temporary{errors.New("too many open files")}
		l := &tired{Listener: e.listen("192.0.2.1:8"), closeErr: errors.New("worn out")}
		for range 20 {
			l.errs = append(l.errs, emfile)
		}
		life, ended := new(serving.Life), make(chan error, 1)
		go func() { ended <- life.Serve(l, e.service()) }()
		time.Sleep(4 * time.Second)
		began := time.Now()
		require.ErrorContains(e.t, life.Close(errClosed), "worn out")
		require.ErrorIs(e.t, <-ended, errClosed)
		require.Zero(e.t, time.Since(began))
	})
}
