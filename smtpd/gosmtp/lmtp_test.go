package gosmtp_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// lmtpSession sets a status for each recipient, as a function says.
type lmtpSession struct {
	*session
	status func(smtp.StatusCollector) error
}

func (s lmtpSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	defer s.alone()()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	s.b.called("LMTPData", "")
	return s.status(status)
}

// lmtp is a backend of such sessions.
func lmtp(be *backend, status func(smtp.StatusCollector) error) smtp.Backend {
	return smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s, err := be.NewSession(c)
		return lmtpSession{s.(*session), status}, err
	})
}

func overLMTP(s *smtp.Server) { s.LMTP = true }

const lhlo = `
	S: 220 mail.example.com LMTP*
	C: LHLO client.example.net
	S* 250
`

// lmtpMessage has three recipients, two of which are the same.
const lmtpMessage = `
	C: MAIL FROM:<ann@example.net>
	S* 250
	C: RCPT TO:<bob@example.com>
	S* 250
	C: RCPT TO:<eve@example.com>
	S* 250
	C: RCPT TO:<bob@example.com>
	S* 250
	C: DATA
	S* 354
	C: Subject: x
	C:
	C: .
`

func TestStatusOfEachRecipient(t *testing.T) {
	t.Parallel()
	full := &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "full"}
	gone := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "gone"}
	for name, c := range map[string]struct {
		status func(smtp.StatusCollector) error
		want   string
	}{
		"one each": {func(s smtp.StatusCollector) error {
			s.SetStatus("eve@example.com", gone)
			s.SetStatus("bob@example.com", nil)
			s.SetStatus("bob@example.com", full)
			return nil
		}, "S: 250 2.0.0 *\nS: 550 5.1.1 <eve@example.com>: gone\nS: 452 4.2.2 <bob@example.com>: full"},
		"the rest gets what is returned": {func(s smtp.StatusCollector) error {
			s.SetStatus("bob@example.com", nil)
			return full
		}, "S: 250 2.0.0 *\nS: 452 4.2.2 <eve@example.com>: full\nS: 452 4.2.2 <bob@example.com>: full"},
		"none": {func(smtp.StatusCollector) error { return nil }, "S* 250\nS* 250\nS* 250"},
		"a plain error": {func(s smtp.StatusCollector) error {
			s.SetStatus("bob@example.com", errors.New("secret"))
			return errors.New("secret")
		}, "S: 451 4.3.0 <bob@example.com>: Temporary*\nS: 451 4.3.0 <eve@*\nS: 451 4.3.0 <bob@*"},
		"too many and unknown": {func(s smtp.StatusCollector) error {
			s.SetStatus("mallory@example.com", gone)
			for range 5 {
				s.SetStatus("bob@example.com", nil)
			}
			s.SetStatus("BOB@example.com", gone)
			return gone
		}, "S* 250\nS: 550 5.1.1 <eve@example.com>: gone\nS* 250"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := new(backend)
			var log lines
			w := serve(t, lmtp(be, c.status), func(s *smtp.Server) { s.LMTP, s.ErrorLog = true, &log }, nil)
			w.talk(lhlo + lmtpMessage + c.want + quit)
			require.Equal(t, 1, be.count("LMTPData"))
			require.Zero(t, be.count("Data"))
			require.Equal(t, name == "too many and unknown", strings.Contains(log.String(), "count=5"))
		})
	}
}

func TestStatusThatComesTooLate(t *testing.T) {
	t.Parallel()
	kept := make(chan smtp.StatusCollector, 1)
	w := serve(t, lmtp(new(backend), func(s smtp.StatusCollector) error {
		kept <- s
		return nil
	}), overLMTP, nil)
	w.talk(lhlo + lmtpMessage + "S* 250\nS* 250\nS* 250" + quit)
	(<-kept).SetStatus("bob@example.com", errors.New("late")) // and nothing happens
}

func TestBackendWithoutLMTPDataAnswersForAll(t *testing.T) {
	t.Parallel()
	be := new(backend)
	be.on = func(method, _ string) error {
		if method == "Data" {
			return &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 2, 2}, Message: "full"}
		}
		return nil
	}
	w := serve(t, be, overLMTP, nil)
	w.talk(lhlo + lmtpMessage + "S: 552 5.2.2 <bob@*\nS: 552 5.2.2 <eve@*\nS: 552 5.2.2 <bob@*" + quit)
}

func TestLMTPDataIsForLMTPOnly(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, lmtp(be, nil), nil, nil)
	w.talk(hello + transaction + quit)
	require.Equal(t, 1, be.count("Data"))
}

func TestPanicInLMTPData(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, lmtp(be, func(s smtp.StatusCollector) error {
		s.SetStatus("bob@example.com", nil)
		panic("half way")
	}), overLMTP, nil)
	c := w.client()
	c.Talk(lhlo + lmtpMessage + "S: 250 2.0.0 *\nS: 421 4.3.0 <eve@*")
	require.NoError(t, c.Conn.Close())
	require.NoError(t, w.srv.Shutdown(t.Context()))
	require.Equal(t, 1, be.count("Logout"))
}

func TestLMTPClientOfGoSMTP(t *testing.T) {
	t.Parallel()
	w := serve(t, lmtp(new(backend), func(s smtp.StatusCollector) error {
		s.SetStatus("eve@example.com", &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "gone"})
		return nil
	}), overLMTP, nil)
	c := smtp.NewClientLMTP(w.dial())
	require.NoError(t, c.Hello("client.example.net"))
	require.NoError(t, c.Mail("ann@example.net", nil))
	require.NoError(t, c.Rcpt("bob@example.com", nil))
	require.NoError(t, c.Rcpt("eve@example.com", nil))
	data, err := c.Data()
	require.NoError(t, err)
	_, err = io.WriteString(data, message)
	require.NoError(t, err)
	_, err = data.CloseWithLMTPResponse()
	var refused smtp.LMTPDataError
	require.ErrorAs(t, err, &refused)
	require.Len(t, refused, 1)
	require.Equal(t, 550, refused["eve@example.com"].Code)
	require.NoError(t, c.Quit())
}

func TestRecipientThatIsRefusedOnSecondThoughtHasItsOwnReply(t *testing.T) {
	t.Parallel()
	be := new(backend)
	be.on = func(method, arg string) error {
		if method == "Rcpt" && arg == "moved@example.com" {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 6}, Message: "moved"}
		}
		return nil
	}
	be2 := lmtp(be, func(s smtp.StatusCollector) error {
		s.SetStatus("moved@example.com", nil) // which it has refused
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "full"}
	})
	w := serve(t, be2, overLMTP, func(srv *smtpd.Server) {
		srv.Checks = append(srv.Checks, smtpd.Check{Message: func(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Message) error {
			tx.Envelope.Recipients[1].Address = "moved@example.com"
			return nil
		}})
	})
	w.talk(lhlo + lmtpMessage + "S: 452 4.2.2 <bob@*\nS: 550 5.1.6 <eve@*moved\nS: 452 4.2.2 <bob@*" + quit)
}
