package reporting_test

import (
	"net/mail"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
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

// Whatever the name, there is one address in the From field, which our own parser and others find, and the name comes back.
func TestNamesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	piece := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ a<>(),;:@."\\\[\]=?&ö€𝄞]{0,60}`),
		rapid.SampledFrom([]string{"=?utf-8?q?x=40y.example?=", "a <Örg> & Co", "Müller, Söhne & Co. (Berlin)", "x@victim.example"}))
	rapid.Check(t, func(t *rapid.T) {
		name := piece.Draw(t, "a") + piece.Draw(t, "b")
		address := rapid.SampledFrom([]string{"r@a.example", strings.Repeat("l", 64) + "@" + strings.Repeat("d", 60) + ".example"}).
			Draw(t, "address")
		field := reporting.Mailbox(name, address)
		for i, line := range strings.Split("From: "+field, "\r\n") {
			if !strings.HasPrefix(line, " <") {
				require.LessOrEqual(t, len(line), 76, "RFC 2047 §2")
			}
			require.True(t, i == 0 || line[0] == ' ', field)
			for word := range strings.FieldsSeq(line) {
				if strings.HasPrefix(word, "=?") {
					require.LessOrEqual(t, len(word), 75)
					require.Regexp(t, `^=\?utf-8\?b\?[A-Za-z0-9+/=]+\?=$`, word)
				}
			}
			require.True(t, strings.IndexFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) < 0, "%q", line)
		}
		unfolded := strings.ReplaceAll(field, "\r\n", "")
		parsed, err := mail.ParseAddressList(unfolded)
		require.NoError(t, err, "%q", field)
		require.Len(t, parsed, 1)
		require.Equal(t, address, parsed[0].Address)
		want := strings.Map(func(c rune) rune {
			if unicode.IsControl(c) {
				return ' '
			}
			return c
		}, name)
		require.True(t, strings.HasPrefix(want, parsed[0].Name), "%q %q", want, parsed[0].Name)
		require.GreaterOrEqual(t, len(parsed[0].Name), min(len(want), 100-3))
		for _, value := range []string{field, unfolded} {
			domains, err := dmarc.AuthorDomains(value)
			require.NoError(t, err, "%q", field)
			require.Equal(t, []string{address[strings.IndexByte(address, '@')+1:]}, domains)
		}
	})
}
