package imapd_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailtest"
)

// RFC 2177 §3.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.stop()
		w.numbered(3)
		c, other := w.selected(), w.login()
		c.Talk("C: a IDLE\nS: + idling")
		w.put(mail("4"))
		c.Talk("S: * 4 EXISTS\nS: * 4 RECENT")
		other.do("x SELECT INBOX")
		other.do("x STORE 2:3 +FLAGS.SILENT (\\Deleted)")
		c.Talk("S: * 2 FETCH (FLAGS (\\Recent \\Deleted))\nS: * 3 FETCH (FLAGS (\\Recent \\Deleted))")
		other.do("x EXPUNGE")
		c.Talk(`
			S: * 3 EXPUNGE
			S: * 2 EXPUNGE
			S: * 2 RECENT
			C: done
			S: a OK IDLE completed
			C: b IDLE x
			S: b BAD unexpected text at the end of the command
			C: c IDLE
			S: + idling
			C: NOOP
			S: c BAD Expected DONE
			C: d NOOP
			S: d OK NOOP completed
		`)
		nobody := w.login() // valid without a mailbox, too
		nobody.Talk("C: a IDLE\nS: + idling\nC: DONE\nS: a OK IDLE completed")
	})
}

// A client that pipelines does not wait for anything.
func TestPipelinedIdle(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	c := w.selected()
	c.send("a IDLE\r\nDONE\r\nb IDLE\r\nDONE\r\nc NOOP\r\n")
	c.Talk("S: + idling\nS: a OK IDLE completed\nS: + idling\nS: b OK IDLE completed\nS: c OK NOOP completed")
}

func TestIdleKeepsAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(s *imapd.Server) { s.KeepAlive = time.Minute })
		defer w.stop()
		c := w.selected()
		c.Talk("C: a IDLE\nS: + idling")
		began := time.Now()
		for range 3 {
			c.Talk("S: * OK Still here")
		}
		require.Equal(t, 3*time.Minute, time.Since(began))
		c.Talk("C: DONE\nS: a OK IDLE completed")
	})
}

// slowBox is a mailbox whose messages take a time to be opened.
type slowBox struct {
	mailbox.Mailbox
	opened *atomic.Int64
}

func (b slowBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	b.opened.Add(1)
	time.Sleep(20 * time.Second)
	return b.Mailbox.Content(ctx, uid)
}

// A SEARCH that takes long keeps the connection alive, and ends when it is gone.
func TestLongSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return slowBox{b, &opened} })
		defer w.stop()
		w.numbered(100)
		c := w.selected()
		c.Talk("C: a SEARCH 1:20 BODY 1\nS: * OK Still searching\nS: * OK Still searching\nS: * SEARCH <>\nS: a OK SEARCH completed")
		require.EqualValues(t, 20, opened.Load())
		c.send("b SEARCH BODY 1\r\n")
		time.Sleep(time.Second)
		require.NoError(t, c.Conn.Close())
		time.Sleep(time.Hour)
		require.Less(t, opened.Load(), int64(20+2*9+2), "it ends with the second keep-alive at the latest")
	})
}

// A store that cannot say when there is something new is looked at with the keep-alive.
func TestIdleWithoutWakeUps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return plainBox{b} })
		defer w.stop()
		c := w.selected()
		c.Talk("C: a IDLE\nS: + idling")
		w.put(mail("1"))
		c.Talk("S: * OK Still here\nS: * 1 EXISTS\nS: * 0 RECENT\nC: DONE\nS: a OK IDLE completed")
	})
}

// doubled is a mailbox whose wake-ups never end.
type doubled struct{ mailbox.Mailbox }

func (d doubled) Watch(wake chan<- struct{}) func() {
	stop := d.Mailbox.(mailbox.Watcher).Watch(wake)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case wake <- struct{}{}:
			case <-done:
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	return func() { stop(); close(done); wg.Wait() }
}

func TestIdleWithTooManyWakeUps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return doubled{b} })
		defer w.stop()
		c := w.selected()
		c.Talk("C: a IDLE\nS: + idling")
		w.put(mail("1"))
		c.Talk("S: * 1 EXISTS\nS: * 0 RECENT\nC: DONE\nS: a OK IDLE completed")
	})
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		after time.Duration
		say   func(c *client)
		bye   string
	}{
		"no log-in":        {3 * time.Minute, func(*client) {}, "* BYE Log-in took too long"},
		"half a command":   {2 * time.Minute, func(c *client) { c.send("a LOGI") }, "* BYE Command did not come to its end"},
		"half a literal":   {2 * time.Minute, func(c *client) { c.send("a LOGIN {5+}\r\nab") }, "* BYE Command did not come to its end"},
		"half an exchange": {2 * time.Minute, func(c *client) { c.Talk("C: a AUTHENTICATE PLAIN\nS: + ") }, "* BYE Command did not come to its end"},
		"between commands": {31 * time.Minute, func(c *client) { c.do("x LOGIN joe secret") }, "* BYE Idle for too long"},
		"in a message": {2 * time.Minute, func(c *client) {
			c.do("x LOGIN joe secret")
			c.send("a APPEND INBOX {1000+}\r\nab")
		}, "* BYE Command did not come to its end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				defer w.stop()
				c := w.dial()
				test.say(c)
				began := time.Now()
				require.Equal(t, test.bye, c.line())
				require.Equal(t, test.after, time.Since(began))
				c.closed()
			})
		})
	}
}

// A log-in that trickles in is cut off in the end, although something always comes.
func TestSlowLoginIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.stop()
		c := w.dial()
		began := time.Now()
		for range 10 {
			time.Sleep(time.Minute)
			if _, err := c.Conn.Write([]byte("a")); err != nil {
				break
			}
		}
		require.LessOrEqual(t, time.Since(began), 5*time.Minute)
	})
}

// A slow upload is none: only standing still is.
func TestSlowAppend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.stop()
		c := w.login()
		c.send("a APPEND INBOX {1200+}\r\n")
		for range 60 {
			time.Sleep(time.Minute)
			c.send("01234567890123456\r\n" + "\n")
		}
		c.send("\r\n")
		c.Talk("S: a OK [APPENDUID <> 1] APPEND completed")
	})
}

func TestIdleTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(s *imapd.Server) { s.IdleTimeout = time.Minute }) // RFC 3501 §5.4 allows no less than 30
		defer w.stop()
		c := w.selected()
		c.Talk("C: a IDLE\nS: + idling")
		began := time.Now()
		for {
			line := c.line()
			if line != "* OK Still here" {
				require.Equal(t, "* BYE Idle for too long", line)
				break
			}
		}
		require.Equal(t, 30*time.Minute, time.Since(began))
		c.closed()
	})
}

// A client that does not read its answers is given up.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 10)
		w := start(t, func(s *imapd.Server) {
			s.Trace.Disconnected = func(_ *imapd.Session, err error) { ended <- err }
		})
		defer w.stop()
		w.put("Subject: large\n\n" + string(make([]byte, 1<<20)))
		c := w.selected()
		began := time.Now()
		c.send("a FETCH 1 BODY[]\r\n")
		require.Error(t, <-ended)
		require.Equal(t, imapd.DefaultWriteTimeout, time.Since(began))
	})
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		waiting, idling, sending := w.login(), w.selected(), w.login()
		idling.Talk("C: a IDLE\nS: + idling")
		sending.send("a APPEND INBOX {17+}\r\nSubject: x\r\n")
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- w.server.Shutdown(context.Background()) }()
		waiting.Talk("S: * BYE Server is shutting down")
		waiting.closed()
		idling.Talk("S: * BYE Server is shutting down")
		idling.closed()
		synctest.Wait()
		select {
		case <-done:
			require.Fail(t, "a command was running")
		default:
		}
		sending.send("\r\nabc\r\n")
		sending.Talk("S: a OK [APPENDUID <> 1] APPEND completed\nS: * BYE Server is shutting down")
		sending.closed()
		require.NoError(t, <-done)
		w.stop()
	})
}

// Neither half a command nor half a handshake keeps the server from ending.
func TestShutdownDoesNotWaitForTheSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(s *imapd.Server) { s.TLSConfig = mailtest.NewCA().ServerConfig("mail.example.com") })
		typing, shaking := w.dial(), w.dial()
		typing.send("a LOGI")
		shaking.Talk("C: a STARTTLS\nS: a OK Begin TLS negotiation now")
		synctest.Wait()
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- w.server.Shutdown(context.Background()) }()
		require.Equal(t, "* BYE Server is shutting down", typing.line())
		shaking.closed()
		require.NoError(t, typing.Conn.Close())
		require.NoError(t, <-done)
		require.Less(t, time.Since(began), 2*time.Second)
		w.stop()
	})
}

func TestShutdownThatRunsOutOfTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		c := w.login()
		c.send("a APPEND INBOX {17+}\r\nSubject: x\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(t, w.server.Shutdown(ctx), context.DeadlineExceeded)
		c.closed()
		w.stop()
		l, err := w.network.Listen("tcp", "192.0.2.1:1143")
		require.NoError(t, err)
		require.ErrorIs(t, w.server.Serve(l), imapd.ErrServerClosed)
	})
}

func TestCloseOfAServerThatNeverServed(t *testing.T) {
	t.Parallel()
	require.NoError(t, new(imapd.Server).Close())
	require.NoError(t, new(imapd.Server).Shutdown(context.Background()))
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	refused := make(chan string, 10)
	w := start(t, func(s *imapd.Server) {
		s.MaxConnections, s.MaxConnectionsPerIP, s.MaxConnectionsPerUser = 4, 2, 1
		s.Trace.Refused = func(_ netip.AddrPort, reason string) {
			select {
			case refused <- reason:
			default:
			}
		}
	})
	a, b := w.dial(), w.dial()
	c := w.dialRaw()
	c.Talk("S: * BYE [UNAVAILABLE] Too many connections from your address")
	c.closed()
	require.Equal(t, "Too many connections from your address", <-refused)
	a.do("x LOGIN joe secret") // no longer counts
	c = w.dial()
	require.Equal(t, []string{"x NO [LIMIT] Too many sessions of this user"}, c.do("x LOGIN joe secret"))
	b.Talk("C: a LOGOUT\nS: <>\nS: <>")
	b.closed()
	require.Eventually(t, func() bool {
		b = w.dialRaw()
		return b.line()[:4] == "* OK"
	}, 5*time.Second, time.Millisecond)
	a.Talk("C: a LOGOUT\nS: <>\nS: <>")
	a.closed()
	require.Eventually(t, func() bool {
		return len(c.do("x LOGIN joe secret")) == 1 && c.do("x NOOP")[0] == "x OK NOOP completed" && w.loggedIn(c)
	},
		5*time.Second, time.Millisecond)
}

// loggedIn says whether the client is in.
func (w *world) loggedIn(c *client) bool { return c.do("x LIST \"\" \"\"")[0] != "x BAD Log in first" }

// New connections have the settings of the moment, and count together with the others.
func TestSettingsChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Pointer[imapd.Server]
		w := start(t, func(s *imapd.Server) { s.PerConnection = current.Load })
		old := w.login()
		current.Store(&imapd.Server{
			Hostname: "new.example.com", AllowInsecureAuth: true, Auth: w.server.Auth, Store: w.server.Store,
			MaxConnectionsPerUser: 1, MaxConnections: 2, MaxAppendSize: 1000,
		})
		c := w.dialRaw()
		c.Talk("S: * OK [CAPABILITY <> APPENDLIMIT=1000 <>] new.example.com IMAP server ready")
		c.Talk("C: a LOGIN joe secret\nS: a NO [LIMIT] Too many sessions of this user")
		w.dialRaw().Talk("S: * BYE [UNAVAILABLE] Too many connections")
		old.Talk("C: a IDLE\nS: + idling\nC: DONE\nS: a OK IDLE completed\nC: b LOGOUT\nS: * BYE Logging out\nS: b OK LOGOUT completed")
		old.closed()
		require.NoError(t, old.Conn.Close())
		synctest.Wait()
		c.Talk("C: b LOGIN joe secret\nS: b OK <>\nC: c IDLE\nS: + idling")
		require.NoError(t, w.server.Shutdown(context.Background()), "which knows all connections")
		c.Talk("S: * BYE Server is shutting down")
		w.stop()
	})
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.MaxConnections = 1 })
	w.dial()
	c := w.dialRaw()
	c.Talk("S: * BYE [UNAVAILABLE] Too many connections")
	c.closed()
}

// A panic of a store ends one session, and no other.
func TestPanicEndsOneSession(t *testing.T) {
	t.Parallel()
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox {
		return stubbornBox{Mailbox: b, contentErr: func(mailbox.UID) error { panic("store is broken") }}
	})
	w.put(mail("1"))
	c, other := w.selected(), w.selected()
	c.send("a FETCH 1 BODY[]\r\n")
	c.closed()
	other.Talk("C: a NOOP\nS: a OK NOOP completed")
}

func TestTrace(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf(format, args...))
	}
	ended := make(chan struct{})
	w := start(t, func(s *imapd.Server) {
		s.Trace = imapd.Trace{
			Connected: func(s *imapd.Session) { note("connected %t %s", s.ID != "", s.Peer.Protocol) },
			Auth: func(s *imapd.Session, mechanism string, err error) {
				note("auth %s %t %t", mechanism, err == nil, s.Peer.Identity != nil)
			},
			Command: func(s *imapd.Session, name, status string, _ time.Duration) { note("%s %s", name, status) },
			Disconnected: func(s *imapd.Session, err error) {
				note("disconnected %t", errors.Is(err, nil))
				close(ended)
			},
		}
	})
	c := w.dial()
	c.do("a LOGIN joe wrong")
	c.do("b LOGIN joe secret")
	c.do("c NONSENSE")
	c.do("d SELECT INBOX")
	c.do("e UID FETCH 1 FLAGS")
	c.do("f LOGOUT")
	<-ended
	require.Equal(t, []string{"connected true IMAP", "auth LOGIN false false", "LOGIN NO", "auth LOGIN true true", "LOGIN OK", "UNKNOWN BAD",
		"SELECT OK", "UID FETCH OK", "LOGOUT OK", "disconnected true"}, events)
}
