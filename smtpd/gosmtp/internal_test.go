package gosmtp

import (
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

func TestParameters(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 6, 7, 8, 9, 500, time.UTC)
	env := &mailbricks.Envelope{
		Received: began, Body: mailbricks.BodyBinary, Size: 5, SMTPUTF8: true, RequireTLS: true, Return: mailbricks.ReturnFull,
		EnvelopeID: "a b", Auth: new(""), Priority: new(-3),
		DeliverBy: &mailbricks.DeliverBy{Deadline: began.Add(-90 * time.Second), Trace: true},
	}
	rcpt := &mailbricks.Recipient{
		Address: "bob@example.com", Notify: mailbricks.NotifySuccess | mailbricks.NotifyFailure | mailbricks.NotifyDelay,
		OriginalRecipient: "utf-8;b\u00f6b;x@example.com", ValidSince: began,
	}
	require.Equal(t, &smtp.MailOptions{
		Body: smtp.BodyBinaryMIME, Size: 5, UTF8: true, RequireTLS: true, Return: smtp.DSNReturnFull, EnvelopeID: "a b", Auth: new(""),
	}, mailOptions(env))
	require.Equal(t, &smtp.RcptOptions{
		Notify:                     []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed},
		OriginalRecipientType:      smtp.DSNAddressTypeUTF8,
		OriginalRecipient:          "b\u00f6b;x@example.com",
		RequireRecipientValidSince: began,
		DeliverBy:                  &smtp.DeliverByOptions{Time: -90 * time.Second, Mode: smtp.DeliverByNotify, Trace: true},
		MTPriority:                 new(-3),
	}, rcptOptions(env, rcpt))
	env.DeliverBy = &mailbricks.DeliverBy{Deadline: began.Add(2 * time.Minute), Return: true}
	require.Equal(t, &smtp.DeliverByOptions{Time: 2 * time.Minute, Mode: smtp.DeliverByReturn}, rcptOptions(env, rcpt).DeliverBy)
	require.Equal(t, []smtp.DSNNotify{smtp.DSNNotifyNever}, notify(mailbricks.NotifyNever))

	// Nothing given, nothing told.
	require.Equal(t, new(smtp.MailOptions), mailOptions(new(mailbricks.Envelope)))
	require.Equal(t, new(smtp.RcptOptions), rcptOptions(new(mailbricks.Envelope), new(mailbricks.Recipient)))
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mechanism   string
		responses   []string
		login, user string
	}{
		{"PLAIN", []string{"\x00ann\x00pw"}, "ann", "ann"},
		{"PLAIN", []string{"bob\x00ann\x00p\x00w"}, "ann", "ann"}, // whom to act for is the backend's to say
		{"PLAIN", []string{"ann"}, "", ""},
		{"PLAIN", []string{"\x00an\nn\x00pw"}, "", ""},
		{"PLAIN", nil, "", ""},
		{"LOGIN", []string{"ann", "pw"}, "ann", "ann"},
		{"EXTERNAL", []string{"ann"}, "ann", "ann"},
		{"EXTERNAL", []string{""}, "", ""},
		{"ANONYMOUS", []string{"who cares"}, "anonymous", "anonymous"},
		{"OAUTHBEARER", []string{"n,a=ann=2Cx=3Dy@example.com,\x01auth=Bearer t\x01\x01"}, "ann,x=y@example.com", "ann,x=y@example.com"},
		{"OAUTHBEARER", []string{"n,,\x01auth=Bearer a=b\x01\x01"}, "", ""},
		{"CUSTOM", []string{"ann"}, "", ""},
	} {
		require.Equal(t, &mailbricks.Identity{Login: c.login, User: c.user}, named(c.mechanism, c.responses), "%s %q", c.mechanism, c.responses)
	}
}

func FuzzReplyIn(f *testing.F) {
	f.Add("421 4.4.5 Too busy. Try again later.\r\n")
	f.Add("554-5.7.1 a\r\n554 5.7.1 b")
	f.Add("250 ok\n550\n550 \n550x")
	f.Add("550 5.7.1")
	f.Fuzz(func(t *testing.T, written string) {
		reply := replyIn([]byte(written))
		if reply == nil {
			return
		}
		require.True(t, reply.Code >= 400 && reply.Code <= 599)
		require.False(t, strings.ContainsAny(reply.Text, "\n"))
		require.Contains(t, written, reply.Text)
	})
}

// FuzzNames makes sure that a name never comes from nowhere and never breaks a log.
func FuzzNames(f *testing.F) {
	f.Add("PLAIN", "\x00ann\x00pw", "")
	f.Add("LOGIN", "ann", "pw")
	f.Add("OAUTHBEARER", "n,a=ann@example.com,\x01auth=Bearer t\x01\x01", "")
	f.Fuzz(func(t *testing.T, mechanism, first, second string) {
		id := named(mechanism, []string{first, second})
		require.False(t, strings.ContainsFunc(id.Login+id.User, isControl))
		if id.Login != "" && id.Login != "anonymous" && mechanism != "OAUTHBEARER" {
			require.Contains(t, first+second, id.Login)
		}
	})
}
