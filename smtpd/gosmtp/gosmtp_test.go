package gosmtp_test

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd/gosmtp"
)

const message = "From: ann@example.net\r\nSubject: hello\r\n\r\nHow are you?\r\n.hidden dot\r\n"

const transaction = `
	C: MAIL FROM:<ann@example.net>
	S: 250 2.1.0 *
	C: RCPT TO:<bob@example.com>
	S: 250 2.1.5 *
	C: DATA
	S* 354
	R: "From: ann@example.net\r\nSubject: hello\r\n\r\nHow are you?\r\n..hidden dot\r\n.\r\n"
	S: 250 2.0.0 *
`

func TestBackendIsAskedInOrderAndGetsTheMessageAsItWasSent(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, be, nil, nil)
	w.talk(hello + transaction + transaction + quit)
	const data = `Data "From: ann@example.net\r\nSubject: hello\r\n\r\nHow are you?\r\n.hidden dot\r\n"`
	require.Equal(t, []string{
		"NewSession client.example.net",
		"Mail ann@example.net", "Rcpt bob@example.com", data, "Reset",
		"Mail ann@example.net", "Rcpt bob@example.com", data, "Reset",
		"Logout",
	}, be.log())
}

func TestReceivedFieldIsLeftWhereItIsWanted(t *testing.T) {
	t.Parallel()
	be := new(backend)
	s := smtp.NewServer(be)
	s.Domain = "mail.example.com"
	w := serveOn(t, gosmtp.Options{Received: true}.Server(s))
	w.talk(hello + transaction + quit)
	data, err := strconv.Unquote(strings.TrimPrefix(be.log()[3], "Data "))
	require.NoError(t, err)
	trace, rest, found := strings.Cut(data, "From: ann@example.net\r\n")
	require.True(t, found)
	require.True(t, strings.HasPrefix(trace, "Received: from client.example.net ("), trace)
	require.Contains(t, trace, "by mail.example.com with ESMTP id ")
	require.True(t, strings.HasPrefix(rest, "Subject: hello\r\n\r\n"), rest)
}

func TestReceivedFieldsOfOthersStay(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, be, nil, nil)
	w.talk(hello + `
	C: MAIL FROM:<ann@example.net>
	S* 250
	C: RCPT TO:<bob@example.com>
	S* 250
	C: DATA
	S* 354
	C: Received: from a by b with ESMTP id 1; Wed, 06 May 2026 07:08:09 +0200
	C: Subject: x
	C:
	C: .
	S* 250` + quit)
	require.Equal(t, `Data "Received: from a by b with ESMTP id 1; Wed, 06 May 2026 07:08:09 +0200\r\nSubject: x\r\n\r\n"`, be.log()[3])
}

func TestSessionMethodsSeeWhatTheClientDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"nothing before EHLO": {`
			S* 220
			C: NOOP
			S* 250
			C: MAIL FROM:<ann@example.net>
			S* 503` + quit, nil},
		"HELO": {`
			S* 220
			C: HELO client.example.net
			S* 250` + quit, []string{"NewSession client.example.net", "Logout"}},
		"an abandoned transaction is reset when the next begins": {hello + `
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RSET
			S* 250
			C: MAIL FROM:<>
			S* 250` + quit, []string{"NewSession client.example.net", "Mail ann@example.net", "Reset", "Mail", "Logout"}},
		"EHLO resets and has the new name": {hello + `
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: EHLO [192.0.2.9]
			S* 250
			C: MAIL FROM:<carol@example.net>
			S* 250` + quit, []string{
			"NewSession client.example.net", "Mail ann@example.net", "Reset", "Mail carol@example.net", "Logout"}},
		"postmaster and quoted local parts": {hello + `
			C: MAIL FROM:<"a b"@example.net>
			S* 250
			C: RCPT TO:<postmaster>
			S* 250
			C: RCPT TO:<"x@y"@example.com>
			S* 250
			C: RCPT TO:<@relay.example,@b.example:bob@example.com>
			S* 250` + quit, []string{
			"NewSession client.example.net", `Mail "a b"@example.net`, "Rcpt postmaster", `Rcpt "x@y"@example.com`,
			"Rcpt bob@example.com", "Logout"}},
		"a second MAIL never comes": {hello + `
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: MAIL FROM:<carol@example.net>
			S* 503` + quit, []string{"NewSession client.example.net", "Mail ann@example.net", "Logout"}},
		"options": {hello + `
			C: MAIL FROM:<ann@example.net> BODY=8bitmime SIZE=123 SMTPUTF8
			S* 250` + quit, []string{
			"NewSession client.example.net", "Mail ann@example.net BODY=8BITMIME SIZE=123 SMTPUTF8=true", "Logout"}},
		"a message in chunks": {hello + `
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			R: "BDAT 14\r\nSubject: hey\r\n"
			S* 250
			R: "BDAT 2 LAST\r\n\r\n"
			S* 250` + quit, []string{
			"NewSession client.example.net", "Mail ann@example.net", "Rcpt bob@example.com", `Data "Subject: hey\r\n\r\n"`, "Reset", "Logout"}},
		"an empty message": {hello + `
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250` + quit, []string{
			"NewSession client.example.net", "Mail ann@example.net", "Rcpt bob@example.com", `Data ""`, "Reset", "Logout"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := new(backend)
			w := serve(t, be, func(s *smtp.Server) { s.EnableSMTPUTF8 = true }, nil)
			w.talk(c.script)
			require.NoError(t, w.srv.Shutdown(t.Context()))
			require.Equal(t, c.want, be.log())
		})
	}
}

func TestMessageThatBreaksOffNeverReachesTheBackend(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]string{
		"DATA":      "C: DATA\nS* 354\nC: Subject: half\nH:",
		"BDAT LAST": "R: \"BDAT 1000 LAST\\r\\nSubject: half\\r\\n\"\nH:",
		"BDAT":      "R: \"BDAT 4\\r\\nSubj\"\nS* 250\nH:",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := new(backend)
			w := serve(t, be, nil, nil)
			w.talk(hello + "C: MAIL FROM:<ann@example.net>\nS* 250\nC: RCPT TO:<bob@example.com>\nS* 250\n" + rest)
			require.NoError(t, w.srv.Shutdown(t.Context()))
			require.Equal(t, []string{"NewSession client.example.net", "Mail ann@example.net", "Rcpt bob@example.com", "Logout"}, be.log())
		})
	}
}

func TestClientOfGoSMTP(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, authBackend{be}, nil, nil)
	c := smtp.NewClient(w.dial())
	require.NoError(t, c.Hello("client.example.net"))
	require.NoError(t, c.Mail("ann@example.net", &smtp.MailOptions{Size: 5}))
	require.NoError(t, c.Rcpt("bob@example.com", nil))
	data, err := c.Data()
	require.NoError(t, err)
	_, err = io.WriteString(data, message)
	require.NoError(t, err)
	require.NoError(t, data.Close())
	require.NoError(t, c.Quit())
	require.NoError(t, w.srv.Shutdown(t.Context()))
	require.Equal(t, 1, be.count("Data"))
	require.Equal(t, 1, be.count("Logout"))
	require.Zero(t, be.count("CONCURRENTLY"))
}

func TestReaderEndsWithData(t *testing.T) {
	t.Parallel()
	kept := make(chan io.Reader, 1)
	w := serve(t, smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return reads{new(session), func(r io.Reader) error { kept <- r; return nil }}, nil
	}), nil, nil)
	w.talk(hello + transaction + quit)
	_, err := (<-kept).Read(make([]byte, 1))
	require.ErrorContains(t, err, "after Data")
}

func TestReaderEndsWhenThePeerLeaves(t *testing.T) {
	t.Parallel()
	var conn io.Closer
	failed := make(chan error, 1)
	w := serve(t, smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return reads{new(session), func(r io.Reader) error {
			if err := conn.Close(); err != nil {
				return err
			}
			for {
				if _, err := r.Read(nil); err != nil {
					failed <- err
					return err
				}
			}
		}}, nil
	}), nil, nil)
	c := w.client()
	conn = c.Conn
	c.Talk(hello + strings.ReplaceAll(transaction, "S: 250 2.0.0 *", ""))
	require.ErrorContains(t, <-failed, "peer has left")
}

// reads is a session that does with a message what a function says.
type reads struct {
	*session
	data func(io.Reader) error
}

func (r reads) Mail(string, *smtp.MailOptions) error { return nil }
func (r reads) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (r reads) Data(from io.Reader) error            { return r.data(from) }
func (r reads) Reset()                               {}
func (r reads) Logout() error                        { return nil }

func TestSessionThatIsRefusedMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	be := new(backend)
	be.on = func(method, _ string) error {
		if method == "NewSession" && be.count("NewSession") == 1 {
			return errors.New("the database is away: secret detail")
		}
		return nil
	}
	w := serve(t, be, nil, nil)
	w.talk(`
		S* 220
		C: EHLO client.example.net
		S: 451 4.3.0 Temporary local problem, please try again later
		C: MAIL FROM:<ann@example.net>
		S* 503
		C: EHLO client.example.net
		S* 250` + transaction + quit)
	require.Equal(t, 1, be.count("Logout"), "of the session that there was")
}

func TestBackendWithoutASession(t *testing.T) {
	t.Parallel()
	w := serve(t, smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return nil, nil }), nil, nil)
	w.talk("S* 220\nC: EHLO client.example.net\nS* 451" + quit)
}
