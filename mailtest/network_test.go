package mailtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/mailbricks/mailbricks/mailtest"
)

// connect gives both ends of a new connection.
func connect(t *testing.T, n *mailtest.Network) (client, server *mailtest.Conn) {
	t.Helper()
	l, err := n.Listen("tcp", "192.0.2.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := n.Dialer("192.0.2.2").Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*mailtest.Conn), s.(*mailtest.Conn)
}

func requireOpError(t *testing.T, err, want error) {
	t.Helper()
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.ErrorIs(t, err, want)
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	requireOpError(t, err, os.ErrDeadlineExceeded)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
}

func TestConnPassesTheStandardContract(t *testing.T) {
	t.Parallel()
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		n := mailtest.NewNetwork()
		l, err := n.Listen("tcp", ":0")
		if err != nil {
			return nil, nil, nil, err
		}
		if c1, err = n.Dialer("").Dial("tcp", l.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close(); l.Close() }, nil
	})
}

func TestAddressesAreThoseDialedAndDialedFrom(t *testing.T) {
	t.Parallel()
	n := mailtest.NewNetwork()
	l, err := n.Listen("tcp", ":25")
	require.NoError(t, err)
	require.Equal(t, "[::]:25", l.Addr().String())
	for _, c := range []struct{ from, to, wantFrom string }{
		{"198.51.100.7", "192.0.2.1:25", "198.51.100.7"},
		{"2001:db8::7", "[2001:db8::1]:25", "2001:db8::7"},
		{"", "192.0.2.1:smtp", "127.0.0.1"},
		{"", "[2001:db8::1]:25", "::1"},
		{"", "localhost:25", "127.0.0.1"},
	} {
		client, err := n.Dialer(c.from).Dial("tcp", c.to)
		require.NoError(t, err)
		server, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, c.wantFrom, client.LocalAddr().(*net.TCPAddr).IP.String())
		require.GreaterOrEqual(t, client.LocalAddr().(*net.TCPAddr).Port, 49152)
		require.Equal(t, client.LocalAddr(), server.RemoteAddr())
		require.Equal(t, client.RemoteAddr(), server.LocalAddr())
		require.Equal(t, 25, server.LocalAddr().(*net.TCPAddr).Port)
	}
}

func TestAnExactAddressComesBeforeTheUnspecifiedOne(t *testing.T) {
	t.Parallel()
	n := mailtest.NewNetwork()
	_, err := n.Listen("tcp", "0.0.0.0:25")
	require.NoError(t, err)
	exact, err := n.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	_, err = n.Dialer("").Dial("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	_, err = exact.Accept()
	require.NoError(t, err)
	_, err = n.Dialer("").Dial("tcp", "[::1]:25") // 0.0.0.0 takes no IPv6
	requireOpError(t, err, syscall.ECONNREFUSED)
}

func TestListenRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	n := mailtest.NewNetwork()
	l, err := n.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	_, err = n.Listen("tcp", "192.0.2.1:25")
	requireOpError(t, err, syscall.EADDRINUSE)
	require.NoError(t, l.Close())
	requireOpError(t, l.Close(), net.ErrClosed)
	_, err = n.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err, "a closed listener's address is free again")
	for _, c := range [][2]string{{"unix", "/tmp/x"}, {"tcp", "mail.example.com:25"}, {"tcp", "192.0.2.1"}, {"tcp4", "[::1]:25"}, {"tcp6", "127.0.0.1:25"}, {"udp", "127.0.0.1:1"}, {"tcp", "127.0.0.1:99999"}} {
		_, err := n.Listen(c[0], c[1])
		require.Error(t, err, "%v", c)
	}
}

func TestDialFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mailtest.NewNetwork()
		d := n.Dialer("192.0.2.2")
		l, err := n.Listen("tcp", ":25")
		require.NoError(t, err)
		_, err = d.Dial("tcp", "192.0.2.1:26")
		requireOpError(t, err, syscall.ECONNREFUSED)

		n.Refuse("192.0.2.1:25")
		_, err = d.Dial("tcp", "192.0.2.1:25")
		requireOpError(t, err, syscall.ECONNREFUSED)
		require.Equal(t, "dial tcp 192.0.2.2:0->192.0.2.1:25: connect: connection refused", err.Error())
		_, err = d.Dial("tcp", "192.0.2.3:25")
		require.NoError(t, err, "only the address named is concerned")

		n.Unreachable("192.0.2.1") // but the port's own fault counts first
		_, err = d.Dial("tcp", "192.0.2.1:25")
		requireOpError(t, err, syscall.ECONNREFUSED)
		n.Restore("192.0.2.1:25")
		_, err = d.Dial("tcp", "192.0.2.1:25")
		requireOpError(t, err, syscall.EHOSTUNREACH)
		n.Restore("192.0.2.1")
		_, err = d.Dial("tcp", "192.0.2.1:25")
		require.NoError(t, err)

		n.Blackhole("192.0.2.1")
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err = d.DialContext(ctx, "tcp", "192.0.2.1:25")
		requireTimeout(t, err)
		require.Equal(t, 30*time.Second, time.Since(began))
		_, err = d.DialContext(ctx, "tcp", "192.0.2.3:25")
		requireTimeout(t, err)

		_, err = d.Dial("tcp", "[2001:db8::1]:25")
		requireOpError(t, err, syscall.ENETUNREACH)
		_, err = n.Dialer("no address").Dial("tcp", "192.0.2.3:25")
		require.Error(t, err)
		_, err = d.Dial("tcp", "192.0.2.1:0")
		require.Error(t, err)
		_, err = d.Dial("tcp", "mail.example.com:25")
		require.Error(t, err)
		_, err = d.Dial("unix", "x")
		require.Error(t, err)
		require.NoError(t, l.Close())
	})
}

func TestDialWaitsForTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mailtest.NewNetwork()
		l, err := n.Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		d := n.Dialer("")
		for range mailtest.Backlog {
			_, err := d.Dial("tcp", "192.0.2.1:25")
			require.NoError(t, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = d.DialContext(ctx, "tcp", "192.0.2.1:25")
		requireTimeout(t, err)

		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := d.Dial("tcp", "192.0.2.1:25")
			require.NoError(t, err)
		})
		synctest.Wait()
		_, err = l.Accept()
		require.NoError(t, err)
		wg.Wait()

		wg.Go(func() {
			_, err := d.Dial("tcp", "192.0.2.1:25")
			requireOpError(t, err, syscall.ECONNREFUSED)
		})
		synctest.Wait()
		require.NoError(t, l.Close())
		wg.Wait()
	})
}

func TestAcceptEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mailtest.NewNetwork()
		nl, err := n.Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		l := nl.(*mailtest.Listener)
		require.NoError(t, l.SetDeadline(time.Now().Add(time.Minute)))
		_, err = l.Accept()
		requireTimeout(t, err)
		require.NoError(t, l.SetDeadline(time.Time{}))

		waiting, err := n.Dialer("").Dial("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = l.Accept()
		requireOpError(t, err, net.ErrClosed)
		_, err = waiting.Read(make([]byte, 1))
		requireOpError(t, err, syscall.ECONNRESET)
		requireOpError(t, l.SetDeadline(time.Time{}), net.ErrClosed)
	})
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	client, server := connect(t, mailtest.NewNetwork())
	_, err := client.Write([]byte("question"))
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, "question", string(got))
	_, err = client.Write([]byte("more"))
	requireOpError(t, err, syscall.EPIPE)

	_, err = server.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	got, err = io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "answer", string(got))
	require.NoError(t, client.Close())
	requireOpError(t, client.Close(), net.ErrClosed)
	requireOpError(t, client.CloseWrite(), net.ErrClosed)
	requireOpError(t, client.SetDeadline(time.Now()), net.ErrClosed)
}

func TestWriteToAClosedPeerFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, mailtest.NewNetwork())
		failed := make(chan error)
		go func() {
			_, err := client.Write(make([]byte, mailtest.BufferSize+1))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, server.Close())
		requireOpError(t, <-failed, syscall.EPIPE)
	})
}

func TestBufferIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, mailtest.NewNetwork())
		require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Minute)))
		n, err := client.Write(make([]byte, 3*mailtest.BufferSize))
		requireTimeout(t, err)
		require.Equal(t, mailtest.BufferSize, n)
		got := make([]byte, 2*mailtest.BufferSize)
		n, err = server.Read(got)
		require.NoError(t, err)
		require.Equal(t, mailtest.BufferSize, n)
	})
}

func TestDeadlineCanMoveWhileReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _ := connect(t, mailtest.NewNetwork())
		began := time.Now()
		require.NoError(t, client.SetReadDeadline(began.Add(time.Second)))
		time.AfterFunc(500*time.Millisecond, func() { _ = client.SetReadDeadline(began.Add(time.Hour)) })
		_, err := client.Read(make([]byte, 1))
		requireTimeout(t, err)
		require.Equal(t, time.Hour, time.Since(began))
		_, err = client.Read(make([]byte, 1))
		requireTimeout(t, err)
		require.NoError(t, client.SetDeadline(time.Time{}))
		_, err = client.Write([]byte("x"))
		require.NoError(t, err)
	})
}

func TestConcurrentWritesAreNotMixed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, mailtest.NewNetwork())
		const size, reads = 2 * mailtest.BufferSize, 100
		var wg sync.WaitGroup
		write := func(p []byte) {
			wg.Go(func() {
				_, err := client.Write(p)
				require.NoError(t, err)
			})
		}
		write(bytes.Repeat([]byte("a"), size))
		synctest.Wait() // it waits for room
		got := make([]byte, size+reads)
		for i := range reads {
			_, err := io.ReadFull(server, got[10*i:10*(i+1)])
			require.NoError(t, err)
			write([]byte("b")) // maybe before the long one has gone on
		}
		_, err := io.ReadFull(server, got[10*reads:])
		require.NoError(t, err)
		wg.Wait()
		require.Equal(t, size, bytes.IndexByte(got, 'b'))
		require.Equal(t, reads, bytes.Count(got, []byte("b")))
	})
}

func TestCutAfter(t *testing.T) {
	t.Parallel()
	n := mailtest.NewNetwork()
	n.OnConnect(func(_, server *mailtest.Conn) { server.CutAfter(10) })
	client, server := connect(t, n)
	_, err := server.Write([]byte("220 "))
	require.NoError(t, err)
	wrote, err := server.Write([]byte("mail.example.com"))
	require.Equal(t, 6, wrote)
	requireOpError(t, err, syscall.ECONNRESET)
	got, err := io.ReadAll(client)
	require.Equal(t, "220 mail.e", string(got))
	requireOpError(t, err, syscall.ECONNRESET)
	_, err = client.Write([]byte("QUIT"))
	requireOpError(t, err, syscall.ECONNRESET)
	_, err = server.Read(got)
	requireOpError(t, err, syscall.ECONNRESET)

	n.OnConnect(nil)
	client, server = connect(t, n)
	client.CutAfter(4)
	wrote, err = client.Write([]byte("QUIT"))
	require.NoError(t, err, "what was allowed is written")
	require.Equal(t, 4, wrote)
	got, err = io.ReadAll(server)
	require.Equal(t, "QUIT", string(got))
	requireOpError(t, err, syscall.ECONNRESET)

	client, server = connect(t, n)
	client.CutAfter(0)
	_, err = server.Read(got)
	requireOpError(t, err, syscall.ECONNRESET)
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mailtest.NewNetwork()
		for _, bind := range []string{"192.0.2.53:53", ":53", "0.0.0.0:53"} {
			server, err := n.ListenPacket("udp", bind)
			require.NoError(t, err)
			client, err := n.Dialer("192.0.2.2").Dial("udp", "192.0.2.53:53")
			require.NoError(t, err)
			_, ok := client.(net.PacketConn)
			require.True(t, ok)
			_, err = client.Write([]byte("question"))
			require.NoError(t, err)
			buf := make([]byte, 4)
			m, from, err := server.ReadFrom(buf)
			require.NoError(t, err)
			require.Equal(t, "ques", string(buf[:m]), "the rest of a datagram is lost")
			require.Equal(t, client.LocalAddr(), from)
			_, err = server.WriteTo([]byte("yes"), from)
			require.NoError(t, err)
			m, err = client.Read(buf)
			require.NoError(t, err)
			require.Equal(t, "yes", string(buf[:m]))

			stranger, err := n.ListenPacket("udp", "192.0.2.66:53")
			require.NoError(t, err)
			_, err = stranger.WriteTo([]byte("spoof"), from)
			require.NoError(t, err)
			require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Second)))
			_, err = client.Read(buf)
			requireTimeout(t, err)

			require.NoError(t, server.Close())
			require.NoError(t, stranger.Close())
			require.NoError(t, client.SetReadDeadline(time.Time{}))
			_, err = client.Write([]byte("anybody?"))
			require.NoError(t, err)
			_, err = client.Read(buf)
			requireOpError(t, err, syscall.ECONNREFUSED)
			require.NoError(t, client.Close())
			_, err = client.Read(buf)
			requireOpError(t, err, net.ErrClosed)
			_, err = client.Write(buf)
			requireOpError(t, err, net.ErrClosed)
			requireOpError(t, client.Close(), net.ErrClosed)
			requireOpError(t, client.SetDeadline(time.Time{}), net.ErrClosed)
		}
	})
}

func TestDatagramsAreLostAtFaultsAndAboveTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mailtest.NewNetwork()
		server, err := n.ListenPacket("udp", "192.0.2.53:53")
		require.NoError(t, err)
		client, err := n.Dialer("").Dial("udp", "192.0.2.53:53")
		require.NoError(t, err)
		n.Blackhole("192.0.2.53")
		_, err = client.Write([]byte("lost"))
		require.NoError(t, err)
		n.Restore("192.0.2.53")
		n.Refuse("192.0.2.53")
		_, err = client.Write([]byte("lost"))
		require.NoError(t, err)
		_, err = client.Read(nil)
		requireOpError(t, err, syscall.ECONNREFUSED)
		n.Restore("192.0.2.53")
		_, err = server.WriteTo([]byte("hello"), client.LocalAddr())
		require.NoError(t, err)
		_, err = client.Read(make([]byte, 10))
		require.NoError(t, err, "an error is told once")

		for range mailtest.PacketBacklog + 10 {
			_, err = client.Write([]byte("kept"))
			require.NoError(t, err)
		}
		require.NoError(t, server.SetReadDeadline(time.Now().Add(time.Second)))
		kept, buf := 0, make([]byte, 10)
		for {
			m, _, err := server.ReadFrom(buf)
			if err != nil {
				requireTimeout(t, err)
				break
			}
			require.Equal(t, "kept", string(buf[:m]))
			kept++
		}
		require.Equal(t, mailtest.PacketBacklog, kept)

		_, err = client.Write(make([]byte, 65508))
		requireOpError(t, err, syscall.EMSGSIZE)
		require.NoError(t, client.SetDeadline(time.Now()))
		_, err = client.Write(buf)
		requireTimeout(t, err)
		_, err = server.(*mailtest.PacketConn).Write(buf)
		requireOpError(t, err, syscall.EDESTADDRREQ)
		_, err = server.WriteTo(buf, &net.TCPAddr{})
		requireOpError(t, err, syscall.EINVAL)
		_, err = n.ListenPacket("udp", "192.0.2.53:53")
		requireOpError(t, err, syscall.EADDRINUSE)
		_, err = n.ListenPacket("tcp", "192.0.2.53:53")
		require.Error(t, err)
	})
}

func TestDialOfAnEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := mailtest.NewNetwork().Dialer("").DialContext(ctx, "tcp", "192.0.2.1:25")
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
}

func BenchmarkConn(b *testing.B) {
	n := mailtest.NewNetwork()
	l, err := n.Listen("tcp", "192.0.2.1:25")
	require.NoError(b, err)
	defer l.Close()
	client, err := n.Dialer("").Dial("tcp", "192.0.2.1:25")
	require.NoError(b, err)
	defer client.Close()
	server, err := l.Accept()
	require.NoError(b, err)
	go func() { _, _ = io.Copy(io.Discard, server) }()
	buf := make([]byte, 32<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := client.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}
