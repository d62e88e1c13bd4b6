package smtpd_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// oneConn is a listener with one connection.
type oneConn struct{ conns chan net.Conn }

func (l oneConn) Accept() (net.Conn, error) {
	if conn, ok := <-l.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// A peer that has sent its message with DATA and does not read the replies has not sent one: it never got to see the 354.
func TestNoMessageWithoutItsStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inbox mailtest.Inbox
		var outcomes notes
		srv := &smtpd.Server{
			Hostname: "mail.example.com", Handler: &inbox, WriteTimeout: time.Second,
			Trace: smtpd.Trace{Outcome: func(o smtpd.Outcome) { outcomes.add("%v %v", o.Phase, o.Action) }},
			Checks: []smtpd.Check{{Rcpt: func(_ context.Context, _ *smtpd.Transaction, r *mailbricks.Recipient) error {
				switch r.Address[0] {
				case 'b':
					return smtpd.Temporary(strings.Repeat("x", 480-len(r.Address)))
				case 'c':
					return smtpd.Temporary(strings.Repeat("x", 190))
				}
				return nil
			}}},
		}
		l := oneConn{make(chan net.Conn, 1)}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		peer, conn := net.Pipe()
		l.conns <- conn
		buf := make([]byte, 4<<10)
		_, err := peer.Read(buf)
		require.NoError(t, err)
		_, err = peer.Write([]byte("EHLO client.example.net\r\n"))
		require.NoError(t, err)
		_, err = peer.Read(buf)
		require.NoError(t, err)
		// The replies up to the 354 are just above what waits for more commands.
		_, err = peer.Write([]byte("MAIL FROM:<a@example.net>\r\nRCPT TO:<a@example.com>\r\n" +
			strings.Repeat("RCPT TO:<b@example.com>\r\n", 8) + "RCPT TO:<c@example.com>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n"))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, inbox.Messages())
		for _, line := range outcomes.all() {
			require.NotContains(t, line, "accept")
		}
		require.NoError(t, peer.Close())
		require.NoError(t, srv.Close())
		close(l.conns)
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
	})
}
