package smtpd_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// go-smtp's client encodes what it sends by itself; its BY and MT-PRIORITY are on RCPT, where they have no place.
func TestGoSMTPsParametersAreUnderstood(t *testing.T) {
	t.Parallel()
	ca, inbox := mailtest.NewCA(), new(mailtest.Inbox)
	addr := onLoopback(t, &smtpd.Server{Hostname: "mail.example.com", TLSConfig: ca.ServerConfig("mail.example.com"), Handler: smtpd.Keeps(inbox, everything)})
	c, err := gosmtp.DialStartTLS(addr, ca.ClientConfig("mail.example.com"))
	require.NoError(t, err)
	defer c.Close()
	since := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	const odd = `a+b=c "quoted"@example.com`
	require.NoError(t, c.Mail("ann@example.com", &gosmtp.MailOptions{
		Body: gosmtp.Body8BitMIME, Size: 100, RequireTLS: true, UTF8: true, Return: gosmtp.DSNReturnHeaders, EnvelopeID: "id+1=2 3",
	}))
	require.NoError(t, c.Rcpt("bob@example.com", &gosmtp.RcptOptions{
		Notify:                []gosmtp.DSNNotify{gosmtp.DSNNotifyDelayed, gosmtp.DSNNotifySuccess},
		OriginalRecipientType: gosmtp.DSNAddressTypeRFC822, OriginalRecipient: odd, RequireRecipientValidSince: since,
	}))
	require.NoError(t, c.Rcpt("用户@例子.example", &gosmtp.RcptOptions{
		Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifyNever}, OriginalRecipientType: gosmtp.DSNAddressTypeUTF8, OriginalRecipient: `用户+x=y z@例子.example`,
	}))
	w, err := c.Data()
	require.NoError(t, err)
	_, err = io.WriteString(w, "Subject: x\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, c.Quit())

	env := inbox.Messages()[0].Envelope
	require.Equal(t, "id+1=2 3", env.EnvelopeID)
	require.Equal(t, mailbricks.ReturnHeaders, env.Return)
	require.True(t, env.RequireTLS)
	require.Equal(t, []mailbricks.Recipient{
		{Address: "bob@example.com", Notify: mailbricks.NotifyDelay | mailbricks.NotifySuccess, OriginalRecipient: "RFC822;" + odd, ValidSince: since},
		{Address: "用户@例子.example", Notify: mailbricks.NotifyNever, OriginalRecipient: `UTF-8;用户+x=y z@例子.example`},
	}, env.Recipients)
}

func TestGoSMTPIsServedOverLMTP(t *testing.T) {
	t.Parallel()
	srv := &smtpd.Server{Hostname: "mail.example.com", Handler: new(mailtest.Inbox)}
	lmtp(srv)
	conn, err := net.Dial("tcp", onLoopback(t, srv))
	require.NoError(t, err)
	c := gosmtp.NewClientLMTP(conn)
	defer c.Close()
	require.NoError(t, c.Mail("chris@bar.com", nil))
	require.NoError(t, c.Rcpt("pat@foo.edu", nil))
	require.Error(t, c.Rcpt("jones@foo.edu", nil))
	require.NoError(t, c.Rcpt("green@foo.edu", nil))
	w, err := c.Data()
	require.NoError(t, err)
	_, err = io.WriteString(w, "Subject: x\r\n\r\n")
	require.NoError(t, err)
	replies, err := w.CloseWithLMTPResponse()
	failures, ok := errors.AsType[gosmtp.LMTPDataError](err)
	require.True(t, ok, "%v", err)
	require.Len(t, failures, 1)
	require.Equal(t, 452, failures["green@foo.edu"].Code)
	require.Equal(t, gosmtp.EnhancedCode{4, 2, 2}, failures["green@foo.edu"].EnhancedCode)
	require.True(t, strings.Contains(replies["pat@foo.edu"].StatusText, "queued as"))
	require.NoError(t, c.Quit())
}
