package reporting_test

import (
	"net/mail"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What the administrator and the domain write stays where it belongs.
func TestNamesInMessages(t *testing.T) {
	t.Parallel()
	for organization, want := range map[string]string{
		"":                              "mx.example.org",
		"Example":                       "Example",
		`A "quoted" \ (name) <x@y>`:     `A "quoted" \ (name) <x@y>`,
		"Größe & Co":                    "Größe & Co",
		"A\r\nBcc: victim@example.net":  "A  Bcc: victim@example.net",
		strings.Repeat("ä", 300):        strings.Repeat("ä", 50),
		strings.Repeat("long name ", 9): strings.TrimSpace(strings.Repeat("long name ", 9)),
		"\xff\xfe":                      "\ufffd\ufffd",
	} {
		synctest.Test(t, func(t *testing.T) {
			box := &outbox{}
			r := newReporter(t.TempDir(), box, nil)
			r.Organization = organization
			start(t, r)
			record(t, r, evaluation("example.com", rejecting))
			nextDay()
			mails := box.take()
			require.Len(t, mails, 1)
			l := open(t, mails[0])
			from, err := mail.ParseAddress(l.Get("From"))
			require.NoError(t, err)
			require.Equal(t, want, strings.TrimSpace(from.Name))
			require.Equal(t, "dmarc-reports@mx.example.org", from.Address)
			require.Len(t, l.Header, 8)
			require.NotEmpty(t, l.report.Metadata.OrgName)
		})
	}
}

// The longest names that there are make no line that is too long.
func TestLongNamesInMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		long := strings.Repeat(strings.Repeat("x", 60)+".", 4) + "example"
		r.Hostname = strings.Repeat(strings.Repeat("y", 60)+".", 4) + "example"
		start(t, r)
		record(t, r, evaluation(long, "v=DMARC1; p=none; rua=mailto:"+strings.Repeat("l", 64)+"@"+long))
		nextDay()
		mails := box.take()
		require.Len(t, mails, 1)
		l := open(t, mails[0])
		require.Equal(t, long, l.report.Policy.Domain)
		require.Contains(t, l.file, r.Hostname+"!"+long+"!946684800!946771199!")
		require.WithinRange(t, l.report.Metadata.End, time.Unix(946771199, 0), time.Unix(946771199, 0))
	})
}
