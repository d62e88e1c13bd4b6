package proxyproto_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/pop3d"
	"github.com/mailbricks/mailbricks/proxyproto"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	balancer = "10.0.0.1"
	server   = "10.0.0.9:25"
	header   = "PROXY TCP4 203.0.113.9 192.0.2.1 49152 25\r\n"
	local    = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/29"), netip.MustParsePrefix("fd00::/64")}

// listen is a listener on a network in memory.
func listen(t *testing.T, set func(*proxyproto.Listener)) (*mailtest.Network, *proxyproto.Listener) {
	t.Helper()
	network := mailtest.NewNetwork()
	inner, err := network.Listen("tcp", server)
	require.NoError(t, err)
	l := &proxyproto.Listener{Listener: inner, From: trusted}
	if set != nil {
		set(l)
	}
	t.Cleanup(func() { l.Close() })
	require.Equal(t, inner.Addr(), l.Addr())
	return network, l
}

// dial connects from an address and sends text.
func dial(t *testing.T, network *mailtest.Network, from, text string) net.Conn {
	t.Helper()
	conn, err := network.Dialer(from).Dial("tcp", server)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn
}

// accept takes the next connection.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAddressesAreThoseOfTheHeader(t *testing.T) {
	t.Parallel()
	network, l := listen(t, nil)
	client := dial(t, network, balancer, header+"hello")
	conn := accept(t, l)
	require.Equal(t, "203.0.113.9:49152", conn.RemoteAddr().String())
	require.Equal(t, "192.0.2.1:25", conn.LocalAddr().String())
	buf := make([]byte, 2)
	for _, want := range []string{"he", "ll", "o"} { // what came with the header comes first
		n, err := conn.Read(buf)
		require.NoError(t, err)
		require.Equal(t, want, string(buf[:n]))
	}
	_, err := io.WriteString(client, "more")
	require.NoError(t, err)
	require.NoError(t, client.Close())
	rest, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "more", string(rest))
	over, ok := conn.(interface{ NetConn() net.Conn })
	require.True(t, ok)
	require.Contains(t, over.NetConn().RemoteAddr().String(), balancer)
}

func TestBalancersOwnConnections(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"LOCAL": local, "UNKNOWN": "PROXY UNKNOWN\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			network, l := listen(t, nil)
			dial(t, network, balancer, text)
			conn := accept(t, l)
			require.Contains(t, conn.RemoteAddr().String(), balancer+":")
			require.Equal(t, server, conn.LocalAddr().String())
		})
	}
}

// gone is a connection of a peer that had gone before it was accepted, which has no address on some systems.
type gone struct{ net.Conn }

func (gone) RemoteAddr() net.Addr { return nil }

// once is a listener with one connection.
type once struct {
	net.Listener
	conn net.Conn
}

func (o *once) Accept() (net.Conn, error) {
	if conn := o.conn; conn != nil {
		o.conn = nil
		return conn, nil
	}
	return nil, net.ErrClosed
}

func TestPeersThatHaveGone(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	var log buffer
	l := &proxyproto.Listener{Listener: &once{conn: gone{ours}}, From: trusted, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	_, err := l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = theirs.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it was closed")
	require.Empty(t, log.String())
}

// Whoever looks on this machine whether the port is open is not worth a line.
func TestThisMachineItselfIsNotLogged(t *testing.T) {
	t.Parallel()
	var info, debug buffer
	for log, level := range map[*buffer]slog.Level{&info: slog.LevelInfo, &debug: slog.LevelDebug} {
		network, l := listen(t, func(l *proxyproto.Listener) {
			l.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level}))
		})
		itself, err := network.Dialer("10.0.0.9").Dial("tcp", server)
		require.NoError(t, err)
		defer itself.Close()
		go func() { _, _ = l.Accept() }() // until the listener is closed
		_, err = itself.Read(make([]byte, 1))
		require.Error(t, err, "it was closed")
	}
	require.Empty(t, info.String())
	require.Contains(t, debug.String(), "level=DEBUG")
	require.Contains(t, debug.String(), "peer=10.0.0.9:")
}

func TestPeersThatAreNoBalancers(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"10.0.0.8", "203.0.113.9", "fd00:0:0:1::1"} {
		t.Run("refused/"+from, func(t *testing.T) {
			t.Parallel()
			var log buffer
			network := mailtest.NewNetwork()
			inner, err := network.Listen("tcp", ":25")
			require.NoError(t, err)
			l := &proxyproto.Listener{Listener: inner, From: trusted, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			defer l.Close()
			at := "192.0.2.1:25"
			if strings.Contains(from, ":") {
				at = "[2001:db8::1]:25"
			}
			refused, err := network.Dialer(from).Dial("tcp", at)
			require.NoError(t, err)
			defer refused.Close()
			_, _ = io.WriteString(refused, header) // it may be closed by now
			go func() {
				conn, err := network.Dialer(balancer).Dial("tcp", "192.0.2.1:25")
				if err == nil {
					_, _ = io.WriteString(conn, header)
					conn.Close()
				}
			}()
			conn := accept(t, l) // the first was not given
			require.Equal(t, "203.0.113.9:49152", conn.RemoteAddr().String())
			_, err = refused.Read(make([]byte, 1))
			require.Error(t, err)
			require.Contains(t, log.String(), from)
		})
		t.Run("direct/"+from, func(t *testing.T) {
			t.Parallel()
			network := mailtest.NewNetwork()
			inner, err := network.Listen("tcp", ":25")
			require.NoError(t, err)
			l := &proxyproto.Listener{Listener: inner, From: trusted, Direct: true}
			defer l.Close()
			at := "192.0.2.1:25"
			if strings.Contains(from, ":") {
				at = "[2001:db8::1]:25"
			}
			client, err := network.Dialer(from).Dial("tcp", at)
			require.NoError(t, err)
			_, err = io.WriteString(client, header)
			require.NoError(t, err)
			require.NoError(t, client.Close())
			conn := accept(t, l)
			require.Contains(t, conn.RemoteAddr().String(), from)
			text, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Equal(t, header, string(text), "it is not for this listener")
		})
	}
}

func TestNobodyIsBelievedByDefault(t *testing.T) {
	t.Parallel()
	network, l := listen(t, func(l *proxyproto.Listener) { l.From = nil })
	client := dial(t, network, balancer, "")
	go l.Accept() // ends with the listener
	_, err := client.Read(make([]byte, 1))
	require.Error(t, err)
}

// A network of IPv4 may be written as one of IPv6.
func TestMappedNetworks(t *testing.T) {
	t.Parallel()
	mapped := make([]netip.Prefix, len(trusted))
	for i, p := range trusted {
		mapped[i] = p
		if p.Addr().Is4() {
			mapped[i] = netip.PrefixFrom(netip.AddrFrom16(p.Addr().As16()), p.Bits()+96)
		}
	}
	network, l := listen(t, func(l *proxyproto.Listener) { l.From = mapped })
	client := dial(t, network, balancer, "PROXY TCP4 203.0.113.7 192.0.2.1 4711 25\r\n")
	defer client.Close()
	conn, err := l.Accept()
	require.NoError(t, err)
	require.Equal(t, "203.0.113.7:4711", conn.RemoteAddr().String())
}

func TestBadHeaderClosesWithoutAReply(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"none":        "EHLO client.example\r\n",
		"malformed":   "PROXY TCP4\r\n",
		"too long":    "PROXY UNKNOWN " + strings.Repeat("x", 200),
		"version 2":   strings.Replace(local, "\x20\x00", "\x21\x13", 1),
		"a second v1": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log buffer
			network, l := listen(t, func(l *proxyproto.Listener) { l.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			client := dial(t, network, balancer, text)
			if text == "" {
				require.NoError(t, client.Close())
			}
			conn := accept(t, l)
			_, err := netip.ParseAddrPort(conn.RemoteAddr().String())
			require.Error(t, err, "there is no address to be had")
			_, err = netip.ParseAddrPort(conn.LocalAddr().String())
			require.Error(t, err)
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, proxyproto.ErrHeader)
			_, err = conn.Write([]byte("220 mail.example.com\r\n"))
			require.ErrorIs(t, err, proxyproto.ErrHeader)
			if text != "" {
				got, _ := io.ReadAll(client) // closed, whether with a reset or not
				require.Empty(t, got)
			}
			require.Contains(t, log.String(), "no valid header")
		})
	}
}

func TestASlowHeaderBlocksNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, l := listen(t, nil)
		slow := dial(t, network, balancer, header[:20])
		first := accept(t, l)
		addr := make(chan string, 1)
		began := time.Now()
		go func() { addr <- first.RemoteAddr().String() }()
		dial(t, network, balancer, header)
		second := accept(t, l)
		require.Equal(t, "203.0.113.9:49152", second.RemoteAddr().String())
		require.Zero(t, time.Since(began))
		go func() { // an octet a second
			for i := range 20 {
				time.Sleep(time.Second)
				if _, err := io.WriteString(slow, header[20+i:][:1]); err != nil {
					return
				}
			}
		}()
		require.Equal(t, "unknown", <-addr)
		require.Equal(t, proxyproto.DefaultHeaderTimeout, time.Since(began))
		_, err := first.Read(nil)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		time.Sleep(time.Minute) // the slow one has ended
	})
}

func TestHeaderTimeoutIsFromAcceptOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, l := listen(t, func(l *proxyproto.Listener) { l.HeaderTimeout = time.Second })
		dial(t, network, balancer, "")
		conn := accept(t, l)
		time.Sleep(time.Minute)
		began := time.Now()
		require.Equal(t, "unknown", conn.RemoteAddr().String())
		require.Zero(t, time.Since(began))
	})
}

func TestHeaderInPiecesIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, l := listen(t, nil)
		client := dial(t, network, balancer, "")
		conn := accept(t, l)
		go func() {
			for i := range header {
				time.Sleep(10 * time.Millisecond)
				_, _ = io.WriteString(client, header[i:][:1])
			}
		}()
		require.Equal(t, "203.0.113.9:49152", conn.RemoteAddr().String())
	})
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(net.Conn, time.Time) error{
		"SetDeadline": net.Conn.SetDeadline, "SetReadDeadline": net.Conn.SetReadDeadline,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network, l := listen(t, nil)
				client := dial(t, network, balancer, "")
				conn := accept(t, l)
				began := time.Now()
				require.NoError(t, set(conn, began.Add(time.Hour))) // later than the header's
				go func() {
					time.Sleep(time.Second)
					_, _ = io.WriteString(client, header)
				}()
				require.Equal(t, "203.0.113.9:49152", conn.RemoteAddr().String())
				require.Equal(t, time.Second, time.Since(began))
				_, err := conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Hour, time.Since(began), "what was asked for holds once the header is there")
			})
			synctest.Test(t, func(t *testing.T) {
				network, l := listen(t, nil)
				dial(t, network, balancer, "")
				conn := accept(t, l)
				began := time.Now()
				go func() {
					time.Sleep(time.Second)
					_ = set(conn, time.Unix(1, 0)) // as a server does that shuts down
				}()
				_, err := conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Second, time.Since(began))
			})
		})
	}
}

func TestCloseEndsTheWaitForAHeader(t *testing.T) {
	t.Parallel()
	network, l := listen(t, nil)
	dial(t, network, balancer, "")
	conn := accept(t, l)
	addr := make(chan string, 1)
	go func() { addr <- conn.RemoteAddr().String() }()
	require.NoError(t, conn.Close())
	require.Equal(t, "unknown", <-addr)
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	network, l := listen(t, nil)
	client := dial(t, network, balancer, header)
	conn := accept(t, l)
	_, err := io.WriteString(conn, "bye")
	require.NoError(t, err)
	half, ok := conn.(interface{ CloseWrite() error })
	require.True(t, ok)
	require.NoError(t, half.CloseWrite())
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	_, err = io.WriteString(client, "still here")
	require.NoError(t, err)
	require.NoError(t, client.Close())
	got, err = io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "still here", string(got))

	a, b := net.Pipe() // which has no halves
	defer a.Close()
	defer b.Close()
	one := &proxyproto.Listener{Listener: &listOf{[]net.Conn{a}}, Unix: true}
	half, ok = accept(t, one).(interface{ CloseWrite() error })
	require.True(t, ok)
	require.ErrorIs(t, half.CloseWrite(), errors.ErrUnsupported)
}

// listOf is a listener with connections that exist.
type listOf struct{ conns []net.Conn }

func (l *listOf) Accept() (net.Conn, error) {
	if len(l.conns) == 0 {
		return nil, net.ErrClosed
	}
	conn := l.conns[0]
	l.conns = l.conns[1:]
	return conn, nil
}
func (l *listOf) Close() error   { return nil }
func (l *listOf) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	for _, trust := range []bool{false, true} {
		inner, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Skip("no Unix sockets here: ", err)
		}
		l := &proxyproto.Listener{Listener: inner, Unix: trust}
		client, err := net.Dial("unix", inner.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(client, header)
		require.NoError(t, err)
		if trust {
			require.Equal(t, "203.0.113.9:49152", accept(t, l).RemoteAddr().String())
		} else {
			done := make(chan error, 1)
			go func() {
				_, err := l.Accept()
				done <- err
			}()
			_, err = client.Read(make([]byte, 1))
			require.Error(t, err)
			require.NoError(t, l.Close())
			require.ErrorIs(t, <-done, net.ErrClosed)
		}
		client.Close()
		l.Close()
	}
}

func TestOverTCPWithIPv4InIPv6(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &proxyproto.Listener{Listener: inner, From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	defer l.Close()
	client, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 1 2\r\n")
	require.NoError(t, err)
	conn := accept(t, l)
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	require.NoError(t, err)
	require.Equal(t, "203.0.113.9", at.Addr().Unmap().String())
}

// serve starts an SMTP server behind a listener.
func serve(t *testing.T, l *proxyproto.Listener, srv *smtpd.Server, implicitTLS bool) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		if implicitTLS {
			done <- srv.ServeTLS(l)
		} else {
			done <- srv.Serve(l)
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
		require.NoError(t, srv.Shutdown(context.Background()))
	})
}

func TestServerSeesTheClient(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	peers := make(chan mailbricks.Peer, 4)
	for _, implicitTLS := range []bool{false, true} {
		network, l := listen(t, nil)
		srv := &smtpd.Server{Hostname: "mail.example.com", TLSConfig: ca.ServerConfig("mail.example.com"), Handler: new(mailtest.Inbox),
			Checks: []smtpd.Check{{Hello: func(_ context.Context, s *smtpd.Session, _ string) error {
				peers <- s.Peer
				return nil
			}}}}
		serve(t, l, srv, implicitTLS)
		conn := dial(t, network, balancer, header)
		if implicitTLS {
			conn = tls.Client(conn, ca.ClientConfig("mail.example.com"))
		}
		c := dialogue.New(t, conn)
		c.Talk("S: 220 *\nC: HELO client.example\nS: 250 *")
		peer := <-peers
		require.Equal(t, "203.0.113.9:49152", peer.Addr.String())
		require.Equal(t, "192.0.2.1:25", peer.Local.String())
		require.Equal(t, implicitTLS, peer.TLS != nil)
		if !implicitTLS {
			c.Talk("C: EHLO client.example\nS: 250-mail.example.com")
			for line := ""; !strings.HasPrefix(line, "250 "); {
				var err error
				line, err = c.Line()
				require.NoError(t, err)
			}
			<-peers
			c.Talk("C: STARTTLS\nS: 220 *")
			c = dialogue.New(t, tls.Client(conn, ca.ClientConfig("mail.example.com")))
			c.Talk("C: HELO client.example\nS: 250 *")
			peer = <-peers
			require.Equal(t, "203.0.113.9:49152", peer.Addr.String())
			require.NotNil(t, peer.TLS)
		}
		c.Talk("C: QUIT\nS: 221 *\nS$")
	}
}

func TestServerCountsTheClientsAddress(t *testing.T) {
	t.Parallel()
	network, l := listen(t, nil)
	srv := &smtpd.Server{Hostname: "mail.example.com", MaxConnectionsPerIP: 1, Handler: new(mailtest.Inbox)}
	serve(t, l, srv, false)
	talk := func(from, want string) *dialogue.Client {
		c := dialogue.New(t, dial(t, network, balancer, strings.Replace(header, "203.0.113.9", from, 1)))
		c.Talk("S: " + want)
		return c
	}
	first := talk("203.0.113.9", "220 *")
	talk("203.0.113.10", "220 *") // another client of the same balancer
	talk("203.0.113.9", "421 4.7.0 *").Talk("S$")
	first.Talk("C: QUIT\nS: 221 *\nS$")
}

// Nobody is asked about a connection without a valid header, or told of it.
func TestServerBeginsNoSessionWithABadHeader(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	config := ca.ServerConfig("mail.example.com")
	for _, tlsBefore := range []bool{false, true} {
		network, l := listen(t, nil)
		var listener net.Listener = l
		if tlsBefore {
			listener = tls.NewListener(l, config)
		}
		asked := make(chan netip.AddrPort, 10)
		note := func(s *smtpd.Session) { asked <- s.Peer.Addr }
		srv := &smtpd.Server{
			Hostname: "mail.example.com", Handler: new(mailtest.Inbox),
			Checks: []smtpd.Check{{
				Connect:    func(_ context.Context, s *smtpd.Session) error { note(s); return nil },
				Disconnect: func(_ context.Context, s *smtpd.Session) { note(s) },
			}},
			Trace: smtpd.Trace{
				Connected: func(s *smtpd.Session, _ error) { note(s) },
				Refused:   func(peer netip.AddrPort, _ *mailbricks.Reply) { asked <- peer },
			},
		}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(listener) }()
		for _, text := range []string{"EHLO client.example\r\n", "PROXY TCP4 x\r\n", "\x16\x03\x01"} {
			got, _ := io.ReadAll(dial(t, network, balancer, text)) // closed, whether with a reset or not
			require.Empty(t, got)
		}
		require.NoError(t, srv.Shutdown(context.Background()))
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
		require.Empty(t, asked)
	}
}

func TestHealthCheckIsServed(t *testing.T) {
	t.Parallel()
	network, l := listen(t, nil)
	serve(t, l, &smtpd.Server{Hostname: "mail.example.com", Handler: new(mailtest.Inbox)}, false)
	dialogue.New(t, dial(t, network, balancer, local)).Talk("S: 220 *\nC: QUIT\nS: 221 *\nS$")
}

func TestServerTakesAHeaderOfAStrangerForNonsense(t *testing.T) {
	t.Parallel()
	network, l := listen(t, func(l *proxyproto.Listener) { l.Direct = true })
	peer := make(chan netip.Addr, 1)
	serve(t, l, &smtpd.Server{Hostname: "mail.example.com", Handler: new(mailtest.Inbox), Checks: []smtpd.Check{{
		Connect: func(_ context.Context, s *smtpd.Session) error {
			peer <- s.Peer.Addr.Addr()
			return nil
		},
	}}}, false)
	dialogue.New(t, dial(t, network, "203.0.113.66", header)).Talk("S: 220 *\nS: 500 5.5.1 *\nC: QUIT\nS: 221 *\nS$")
	require.Equal(t, "203.0.113.66", (<-peer).String())
	dialogue.New(t, dial(t, network, balancer, header+header)).Talk("S: 220 *\nS: 500 5.5.1 *\nC: QUIT\nS: 221 *\nS$")
	require.Equal(t, "203.0.113.9", (<-peer).String())
}

func TestServersServeWhileHeadersAreSlow(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(net.Listener) (stop func() error){
		"smtpd": func(l net.Listener) func() error {
			srv := &smtpd.Server{Hostname: "mail.example.com", Handler: new(mailtest.Inbox)}
			go srv.Serve(l)
			return srv.Close
		},
		"imapd": func(l net.Listener) func() error {
			srv := &imapd.Server{}
			go srv.Serve(l)
			return srv.Close
		},
		"pop3d": func(l net.Listener) func() error {
			srv := &pop3d.Server{}
			go srv.Serve(l)
			return srv.Close
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network, l := listen(t, nil)
				stop := serve(l)
				slow := make([]net.Conn, 50)
				for i := range slow {
					slow[i] = dial(t, network, balancer, header[:5])
				}
				began := time.Now()
				honest := dial(t, network, balancer, header)
				_, err := honest.Read(make([]byte, 1)) // the greeting
				require.NoError(t, err)
				require.Zero(t, time.Since(began))
				for _, conn := range slow {
					got, _ := io.ReadAll(conn) // closed, whether with a reset or not
					require.Empty(t, got)
				}
				require.Equal(t, proxyproto.DefaultHeaderTimeout, time.Since(began))
				require.NoError(t, stop())
			})
		})
	}
}

func TestShutdownDoesNotWaitForHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, l := listen(t, nil)
		srv := &smtpd.Server{Hostname: "mail.example.com", Handler: new(mailtest.Inbox)}
		serve(t, l, srv, false)
		dial(t, network, balancer, "")
		synctest.Wait()
		began := time.Now()
		require.NoError(t, srv.Shutdown(t.Context()))
		require.LessOrEqual(t, time.Since(began), proxyproto.DefaultHeaderTimeout)
	})
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
