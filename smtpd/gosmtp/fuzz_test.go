package gosmtp_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd/gosmtp"
)

// inOrder says what is wrong with the calls that a backend got over one connection.
func inOrder(calls []string) error {
	session, mail, rcpt, data := false, false, false, false
	for i, call := range calls {
		method, arg, _ := strings.Cut(call, " ")
		fails := strings.HasPrefix(arg, "panic") || strings.HasPrefix(arg, "refuse")
		ok := session
		switch method {
		case "NewSession":
			ok, session = !session, !fails
		case "Mail":
			ok, mail = session && !mail, true
		case "Rcpt":
			ok, rcpt = mail && !data, rcpt || !fails
		case "Data":
			ok, data = rcpt && !data, true
		case "Reset":
			mail, rcpt, data = false, false, false
		case "Logout":
			session, mail, rcpt, data = false, false, false, false
		case "CONCURRENTLY":
			ok = false
		default: // AUTH
			ok = session && !data
		}
		if !ok {
			return fmt.Errorf("call %d: %s in %q", i, method, calls)
		}
	}
	if session {
		return fmt.Errorf("no Logout in %q", calls)
	}
	return nil
}

func TestInOrder(t *testing.T) {
	t.Parallel()
	good := []string{"NewSession a", "Mail", "Reset", "Mail a", "Rcpt b", "Data x", "Reset", "Logout", "NewSession b", "Logout"}
	require.NoError(t, inOrder(good))
	for _, i := range []int{0, 2, 3, 4, 7, 8, 9} {
		require.Error(t, inOrder(slices.Delete(slices.Clone(good), i, i+1)), "without %d", i)
	}
	require.Error(t, inOrder([]string{"NewSession a", "CONCURRENTLY", "Logout"}))
}

// FuzzSession lets a client send anything, and looks at what a backend gets to see of it.
func FuzzSession(f *testing.F) {
	begin := "EHLO a.example\r\nMAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com>\r\n"
	f.Add(begin+"DATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n", false)
	f.Add(begin+"BDAT 3\r\nabcBDAT 2 LAST\r\n\r\nMAIL FROM:<>\r\nRSET\r\nEHLO b.example\r\nMAIL FROM:<>\r\n", false)
	f.Add(begin+"EHLO a\r\nAUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\nAUTH LOGIN\r\n*\r\n"+begin, false)
	f.Add(begin+"MAIL FROM:<refuse@example.net>\r\nRSET\r\nMAIL FROM:<refuse@example.net>\r\nMAIL FROM:<ok@example.net>\r\n", false)
	f.Add("LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<refuse@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n.\r\n", true)
	f.Add("HELO panic.example\r\nMAIL FROM:<panic@example.net>\r\n", false)
	f.Add("HELO close.example\r\nMAIL FROM:<>\r\n", false)
	f.Add("HELO a.example\r\nMAIL FROM:<close@example.net>\r\nMAIL FROM:<>\r\n", false)
	f.Fuzz(func(t *testing.T, send string, lmtp bool) {
		be := new(backend)
		be.on = func(method, arg string) error {
			switch {
			case method == "Logout" || method == "Reset":
			case strings.HasPrefix(arg, "close"):
				return be.conns[len(be.conns)-1].Conn().Close()
			case strings.HasPrefix(arg, "panic"):
				panic("as asked")
			case strings.HasPrefix(arg, "refuse"):
				return &smtp.SMTPError{Code: 550, Message: "no"}
			}
			return nil
		}
		s := smtp.NewServer(authBackend{be})
		s.Domain, s.AllowInsecureAuth, s.LMTP, s.ErrorLog = "mail.example.com", true, lmtp, nil
		srv := gosmtp.Server(s)
		network := mailtest.NewNetwork()
		l, err := network.Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		go func() {
			_, _ = io.WriteString(conn, send)
			_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		_, _ = io.Copy(io.Discard, conn) // to the end, whatever it is
		require.NoError(t, conn.Close())
		require.NoError(t, srv.Shutdown(t.Context()))
		<-done
		require.NoError(t, inOrder(be.log()))
	})
}
