package submission_test

import (
	"context"
	"errors"
	"net"
	"net/textproto"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/submission"
)

// anyone lets everybody in as fbi@example.com.
type anyone struct{}

func (anyone) Mechanisms(mailbricks.Peer) []string { return []string{"PLAIN"} }

func (anyone) Start(context.Context, string, mailbricks.Peer) (mailbricks.Exchange, error) {
	return anyone{}, nil
}

func (anyone) Next(context.Context, []byte) ([]byte, *mailbricks.Identity, error) {
	return nil, &mailbricks.Identity{Login: "fbi@example.com", User: "fbi@example.com"}, nil
}

func TestSubmission(t *testing.T) {
	t.Parallel()
	inbox := new(mailtest.Inbox)
	srv := &smtpd.Server{
		Hostname: "mail.example.com", Handler: inbox, Auth: anyone{}, AllowInsecureAuth: true, RequireAuth: true, UnqualifiedSenders: true,
		Checks: []smtpd.Check{submission.Check(granted)},
	}
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:587")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	conn, err := network.Dialer("").Dial("tcp", "192.0.2.1:587")
	require.NoError(t, err)
	talk(t, conn,
		"", 220,
		"EHLO client.example.net", 250,
		"MAIL FROM:<fbi@example.com>", 530,
		"AUTH PLAIN x===", 501,
		"AUTH PLAIN eA==", 235,
		"MAIL FROM:<boss@example.com>", 553,
		"MAIL FROM:<FBI>", 250,
		"RCPT TO:<bob@example.org>", 250,
		"DATA", 354,
		"From: FBI\r\nBcc: cleo@example.org\r\n\r\nhello\r\n.", 250,
		"MAIL FROM:<>", 250,
		"RCPT TO:<bob@example.org>", 250,
		"DATA", 354,
		"From: boss@example.com\r\n\r\nhello\r\n.", 553,
		"QUIT", 221,
	)
	require.NoError(t, conn.Close())
	require.NoError(t, srv.Shutdown(context.Background()))
	require.ErrorIs(t, <-ended, smtpd.ErrServerClosed)
	require.Len(t, inbox.Messages(), 1)
	got := inbox.Messages()[0]
	require.Equal(t, "fbi@example.com", got.Envelope.From)
	require.Equal(t, "FBI <fbi@example.com>", got.Message.Get("From"))
	require.Empty(t, got.Message.Values("Bcc"))
	require.NotEmpty(t, got.Message.Get("Date"))
	require.NotEmpty(t, got.Message.Get("Message-ID"))
}

// talk sends each line and expects a reply with the code behind it.
func talk(t *testing.T, conn net.Conn, script ...any) {
	t.Helper()
	text := textproto.NewConn(conn)
	for i := 0; i < len(script); i += 2 {
		if line := script[i].(string); line != "" {
			require.NoError(t, text.PrintfLine("%s", line))
		}
		_, _, err := text.ReadResponse(script[i+1].(int))
		var protocol *textproto.Error
		if errors.As(err, &protocol) {
			require.NoError(t, err, script[i])
		}
		require.NoError(t, err)
	}
}
