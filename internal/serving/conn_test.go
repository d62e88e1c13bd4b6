package serving_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
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

// pair are the two ends of a connection: peer sends, conn is what is tested.
type pair struct {
	t    *testing.T
	peer net.Conn
	raw  net.Conn
	conn *serving.LineConn
}

// writeTimeout is that of conn.
const writeTimeout = time.Minute

// inPair runs f in a bubble.
func inPair(t *testing.T, f func(p *pair)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := mailtest.NewNetwork()
		l, err := network.Listen("tcp", address)
		require.NoError(t, err)
		defer l.Close()
		p := &pair{t: t, conn: new(serving.LineConn)}
		p.peer, err = network.Dialer("203.0.113.1").Dial("tcp", address)
		require.NoError(t, err)
		defer p.peer.Close()
		p.raw, err = l.Accept()
		require.NoError(t, err)
		defer p.raw.Close()
		p.conn.Init(p.raw, writeTimeout)
		f(p)
	})
}

func (p *pair) send(text string) {
	p.t.Helper()
	_, err := io.WriteString(p.peer, text)
	require.NoError(p.t, err)
}

// line expects a line within a minute.
func (p *pair) line(want string) {
	p.t.Helper()
	line, err := p.conn.ReadLine(time.Now().Add(time.Minute), true)
	require.NoError(p.t, err)
	require.Equal(p.t, want, string(line))
}

func halfClose(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
}

func TestReadLine(t *testing.T) {
	inPair(t, func(p *pair) {
		require.Equal(p.t, "203.0.113.1:", p.conn.RemoteAddr().String()[:12])
		require.Equal(p.t, address, p.conn.LocalAddr().String())
		p.send("one\r\ntw")
		p.line("one\r\n")
		require.Equal(p.t, 2, p.conn.Pending())
		_, err := p.conn.ReadLine(time.Now().Add(time.Minute), true)
		require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
		p.send("o\nthree")
		p.line("two\n")
		require.NoError(p.t, p.peer.Close())
		_, err = p.conn.ReadLine(time.Now().Add(time.Minute), true)
		require.ErrorIs(p.t, err, io.EOF, "a part of a line is none")
		_, err = p.conn.ReadLine(time.Now().Add(time.Minute), true)
		require.ErrorIs(p.t, err, io.EOF, "still")
	})
}

func TestLongestLine(t *testing.T) {
	inPair(t, func(p *pair) {
		longest := strings.Repeat("x", serving.MaxLine-1) + "\n"
		p.send("a\n" + longest + longest)
		p.line("a\n")
		p.line(longest)
		p.line(longest)
		p.send("x" + longest)
		_, err := p.conn.ReadLine(time.Now().Add(time.Minute), true)
		require.ErrorIs(p.t, err, serving.ErrLineTooLong)
	})
	t.Run("in a large buffer", func(t *testing.T) {
		inPair(t, func(p *pair) {
			p.conn.SetBuffer(make([]byte, 2*serving.MaxLine))
			p.send(strings.Repeat("x", serving.MaxLine) + "\n")
			_, err := p.conn.ReadLine(time.Now().Add(time.Minute), true)
			require.ErrorIs(p.t, err, serving.ErrLineTooLong)
		})
	})
}

func TestNextLine(t *testing.T) {
	inPair(t, func(p *pair) {
		require.Nil(p.t, p.conn.NextLine(), "it does not wait")
		p.send("one\ntwo\nthr")
		p.line("one\n")
		require.Equal(p.t, "two\n", string(p.conn.NextLine()))
		require.Nil(p.t, p.conn.NextLine())
		p.send("ee\n")
		p.line("three\n")
	})
}

func TestFilled(t *testing.T) {
	inPair(t, func(p *pair) {
		p.send(strings.Repeat("x", serving.LineBuffer+1))
		require.False(p.t, p.conn.Filled())
		for _, want := range []bool{true, false} {
			require.NoError(p.t, p.conn.Fill(time.Now().Add(time.Minute), false))
			require.Equal(p.t, want, p.conn.Filled())
			p.conn.Discard(p.conn.Pending())
		}
	})
}

// chunks is a connection from which each Read gives the next of them, and then EOF.
type chunks struct {
	net.Conn
	left []string
}

func (c *chunks) SetReadDeadline(time.Time) error { return nil }

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.left[0])
	if c.left[0] = c.left[0][n:]; c.left[0] == "" {
		c.left = c.left[1:]
	}
	return n, nil
}

// TestLinesHoweverCut: what is read is what was sent, however it is cut into packets and read as lines, in bulk and ahead.
func TestLinesHoweverCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := new(chunks)
		var want strings.Builder
		for range rapid.IntRange(0, 20).Draw(t, "packets") {
			chunk := strings.Repeat("x", rapid.IntRange(0, serving.MaxLine/4).Draw(t, "size")) +
				rapid.SampledFrom([]string{"", "\n", "\n\n", "\r\ny"}).Draw(t, "end")
			if chunk != "" {
				want.WriteString(chunk)
				c.left = append(c.left, chunk)
			}
		}
		var conn serving.LineConn
		conn.Init(c, writeTimeout)
		var got strings.Builder
		for err := error(nil); err == nil; {
			switch rapid.IntRange(0, 4).Draw(t, "how") {
			case 0:
				var line []byte
				line, err = conn.ReadLine(time.Time{}, false)
				got.Write(line)
				if errors.Is(err, serving.ErrLineTooLong) {
					return
				}
			case 1:
				if err = conn.Fill(time.Time{}, false); err == nil {
					n := rapid.IntRange(0, conn.Pending()).Draw(t, "taken")
					got.Write(conn.Buffered()[:n])
					conn.Discard(n)
				}
				got.Write(conn.Buffered())
				conn.Discard(conn.Pending())
			case 2:
				large := make([]byte, conn.Pending()+rapid.IntRange(1, 100).Draw(t, "room"))
				conn.SetBuffer(large)
			case 3:
				line := conn.NextLine()
				require.Equal(t, line == nil, !strings.HasSuffix(string(line), "\n"))
				got.Write(line)
			case 4:
				require.NoError(t, conn.Watch(t.Context(), func(context.Context) error { return nil }))
			}
		}
		got.Write(conn.Buffered())
		require.Equal(t, want.String(), got.String())
	})
}

func TestRepliesGoOutBeforeTheWait(t *testing.T) {
	inPair(t, func(p *pair) {
		p.send("a\nb\n")
		p.conn.Out = append(p.conn.Out, "greeting\n"...)
		p.line("a\n")
		buf := make([]byte, 100)
		n, err := p.peer.Read(buf)
		require.NoError(p.t, err)
		require.Equal(p.t, "greeting\n", string(buf[:n]))
		p.conn.Out = append(p.conn.Out, "1\n"...)
		p.line("b\n")
		require.NoError(p.t, p.peer.SetReadDeadline(time.Now()))
		_, err = p.peer.Read(buf)
		require.ErrorIs(p.t, err, os.ErrDeadlineExceeded, "a batch has its replies together")
		require.NoError(p.t, p.peer.SetReadDeadline(time.Time{}))
		p.conn.Out = append(p.conn.Out, "2\n"...)
		_, err = p.conn.ReadLine(time.Now(), false)
		require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
		n, err = p.peer.Read(buf)
		require.NoError(p.t, err)
		require.Equal(p.t, "1\n2\n", string(buf[:n]))
		require.Empty(p.t, p.conn.Out)

		p.conn.Out = make([]byte, 100<<10)
		go func() { _, _ = io.Copy(io.Discard, p.peer) }()
		require.NoError(p.t, p.conn.Flush())
		require.Nil(p.t, p.conn.Out, "what was large is not kept")
	})
}

// A peer that takes nothing is left after a time.
func TestWriteTimeout(t *testing.T) {
	inPair(t, func(p *pair) {
		began := time.Now()
		for !p.conn.Broken() {
			p.conn.Out = append(p.conn.Out[:0], make([]byte, 32<<10)...)
			if err := p.conn.Flush(); err != nil {
				require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
			}
		}
		require.Equal(p.t, writeTimeout, time.Since(began))
		n, err := p.conn.Write([]byte("late"))
		require.Zero(p.t, n)
		require.ErrorIs(p.t, err, net.ErrClosed)
		p.conn.End(true)
		require.Equal(p.t, writeTimeout, time.Since(began), "there is nothing to linger for")
		require.NoError(p.t, p.raw.Close())
		got, err := io.ReadAll(p.peer)
		require.NoError(p.t, err)
		require.NotContains(p.t, string(got), "late", "though there is room again")
	})
}

func TestDrain(t *testing.T) {
	inPair(t, func(p *pair) {
		go func() {
			time.Sleep(time.Second)
			p.conn.Drain()
			p.send("busy\n")
		}()
		_, err := p.conn.ReadLine(time.Now().Add(time.Minute), true)
		require.ErrorIs(p.t, err, serving.ErrDraining)
		require.True(p.t, p.conn.Draining())
		line, err := p.conn.ReadLine(time.Now().Add(time.Minute), false)
		require.NoError(p.t, err, "who is not idle may go on")
		require.Equal(p.t, "busy\n", string(line))
		_, err = p.conn.ReadLine(time.Now().Add(time.Minute), true)
		require.ErrorIs(p.t, err, serving.ErrDraining)
	})
	t.Run("while busy", func(t *testing.T) {
		inPair(t, func(p *pair) {
			go func() {
				time.Sleep(time.Second)
				p.conn.Drain()
			}()
			began := time.Now()
			_, err := p.conn.ReadLine(time.Now().Add(time.Minute), false)
			require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
			require.Equal(p.t, time.Minute, time.Since(began))
		})
	})
}

// watched says with what cause a context under Watch ends before a minute is over, while the peer does as it does; nil for not.
func (p *pair) watched(peer func()) (cause error) {
	p.t.Helper()
	go peer()
	err := p.conn.Watch(p.t.Context(), func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			cause = context.Cause(ctx)
		case <-time.After(time.Minute):
		}
		return io.ErrNoProgress
	})
	require.Equal(p.t, io.ErrNoProgress, err)
	return cause
}

func TestWatch(t *testing.T) {
	for name, c := range map[string]struct {
		peer func(p *pair)
		want error
	}{
		"silent":                    {func(p *pair) {}, nil},
		"leaves":                    {func(p *pair) { p.peer.Close() }, serving.ErrPeerLeft},
		"half-closes":               {func(p *pair) { halfClose(p.t, p.peer) }, serving.ErrPeerLeft},
		"sends":                     {func(p *pair) { p.send("QUIT\n") }, nil},
		"says goodbye":              {func(p *pair) { p.send("QUIT\n"); halfClose(p.t, p.peer) }, nil},
		"is cut off":                {func(p *pair) { p.send("QUIT\n"); p.peer.(*mailtest.Conn).Reset() }, serving.ErrPeerLeft},
		"sends more than is kept":   {func(p *pair) { p.send(strings.Repeat("NOOP\n", 2000)) }, nil},
		"is gone behind too much":   {func(p *pair) { p.send(strings.Repeat("NOOP\n", 2000)); p.peer.Close() }, nil},
		"sends slowly, then leaves": {func(p *pair) { p.send("Q"); time.Sleep(time.Second); p.peer.(*mailtest.Conn).Reset() }, serving.ErrPeerLeft},
	} {
		t.Run(name, func(t *testing.T) {
			inPair(t, func(p *pair) {
				require.Equal(p.t, c.want, p.watched(func() { time.Sleep(time.Second); c.peer(p) }))
			})
		})
	}
}

// What Watch has read ahead is not lost, nor is the connection unusable behind it.
func TestAfterWatch(t *testing.T) {
	inPair(t, func(p *pair) {
		p.send("one\n")
		p.line("one\n")
		require.NoError(p.t, p.watched(func() { p.send("two\nthr") }))
		require.Equal(p.t, 7, p.conn.Pending())
		require.NoError(p.t, p.watched(func() { p.send("ee\n") }))
		p.line("two\n")
		p.line("three\n")
		go p.send("four\n")
		p.line("four\n")
		require.NoError(p.t, p.watched(func() { p.send("QUIT\n"); halfClose(p.t, p.peer) }))
		p.line("QUIT\n")
		_, err := p.conn.ReadLine(time.Now().Add(time.Minute), true)
		require.ErrorIs(p.t, err, io.EOF)
		require.ErrorIs(p.t, p.watched(func() {}), serving.ErrPeerLeft, "it has left, whoever asks")
	})
}

// Pending may be asked for while Watch reads.
func TestPendingWhileWatched(t *testing.T) {
	inPair(t, func(p *pair) {
		require.NoError(p.t, p.conn.Watch(p.t.Context(), func(context.Context) error {
			require.Zero(p.t, p.conn.Pending())
			for i := range 100 {
				p.send("x")
				synctest.Wait()
				require.Equal(p.t, i+1, p.conn.Pending())
			}
			return nil
		}))
	})
}

// Arrived says at once that something arrives while Watch reads.
func TestArrived(t *testing.T) {
	inPair(t, func(p *pair) {
		began := time.Now()
		require.NoError(p.t, p.conn.Watch(p.t.Context(), func(context.Context) error {
			first, second := p.conn.Arrived(), p.conn.Arrived()
			go func() {
				time.Sleep(time.Second)
				p.send("x")
			}()
			<-first
			<-second
			require.Equal(p.t, 1, p.conn.Pending())
			<-p.conn.Arrived() // it still waits
			return nil
		}))
		<-p.conn.Arrived()
		require.Equal(p.t, time.Second, time.Since(began))
		p.send("\n")
		p.line("x\n")
		select {
		case <-p.conn.Arrived():
			require.Fail(p.t, "all has been read")
		default:
		}
		p.send("more\n")
		p.line("more\n") // nobody waits any more, which hurts nobody
		require.NoError(p.t, p.peer.Close())
		require.ErrorIs(p.t, p.conn.Watch(p.t.Context(), func(ctx context.Context) error {
			select {
			case <-p.conn.Arrived():
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}), serving.ErrPeerLeft, "the end is no input")
	})
}

func TestHandshake(t *testing.T) {
	ca := mailtest.NewCA()
	inPair(t, func(p *pair) {
		p.send("STARTTLS\n")
		p.line("STARTTLS\n")
		client := tls.Client(p.peer, ca.ClientConfig("mail.example.com"))
		go func() {
			if client.Handshake() == nil {
				_, _ = client.Write([]byte("hello\n"))
			}
		}()
		state, err := p.conn.Handshake(p.t.Context(), ca.ServerConfig("mail.example.com"), time.Now().Add(time.Second))
		require.NoError(p.t, err)
		require.True(p.t, state.HandshakeComplete)
		time.Sleep(time.Minute) // the deadline was the handshake's
		p.line("hello\n")
		p.conn.Out = append(p.conn.Out, "bye\n"...)
		require.NoError(p.t, p.conn.Flush())
		p.conn.End(false)
		got, err := io.ReadAll(client)
		require.NoError(p.t, err, "TLS has been closed as it should be")
		require.Equal(p.t, "bye\n", string(got))
	})
}

// What came in clear is never read as if it had been encrypted.
func TestHandshakeForgetsInput(t *testing.T) {
	ca := mailtest.NewCA()
	inPair(t, func(p *pair) {
		p.send("STARTTLS\nMAIL\n")
		p.line("STARTTLS\n")
		client := tls.Client(p.peer, ca.ClientConfig("mail.example.com"))
		go func() {
			if client.Handshake() == nil {
				_, _ = client.Write([]byte("RSET\n"))
			}
		}()
		_, err := p.conn.Handshake(p.t.Context(), ca.ServerConfig("mail.example.com"), time.Now().Add(time.Second))
		require.NoError(p.t, err)
		p.line("RSET\n")
	})
}

func TestHandshakeFails(t *testing.T) {
	ca := mailtest.NewCA()
	for name, peer := range map[string]func(p *pair){
		"silence":   func(*pair) {},
		"nonsense":  func(p *pair) { p.send("EHLO client.example.net\r\n") },
		"departure": func(p *pair) { p.peer.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			inPair(t, func(p *pair) {
				peer(p)
				began := time.Now()
				_, err := p.conn.Handshake(p.t.Context(), ca.ServerConfig("mail.example.com"), time.Now().Add(time.Second))
				require.ErrorIs(p.t, err, serving.ErrHandshake)
				require.LessOrEqual(p.t, time.Since(began), time.Second)
				began = time.Now()
				p.conn.End(true)
				require.Zero(p.t, time.Since(began))
			})
		})
	}
	t.Run("shutdown", func(t *testing.T) {
		inPair(t, func(p *pair) {
			go func() { time.Sleep(time.Second); p.conn.Drain() }()
			began := time.Now()
			_, err := p.conn.Handshake(p.t.Context(), ca.ServerConfig("mail.example.com"), time.Now().Add(time.Hour))
			require.ErrorIs(p.t, err, serving.ErrHandshake)
			require.ErrorIs(p.t, err, serving.ErrDraining)
			require.Equal(p.t, time.Second, time.Since(began))
			_, err = p.conn.Handshake(p.t.Context(), ca.ServerConfig("mail.example.com"), time.Now().Add(time.Hour))
			require.ErrorIs(p.t, err, serving.ErrDraining, "nor does one begin")
		})
	})
	t.Run("end of the session", func(t *testing.T) {
		inPair(t, func(p *pair) {
			ctx, cancel := context.WithCancel(p.t.Context())
			cancel()
			_, err := p.conn.Handshake(ctx, ca.ServerConfig("mail.example.com"), time.Now().Add(time.Hour))
			require.ErrorIs(p.t, err, context.Canceled)
		})
	})
}

func TestEnd(t *testing.T) {
	lingers := func(p *pair, linger bool) time.Duration {
		began := time.Now()
		p.conn.End(linger)
		return time.Since(began)
	}
	t.Run("lingers while the peer may send", func(t *testing.T) {
		inPair(t, func(p *pair) {
			p.send("more")
			p.conn.Out = append(p.conn.Out, "bye"...)
			require.NoError(p.t, p.conn.Flush())
			require.Equal(p.t, 500*time.Millisecond, lingers(p, true))
			require.NoError(p.t, p.raw.Close())
			got, err := io.ReadAll(p.peer)
			require.NoError(p.t, err)
			require.Equal(p.t, "bye", string(got))
		})
	})
	t.Run("until the peer has closed", func(t *testing.T) {
		inPair(t, func(p *pair) {
			go func() { time.Sleep(time.Millisecond); p.peer.Close() }()
			require.Equal(p.t, time.Millisecond, lingers(p, true))
		})
	})
	t.Run("not if told not to", func(t *testing.T) {
		inPair(t, func(p *pair) { require.Zero(p.t, lingers(p, false)) })
	})
	t.Run("not for a peer that has left", func(t *testing.T) {
		inPair(t, func(p *pair) {
			halfClose(p.t, p.peer)
			require.ErrorIs(p.t, p.conn.Fill(time.Time{}, false), io.EOF)
			require.Zero(p.t, lingers(p, true))
		})
	})
	t.Run("not for ever", func(t *testing.T) {
		inPair(t, func(p *pair) {
			flood := make(chan error, 1)
			go func() {
				for {
					if _, err := p.peer.Write(make([]byte, 32<<10)); err != nil {
						flood <- err
						return
					}
				}
			}()
			require.Less(p.t, lingers(p, true), time.Second)
			require.NoError(p.t, p.raw.Close())
			require.Error(p.t, <-flood)
		})
	})
}

func TestClosedConnection(t *testing.T) {
	inPair(t, func(p *pair) {
		require.NoError(p.t, p.raw.Close())
		require.ErrorIs(p.t, p.conn.Fill(time.Time{}, false), net.ErrClosed)
		require.ErrorIs(p.t, p.watched(func() {}), serving.ErrPeerLeft)
		_, err := p.conn.Write([]byte("x"))
		require.ErrorIs(p.t, err, net.ErrClosed)
		p.conn.Out = []byte("x")
		require.ErrorIs(p.t, p.conn.Flush(), net.ErrClosed)
		p.conn.Drain()
		p.conn.End(true)
	})
}

func BenchmarkReadLine(b *testing.B) {
	var conn serving.LineConn
	packet := strings.Repeat("RCPT TO:<someone@example.com>\r\n", 100)
	c := new(chunks)
	conn.Init(c, writeTimeout)
	b.ReportAllocs()
	for b.Loop() {
		if len(c.left) == 0 {
			c.left = append(c.left, packet)
		}
		if _, err := conn.ReadLine(time.Time{}, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWatch(b *testing.B) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	var conn serving.LineConn
	conn.Init(server, writeTimeout)
	b.ReportAllocs()
	for b.Loop() {
		if err := conn.Watch(b.Context(), func(context.Context) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
