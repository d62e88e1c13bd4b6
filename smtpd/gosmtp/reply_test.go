package gosmtp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestErrorsBecomeReplies(t *testing.T) {
	t.Parallel()
	rate := &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "slow down"}
	var none *smtp.SMTPError
	const general = "451 4.3.0 Temporary local problem, please try again later"
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"SMTPError":          {rate, "450 4.7.1 slow down"},
		"wrapped":            {fmt.Errorf("secret: %w", rate), "450 4.7.1 slow down"},
		"joined":             {errors.Join(errors.New("secret"), rate), "450 4.7.1 slow down"},
		"no enhanced code":   {&smtp.SMTPError{Code: 550, EnhancedCode: smtp.NoEnhancedCode, Message: "no"}, "550 5.0.0 no"},
		"none set":           {&smtp.SMTPError{Code: 450, Message: "no"}, "450 4.0.0 no"},
		"of another class":   {&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{4, 1, 1}, Message: "no"}, "550 5.0.0 no"},
		"out of range":       {&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1000, 1}, Message: "no"}, "550 5.0.0 no"},
		"negative":           {&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, -1}, Message: "no"}, "550 5.0.0 no"},
		"control characters": {&smtp.SMTPError{Code: 550, Message: "no\r\x00\t250 ok"}, "550 5.0.0 no   250 ok"},
		"not permitted yet":  {smtp.ErrAuthRequired, "502 5.7.0 Please authenticate first"},
		"positive":           {&smtp.SMTPError{Code: 250, Message: "queued"}, "250 2.*"},
		"no refusal":         {&smtp.SMTPError{Code: 354, Message: "go on"}, general},
		"nonsense":           {&smtp.SMTPError{Code: 99, Message: "x"}, general},
		"zero":               {new(smtp.SMTPError), general},
		"nil":                {none, general},
		"plain":              {errors.New("password of the database is secret"), general},
		"ours":               {&mailbricks.Reply{Code: 552, Enhanced: "5.2.2", Text: "full"}, "552 5.2.2 full"},
		"a verdict":          {smtpd.Permanent("not here"), "550 5.7.1 not here"},
	} {
		for _, at := range []string{"Mail", "Rcpt", "Data"} {
			t.Run(name+"/"+at, func(t *testing.T) {
				t.Parallel()
				be := new(backend)
				be.on = func(method, _ string) error {
					if method == at {
						return c.err
					}
					return nil
				}
				steps := map[string]string{
					"Mail": "C: MAIL FROM:<ann@example.net>\nS: ",
					"Rcpt": "C: MAIL FROM:<ann@example.net>\nS* 250\nC: RCPT TO:<bob@example.com>\nS: ",
					"Data": "C: MAIL FROM:<ann@example.net>\nS* 250\nC: RCPT TO:<bob@example.com>\nS* 250\nC: DATA\nS* 354\nC: Subject: x\nC:\nC: .\nS: ",
				}
				w := serve(t, be, nil, nil)
				w.talk(hello + steps[at] + c.want + "\nC: RSET\nS* 250" + quit)
			})
		}
	}
}

func TestReplyOfSeveralLines(t *testing.T) {
	t.Parallel()
	be := new(backend)
	be.on = func(method, _ string) error {
		if method == "Mail" {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "one\ntwo"}
		}
		return nil
	}
	serve(t, be, nil, nil).talk(hello + "C: MAIL FROM:<ann@example.net>\nS: 550-5.7.1 one\nS: 550 5.7.1 two" + quit)
}

func TestReplyWith421EndsTheSession(t *testing.T) {
	t.Parallel()
	be := new(backend)
	be.on = func(method, _ string) error {
		if method == "Mail" {
			return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "later"}
		}
		return nil
	}
	w := serve(t, be, nil, nil)
	c := w.client()
	c.Talk(hello + "C: MAIL FROM:<ann@example.net>\nS: 421 4.3.2 later\nS$")
	require.NoError(t, c.Conn.Close())
	require.NoError(t, w.srv.Shutdown(t.Context()))
	require.Equal(t, 1, be.count("Logout"))
}

// lines is a log of go-smtp's kind.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, format, args...)
}

func (l *lines) Println(args ...any) { l.Printf("%s", fmt.Sprintln(args...)) }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestPanicCostsOneConnectionOnly(t *testing.T) {
	t.Parallel()
	steps := []struct{ at, script string }{
		{"NewSession", "S* 220\nC: EHLO client.example.net"},
		{"AuthMechanisms", ""},
		{"Auth", "S* 250\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ="},
		{"Password", ""},
		{"Mail", "S* 235\nC: MAIL FROM:<ann@example.net>"},
		{"Rcpt", "S* 250\nC: RCPT TO:<bob@example.com>"},
		{"Data", "S* 250\nC: DATA\nS* 354\nC: Subject: x\nC:\nC: ."},
	}
	for _, lmtp := range []bool{false, true} {
		for _, step := range steps {
			t.Run(fmt.Sprintf("%s/%v", step.at, lmtp), func(t *testing.T) {
				t.Parallel()
				be := new(backend)
				first := true
				be.on = func(method, _ string) error {
					if method == step.at && first {
						first = false
						panic("Everything is lost: secret")
					}
					return nil
				}
				var log lines
				w := serve(t, authBackend{be}, func(s *smtp.Server) { s.LMTP, s.ErrorLog = lmtp, &log }, nil)
				adapted := func(script string) string {
					if lmtp {
						return strings.Replace(script, "EHLO", "LHLO", 1)
					}
					return script
				}
				c := w.client()
				for _, s := range steps {
					c.Talk(adapted(s.script))
					if s.at == step.at {
						break
					}
				}
				c.Talk("S: 421 4.3.0 *Internal server error, closing\nS$")
				require.NoError(t, c.Conn.Close())
				w.talk(adapted(hello) + transaction + quit)
				require.NoError(t, w.srv.Shutdown(t.Context()))
				require.Contains(t, log.String(), "panic")
				require.Contains(t, log.String(), "secret")
				want := 2
				if step.at == "NewSession" {
					want = 1
				}
				require.Equal(t, want, be.count("Logout"))
			})
		}
	}
}

func TestPanicInReset(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"EHLO": {"C: EHLO client.example.net", "421"},
		"MAIL": {"C: RSET\nS* 250\nC: MAIL FROM:<>", "421"},
		"DATA": {"C: RCPT TO:<bob@example.com>\nS* 250\nC: DATA\nS* 354\nC: .", "250"}, // it was taken before that
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := new(backend)
			be.on = func(method, _ string) error {
				if method == "Reset" {
					panic("reset")
				}
				return nil
			}
			w := serve(t, be, nil, nil)
			c0 := w.client()
			c0.Talk(hello + "C: MAIL FROM:<ann@example.net>\nS* 250\n" + c.script + "\nS* " + c.want)
			require.NoError(t, c0.Conn.Close())
			require.NoError(t, w.srv.Shutdown(t.Context()))
			require.Equal(t, 1, be.count("Logout"))
			require.Equal(t, 1, be.count("Reset"))
		})
	}
}

func TestPanicThatACheckMakesLightOf(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"Reset", "Mail"} {
		be := new(backend)
		first := true
		be.on = func(method, _ string) error {
			if method == at && first {
				first = false
				panic("lost")
			}
			return nil
		}
		w := serve(t, be, nil, func(srv *smtpd.Server) {
			srv.Checks = append([]smtpd.Check{{Around: func(ctx context.Context, _ *smtpd.Step, next func(context.Context) error) error {
				if next(ctx) != nil {
					return smtpd.Temporary("no matter")
				}
				return nil
			}}}, srv.Checks...)
		})
		script := "C: EHLO client.example.net\nS* 451\nC: EHLO client.example.net\nS* 250"
		if at == "Mail" {
			script = "C: MAIL FROM:<ann@example.net>\nS* 451"
		}
		w.talk(hello + script + transaction + quit)
		require.NoError(t, w.srv.Shutdown(t.Context()))
		require.Equal(t, 2, be.count("NewSession"))
		require.Equal(t, 2, be.count("Logout"))
		require.Equal(t, 1, be.count("Data"))
	}
}

func TestPanicInLogout(t *testing.T) {
	t.Parallel()
	be := new(backend)
	panics := true
	be.on = func(method, _ string) error {
		if method == "Logout" && panics || method == "Reset" {
			panic("logout")
		}
		return nil
	}
	w := serve(t, be, nil, nil)
	w.talk(hello + quit)
	w.talk(hello + "C: EHLO client.example.net\nS* 421")
	w.talk(hello + transaction + quit)
	require.NoError(t, w.srv.Shutdown(t.Context()))
	require.Equal(t, 3, be.count("Logout"))
	panics = false
	for _, c := range be.conns { // what is left of them ends by this, so that the test leaves nothing behind
		require.NoError(t, c.Close())
	}
}

func TestMethodsNeverRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, authBackend{be}, nil, nil)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			conn, err := w.net.Dialer(fmt.Sprintf("203.0.113.%d", 100+i)).Dial("tcp", w.addr)
			if err != nil {
				return
			}
			// Everything at once, and then it leaves: in the middle of whatever the backend does.
			script := "EHLO client.example.net\r\nMAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n" +
				"Subject: x\r\n\r\n.\r\nMAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com>\r\nBDAT 4 LAST\r\nabc"
			_, _ = conn.Write([]byte(script[:len(script)*(i+1)/16]))
			_ = conn.Close()
		})
	}
	wg.Wait()
	require.NoError(t, w.srv.Shutdown(t.Context()))
	require.Zero(t, be.count("CONCURRENTLY"))
	require.Equal(t, be.count("NewSession"), be.count("Logout"))
}

func TestWarningsGoToTheErrorLog(t *testing.T) {
	t.Parallel()
	var log lines
	be := new(backend)
	be.on = func(method, _ string) error {
		if method == "Reset" {
			panic("reset")
		}
		return nil
	}
	w := serve(t, be, func(s *smtp.Server) { s.ErrorLog = &log }, nil)
	w.client().Talk(hello + transaction)
	require.Contains(t, log.String(), `level=WARN msg="gosmtp: Reset after a message"`)
	require.NotContains(t, log.String(), "time=", "it has its own")
}
