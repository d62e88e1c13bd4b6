package serving_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailtest"
)

// timed says how long a read of p that is due in a minute takes, and its error.
func (p *pair) timed(idle bool) (time.Duration, error) {
	began := time.Now()
	_, err := p.conn.ReadLine(began.Add(time.Minute), idle)
	return time.Since(began), err
}

func TestHurry(t *testing.T) {
	for _, test := range []struct {
		name        string
		begin, end  time.Duration // of stress; 0: before the read, or never
		hurry, want time.Duration
	}{
		{"before the read", 0, 0, 10 * time.Second, 10 * time.Second},
		{"while it waits", 5 * time.Second, 0, 10 * time.Second, 10 * time.Second},
		{"when it is late already", 30 * time.Second, 0, 10 * time.Second, 30 * time.Second},
		{"over in time", 5 * time.Second, 8 * time.Second, 10 * time.Second, time.Minute},
		{"later than the deadline", 0, 0, time.Hour, time.Minute},
		{"none", 0, 0, 0, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			inPair(t, func(p *pair) {
				if test.hurry > 0 {
					p.conn.Hurry = time.Now().Add(test.hurry)
				}
				if test.begin == 0 {
					p.conn.Stress(true)
				} else {
					time.AfterFunc(test.begin, func() { p.conn.Stress(true) })
				}
				if test.end > 0 {
					time.AfterFunc(test.end, func() { p.conn.Stress(false) })
				}
				took, err := p.timed(false)
				require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
				require.Equal(p.t, test.want, took)
			})
		})
	}
}

// A peer that takes nothing is left earlier under stress, also when stress begins later.
func TestWriteHurry(t *testing.T) {
	for _, test := range []struct {
		name        string
		begin, end  time.Duration // of stress, after the Write has begun; 0: before it, or never
		hurry, want time.Duration
	}{
		{"before the write", 0, 0, 20 * time.Second, 20 * time.Second},
		{"while it waits", time.Second, 0, 20 * time.Second, 20 * time.Second},
		{"when it is late already", 30 * time.Second, 0, 20 * time.Second, 30 * time.Second},
		{"over in time", time.Second, 5 * time.Second, 20 * time.Second, writeTimeout},
		{"later than the deadline", 0, 0, time.Hour, writeTimeout},
		{"none", 0, 0, 0, writeTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			inPair(t, func(p *pair) {
				p.conn.WriteHurry = test.hurry
				if test.begin == 0 {
					p.conn.Stress(true)
				} else {
					time.AfterFunc(test.begin, func() { p.conn.Stress(true) })
				}
				if test.end > 0 {
					time.AfterFunc(test.end, func() { p.conn.Stress(false) })
				}
				began := time.Now()
				_, err := p.conn.Write(make([]byte, 16<<20))
				require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
				require.Equal(p.t, test.want, time.Since(began))
				require.True(p.t, p.conn.Broken())
			})
		})
	}
}

// Stress between Writes ends none, and what one has set does not hold for the next.
func TestStressBetweenWrites(t *testing.T) {
	inPair(t, func(p *pair) {
		p.conn.WriteHurry = time.Second
		received := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(io.Discard, p.peer)
			received <- n
		}()
		for _, on := range []bool{false, true, false, true, true} {
			p.conn.Stress(on)
			_, err := p.conn.Write([]byte("x"))
			require.NoError(p.t, err)
			time.Sleep(time.Minute)
			p.conn.Stress(!on)
		}
		require.NoError(p.t, p.raw.Close())
		require.EqualValues(p.t, 5, <-received)
	})
}

// What changes between reads does not end one that is not there.
func TestStressBetweenReads(t *testing.T) {
	inPair(t, func(p *pair) {
		p.conn.Hurry = time.Now().Add(-time.Hour)
		p.send("a\nb\n")
		p.line("a\n")
		p.conn.Stress(true)
		p.line("b\n")
		p.conn.Stress(false)
		p.send("c\n")
		p.line("c\n")
	})
}

func TestGrace(t *testing.T) {
	for _, test := range []struct {
		name  string
		drain time.Duration // 0: before the read
		grace time.Duration
		want  time.Duration
		is    error
	}{
		{"while it waits", 10 * time.Second, 5 * time.Second, 15 * time.Second, serving.ErrDraining},
		{"before the read", 0, 5 * time.Second, 5 * time.Second, serving.ErrDraining},
		{"longer than the deadline", 10 * time.Second, time.Hour, time.Minute, serving.ErrDraining},
		{"none", 10 * time.Second, 0, time.Minute, os.ErrDeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			inPair(t, func(p *pair) {
				p.conn.Grace = test.grace
				if test.drain == 0 {
					p.conn.Drain()
				} else {
					time.AfterFunc(test.drain, p.conn.Drain)
				}
				took, err := p.timed(false)
				require.ErrorIs(p.t, err, test.is)
				require.Equal(p.t, test.want, took)
			})
		})
	}
	t.Run("and stress", func(t *testing.T) {
		inPair(t, func(p *pair) {
			p.conn.Grace, p.conn.Hurry = 20*time.Second, time.Now().Add(10*time.Second)
			p.conn.Stress(true)
			time.AfterFunc(time.Second, p.conn.Drain)
			took, err := p.timed(false)
			require.ErrorIs(p.t, err, serving.ErrDraining)
			require.Equal(p.t, 10*time.Second, took)
		})
	})
	t.Run("of one who is idle", func(t *testing.T) {
		inPair(t, func(p *pair) {
			p.conn.Grace = 5 * time.Second
			time.AfterFunc(time.Second, p.conn.Drain)
			time.AfterFunc(2*time.Second, func() { p.conn.Stress(true) })
			took, err := p.timed(true)
			require.ErrorIs(p.t, err, serving.ErrDraining)
			require.Equal(p.t, time.Second, took)
		})
	})
}

func TestHurriedHandshake(t *testing.T) {
	inPair(t, func(p *pair) {
		p.conn.Hurry = time.Now().Add(10 * time.Second)
		time.AfterFunc(time.Second, func() { p.conn.Stress(true) })
		began := time.Now()
		_, err := p.conn.Handshake(p.t.Context(), mailtest.NewCA().ServerConfig("mail.example.com"), began.Add(time.Minute))
		require.ErrorIs(p.t, err, serving.ErrHandshake)
		require.Equal(p.t, 10*time.Second, time.Since(began))
	})
	t.Run("in time", func(t *testing.T) {
		inPair(t, func(p *pair) {
			ca := mailtest.NewCA()
			p.conn.Hurry = time.Now().Add(10 * time.Second)
			p.conn.Stress(true)
			client := tls.Client(p.peer, ca.ClientConfig("mail.example.com"))
			done := make(chan error, 1)
			go func() { done <- client.Handshake() }()
			_, err := p.conn.Handshake(p.t.Context(), ca.ServerConfig("mail.example.com"), time.Now().Add(time.Minute))
			require.NoError(p.t, err)
			require.NoError(p.t, <-done)
			p.conn.Hurry = time.Time{}
			go func() {
				time.Sleep(30 * time.Second)
				_, _ = client.Write([]byte("later\n"))
			}()
			p.line("later\n")
		})
	})
}

// Stress follows the number of connections, and is told of in turns.
func TestLifeUnderStress(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		stress := rapid.IntRange(0, 6).Draw(r, "stress")
		calm := rapid.IntRange(0, max(stress-1, 0)).Draw(r, "calm")
		steps := rapid.SliceOfN(rapid.Bool(), 1, 30).Draw(r, "steps")
		synctest.Test(t, func(t *testing.T) {
			network := mailtest.NewNetwork()
			l, err := network.Listen("tcp", address)
			require.NoError(t, err)
			var life serving.Life
			told := false
			service := serving.Service{
				Name: "echo", Closed: errClosed, Logger: slog.New(slog.DiscardHandler),
				Stress: func(on bool) {
					require.NotEqual(t, told, on)
					told = on
				},
				New: func(c net.Conn) serving.Newcomer {
					return serving.Newcomer{
						Session: &session{conn: c}, Logger: slog.New(slog.DiscardHandler), MaxConnections: -1, MaxPerAddress: -1,
						MaxPerNetwork: -1,
						Stress:        stress, Calm: calm,
					}
				},
			}
			ended := make(chan error, 1)
			go func() { ended <- life.Serve(l, service) }()
			var open []net.Conn
			on := false
			var waits <-chan struct{}
			waited := false // waits was closed
			for _, come := range steps {
				switch {
				case come:
					conn, err := network.Dialer("203.0.113.1").Dial("tcp", address)
					require.NoError(t, err)
					open = append(open, conn)
				case len(open) > 0:
					require.NoError(t, open[0].Close())
					open = open[1:]
				}
				synctest.Wait()
				on = stress > 0 && (len(open) >= stress || on && len(open) > calm)
				require.Equal(t, on, life.Stressed(), "%d connections", len(open))
				require.Equal(t, on, told)
				require.Equal(t, on, isClosed(life.UnderStress()))
				if waits == nil || rapid.Bool().Draw(r, "waits anew") {
					waits, waited = life.UnderStress(), on
				}
				waited = waited || on
				require.Equal(t, waited, isClosed(waits), "who waits is told, even if it is over already")
			}
			for _, conn := range open {
				require.NoError(t, conn.Close())
			}
			require.NoError(t, life.Close(errClosed))
			require.ErrorIs(t, <-ended, errClosed)
			synctest.Wait()
			require.False(t, life.Stressed())
		})
	})
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Sessions are told, those that come while it lasts as well.
func TestSessionsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := mailtest.NewNetwork()
		l, err := network.Listen("tcp", address)
		require.NoError(t, err)
		var life serving.Life
		var sessions []*hurried
		service := serving.Service{Name: "echo", Closed: errClosed, Logger: slog.New(slog.DiscardHandler),
			New: func(c net.Conn) serving.Newcomer {
				s := &hurried{session: session{conn: c}}
				sessions = append(sessions, s)
				return serving.Newcomer{
					Session: s, Logger: slog.New(slog.DiscardHandler), MaxConnections: -1, MaxPerAddress: -1, MaxPerNetwork: -1, Stress: 2,
					Calm: 1,
				}
			}}
		ended := make(chan error, 1)
		go func() { ended <- life.Serve(l, service) }()
		var open []net.Conn
		for range 3 {
			conn, err := network.Dialer("203.0.113.1").Dial("tcp", address)
			require.NoError(t, err)
			open = append(open, conn)
			synctest.Wait()
		}
		for _, s := range sessions {
			require.Equal(t, "true", s.told())
		}
		require.NoError(t, open[1].Close())
		require.NoError(t, open[2].Close())
		synctest.Wait()
		require.Equal(t, "true false", sessions[0].told())
		require.NoError(t, open[0].Close())
		require.NoError(t, life.Close(errClosed))
		require.ErrorIs(t, <-ended, errClosed)
	})
}

// hurried is a session that notes what it is told.
type hurried struct {
	session
	notes []string
}

func (h *hurried) Stress(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, fmt.Sprint(on))
}

func (h *hurried) told() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.notes, " ")
}
