package submission_test

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/submission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// addresses are what fbi@example.com may send as.
type addresses []string

func (a addresses) MaySendAs(_ context.Context, id mailbricks.Identity, address string) (bool, error) {
	if strings.HasPrefix(address, "broken@") {
		return false, errors.New("directory is down")
	}
	return id.User == "fbi@example.com" && slices.Contains(a, address), nil
}

var granted = addresses{"fbi@example.com", "alias@example.com", "fbi+tag@example.com", `"f b i"@example.com`, "fbi@bücher.example"}

// transaction is one of fbi@example.com's.
func transaction(from string) *smtpd.Transaction {
	peer := mailbricks.Peer{Identity: &mailbricks.Identity{Login: "fbi@example.com", User: "fbi@example.com"}}
	return &smtpd.Transaction{
		Session:  &smtpd.Session{Hostname: "mail.example.com", Peer: peer},
		Envelope: &mailbricks.Envelope{From: from, Peer: peer, Received: time.Date(2026, 5, 6, 7, 8, 9, 0, time.FixedZone("", 7200))},
	}
}

func TestEnvelopeSender(t *testing.T) {
	t.Parallel()
	check := submission.Check(granted)
	for from, want := range map[string]string{
		"fbi@example.com": "fbi@example.com", "alias@example.com": "alias@example.com", "fbi+tag@example.com": "fbi+tag@example.com",
		"": "", "FBI": "fbi@example.com",
	} {
		tx := transaction(from)
		require.NoError(t, check.Mail(t.Context(), tx), from)
		require.Equal(t, want, tx.Envelope.From)
	}
	err := check.Mail(t.Context(), transaction("boss@example.com"))
	require.EqualError(t, err, "553 5.7.1 <boss@example.com>: Sender address rejected: not owned by user fbi@example.com")
	err = check.Mail(t.Context(), transaction("broken@example.com"))
	require.True(t, mailbricks.IsTemporary(err))
	require.ErrorContains(t, err, "directory is down")

	stranger := transaction("boss@example.com")
	stranger.Session.Peer.Identity = nil
	require.NoError(t, check.Mail(t.Context(), stranger), "not this check's matter")
	require.NoError(t, check.Message(t.Context(), stranger, mailbricks.NewMessage([]byte("From: boss@example.com\r\n\r\n"))))
}

// from runs a From field through the check and gives what becomes of it.
func from(t *testing.T, value string, smtputf8 bool) (string, error) {
	t.Helper()
	tx := transaction("fbi@example.com")
	tx.Envelope.SMTPUTF8 = smtputf8
	msg := mailbricks.NewMessage([]byte("From:" + value + "\r\nSubject: x\r\n\r\nbody\r\n"))
	err := submission.Check(granted).Message(t.Context(), tx, msg)
	for f := range msg.Fields() {
		if f.Is("From") {
			return strings.TrimSuffix(strings.TrimPrefix(string(f.Raw()), "From:"), "\r\n"), err
		}
	}
	return "", err
}

func TestFromStays(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		" fbi@example.com", " FBI <fbi@example.com>", " \"F. B. I.\" <alias@example.com>", " =?UTF-8?Q?F=C3=84I?= <fbi@example.com>",
		"fbi@example.com (the bureau)", " FBI\r\n <fbi+tag@example.com>", " \"f b i\"@example.com", " fbi@example.com,\r\n alias@example.com",
		" Agents: fbi@example.com, alias@example.com;", " =?utf-8?q?boss=40example=2Ecom?= <fbi@example.com>", " F.B.I. <fbi@example.com>",
		" =?koi8-r?Q?=C6=C2=D2?= <fbi@example.com>",
	} {
		got, err := from(t, value, false)
		require.NoError(t, err, value)
		require.Equal(t, value, got)
	}
}

func TestFromIsCompleted(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		" FBI":                                " FBI <fbi@example.com>",
		" Fidelity Bravery Integrity":         " Fidelity Bravery Integrity <fbi@example.com>",
		" \"FBI\"":                            " FBI <fbi@example.com>",
		" \"F. B. \\\"I\\\"\"":                " \"F. B. \\\"I\\\"\" <fbi@example.com>",
		" <FBI>":                              " FBI <fbi@example.com>",
		" FBI <>":                             " FBI <fbi@example.com>",
		" FBI <agent>":                        " FBI <fbi@example.com>",
		" =?UTF-8?Q?F=C3=84I?=":               " =?UTF-8?Q?F=C3=84I?= <fbi@example.com>",
		" =?UTF-8?Q?F=C3=84I?=, HQ.":          " =?UTF-8?Q?F=C3=84I?= <fbi@example.com>,\r\n \"HQ.\" <fbi@example.com>",
		" =?koi8-r?Q?=C6=C2=D2?=, HQ":         " =?koi8-r?Q?=C6=C2=D2?= <fbi@example.com>,\r\n HQ <fbi@example.com>",
		" =?koi8-r?Q?=C6=C2=D2?= (x):":        " =?koi8-r?Q?=C6=C2=D2?= <fbi@example.com>",
		" FÄI":                                " =?utf-8?b?RsOESQ==?= <fbi@example.com>",
		"":                                    " <fbi@example.com>",
		" ,":                                  " <fbi@example.com>",
		" Agents:;":                           " Agents <fbi@example.com>",
		" fbi@example.com <fbi@example.com>":  " \"fbi@example.com\" <fbi@example.com>",
		" boss@example.org <fbi@example.com>": " \"boss@example.org\" <fbi@example.com>",
		" <@a.example:fbi@example.com>":       " <fbi@example.com>",
		" FBI fbi@example.com":                " FBI <fbi@example.com>",
		" fbi@example.com; alias@example.com": " <fbi@example.com>,\r\n <alias@example.com>",
		" FBI, alias@example.com":             " FBI <fbi@example.com>,\r\n <alias@example.com>",
		" \"=?UTF-8?Q?=0D=0ABcc:?=\x07\" <fbi@example.com": " \"Bcc:\" <fbi@example.com>",
	} {
		got, err := from(t, value, false)
		require.NoError(t, err, value)
		require.Equal(t, want, got, value)
	}
	got, err := from(t, " FÄI, HQ", true)
	require.NoError(t, err)
	require.Equal(t, " \"FÄI\" <fbi@example.com>,\r\n HQ <fbi@example.com>", got)
}

func TestFromOfOthersIsRefused(t *testing.T) {
	t.Parallel()
	for value, address := range map[string]string{
		" boss@example.com":                           "boss@example.com",
		" FBI <boss@example.com>":                     "boss@example.com",
		" fbi@example.com, boss@example.com":          "boss@example.com",
		" Agents: fbi@example.com, boss@example.com;": "boss@example.com",
		" \"fbi@example.com\" <boss@example.com>":     "boss@example.com",
		" fbi@example.com <boss@example.com>":         "boss@example.com",
		" (fbi@example.com) boss@example.com":         "boss@example.com",
		" <@example.com:boss@example.com>":            "boss@example.com",
		" fbi@example.com.evil.example":               "fbi@example.com.evil.example",
		" \"fbi@example.com\"@evil.example":           `"fbi@example.com"@evil.example`,
		" fbi @ evil . example":                       "fbi@evil.example",
	} {
		_, err := from(t, value, false)
		require.EqualError(t, err, "553 5.7.1 <"+address+">: From address rejected: not owned by user fbi@example.com", value)
	}
	_, err := from(t, " a@b_c", false)
	require.EqualError(t, err, "554 5.6.0 From field: an address is malformed")
	_, err = from(t, strings.Repeat(" fbi@example.com,", 51), false)
	require.EqualError(t, err, "554 5.6.0 From field: more than 50 addresses")
	_, err = from(t, " broken@example.com", false)
	require.True(t, mailbricks.IsTemporary(err))
}

func TestLongNamesAreCut(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("x", 5000), strings.Repeat("ä", 5000), strings.Repeat("x ", 5000)} {
		got, err := from(t, " "+name+" <fbi@example.com> x", false)
		require.NoError(t, err)
		for line := range strings.SplitSeq(got, "\r\n") {
			require.LessOrEqual(t, len(line), 998)
		}
		list, err := mail.ParseAddressList(strings.ReplaceAll(got, "\r\n", ""))
		require.NoError(t, err)
		require.Equal(t, "fbi@example.com", list[0].Address)
	}
}

// header runs a message through the check and gives its header.
func header(t *testing.T, raw string) (string, error) {
	t.Helper()
	msg := mailbricks.NewMessage([]byte(raw))
	err := submission.Check(granted).Message(t.Context(), transaction("fbi@example.com"), msg)
	return string(msg.Header()), err
}

const complete = "Received: x\r\nFrom: fbi@example.com\r\nDate: today\r\nMessage-ID: <a@b>\r\n"

func TestHeaderIsCompleted(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		complete + "\r\nBcc: body\r\n": regexpQuote(complete),
		complete + "bcc: hidden@example.com,\r\n more@example.com\r\nBCC: again\r\nResent-Bcc: x\r\n\r\n": regexpQuote(complete),
		"Received: x\r\n\r\n":                          `Received: x\r\nFrom: <fbi@example\.com>\r\nDate: Wed, 06 May 2026 07:08:09 \+0200\r\nMessage-ID: <[A-Z2-7]{26}@mail\.example\.com>\r\n`,
		"Date:\r\nFrom: \r\nMessage-Id: \r\n\r\nx":     `From: <fbi@example\.com>\r\nDate: Wed.*\r\nMessage-ID: <.*\r\n`,
		"To: x\r\nThis is a body\r\n":                  `Message-ID: .*\r\nDate: .*\r\nFrom: .*\r\nTo: x\r\nThis is a body\r\n`,
		complete + "Sender: alias@example.com\r\n\r\n": regexpQuote(complete) + `Sender: alias@example\.com\r\n`,
		complete + "Sender: FBI\r\n\r\n":               regexpQuote(complete) + `Sender: FBI <fbi@example\.com>\r\n`,
		complete + "Sender:\r\n\r\n":                   regexpQuote(complete),
		strings.Replace(complete, "fbi@example.com", "fbi@example.com, alias@example.com", 1) + "\r\n": `(?s).*Sender: <fbi@example\.com>\r\n`,
	} {
		got, err := header(t, raw)
		require.NoError(t, err, raw)
		require.Regexp(t, "^"+want+"$", got)
	}
}

func regexpQuote(s string) string { return strings.ReplaceAll(s, ".", `\.`) }

func TestHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		complete + "from: fbi@example.com\r\n\r\n":                      "554 5.6.0 Message has more than one From field",
		complete + "Sender: boss@example.com\r\n\r\n":                   "553 5.7.1 <boss@example.com>: Sender address rejected: not owned by user fbi@example.com",
		complete + "Sender: fbi@example.com\r\nSender: a@b\r\n\r\n":     "554 5.6.0 Message has more than one Sender field",
		complete + "Sender: fbi@example.com, alias@example.com\r\n\r\n": "554 5.6.0 Sender holds more than one address",
		"To: x\r\nno field\r\nFrom: boss@example.com\r\n\r\n":           "553 5.7.1 <boss@example.com>: From address rejected: not owned by user fbi@example.com",
		"From : boss@example.com\r\n\r\n":                               "553 5.7.1 <boss@example.com>: From address rejected: not owned by user fbi@example.com",
	} {
		_, err := header(t, raw)
		require.EqualError(t, err, want, raw)
	}
}

// FuzzFrom checks that a From field that passes says to strict readers what was granted, and nothing else to dmarc's.
func FuzzFrom(f *testing.F) {
	for _, seed := range []string{
		" fbi@example.com", " FBI", " a <fbi@example.com>, \"b\" <alias@example.com>", " Agents: fbi@example.com;", " (x) fbi@example.com (y)", " <@a:fbi@example.com>",
		" =?utf-8?q?=22_=3Cboss=40example=2Eorg=3E?= <fbi@example.com>", " \"\\\"\" <\"f b i\"@example.com>", " fbi@example.com <boss@example.org>", " FÄI \x01",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, value string, smtputf8 bool) {
		if strings.ContainsAny(value, "\r\n\x00") || len(value) > 10000 {
			return
		}
		got, err := from(t, value, smtputf8)
		if err != nil {
			return
		}
		parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{
			CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil },
		}}
		list, err := parser.ParseList(strings.ReplaceAll(got, "\r\n", ""))
		require.NoError(t, err, "%q became %q", value, got)
		for _, a := range list {
			require.True(t, slices.Contains(granted, a.Address) || a.Address == "f b i@example.com", "%q became %q with %s", value, got, a.Address)
		}
		domains, err := dmarc.AuthorDomains(strings.ReplaceAll(got, "\r\n", ""))
		require.NotErrorIs(t, err, dmarc.ErrNoAuthor)
		for _, domain := range domains {
			require.Contains(t, []string{"example.com", "xn--bcher-kva.example"}, domain, "%q became %q", value, got)
		}
	})
}
