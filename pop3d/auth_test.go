package pop3d_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/pop3d"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

var good, wrong = b64("\x00ann@example.com\x00secret"), b64("\x00ann@example.com\x00wrong")

func TestPassword(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxAuthFailures = 10 }, func(w *world) {
		w.talk(greeting + `
			C: USER ann@example.com
			S: +OK Send your password
			C: PASS wrong
			S: -ERR [AUTH] Authentication failed
			C: PASS secret
			S: -ERR USER first
			C: USER nobody
			S: +OK Send your password
			C: PASS secret
			S: -ERR [AUTH] Authentication failed
			C: USER ann@example.com
			S: +OK Send your password
			C: CAPA x
			S: -ERR *
			C: PASS secret
			S: -ERR USER first
			R: "USER ann@example.com\r\nPASS secret\x00\r\n"
			S: +OK Send your password
			S: -ERR NUL in user or password
			R: "USER x\x00ann@example.com\r\nPASS secret\r\n"
			S: +OK Send your password
			S: -ERR NUL in user or password
			R: "USER ann@example.com\r\nPASS two words \r\n"
			S: +OK Send your password
			S: +OK Maildrop has *
		`)
	})
}

func TestSASL(t *testing.T) {
	mechanisms := []string{"PLAIN", "LOGIN", "LAST", "DOWN", "PANIC", "BROKEN", "NIL", "REPLY", "LONG"}
	inWorld(t, func(s *pop3d.Server) { s.MaxAuthFailures, s.MaxErrors = -1, -1; s.Auth = users{mechanisms: mechanisms} }, func(w *world) {
		quit := "C: QUIT\nS: +OK Bye\nS$\n"
		success := "S: +OK Maildrop has *\n" + quit
		w.talk(greeting + "C: AUTH PLAIN " + good + "\n" + success)
		w.talk(greeting + "C: auth plain\nS: + \nC: " + good + "\n" + success)
		w.talk(greeting + "C: AUTH LOGIN\nS: + " + b64("Username:") + "\nC: " + b64(ann) + "\nS: + " + b64("Password:") + "\nC: " + b64("secret") + "\n" + success)
		w.talk(greeting + "C: AUTH LOGIN " + b64(ann) + "\nS: + " + b64("Password:") + "\nC: " + b64("secret") + "\n" + success)
		w.talk(greeting + "C: AUTH LAST =\nS: + " + b64("v=done") + "\nC: \n" + success)
		w.talk(greeting + "C: AUTH LONG\nS: + \nC: " + strings.Repeat("A", 12284) + "\n" + success)
		w.talk(greeting + "C: AUTH LONG " + strings.Repeat("A", 12272) + "\n" + success)
		w.talk(greeting + `
			C: AUTH
			S: +OK Mechanisms follow
			S: PLAIN
			S: LOGIN
			S: LAST
			S: DOWN
			S: PANIC
			S: BROKEN
			S: NIL
			S: REPLY
			S: LONG
			S: .
			C: AUTH PLAIN ` + wrong + `
			S: -ERR [AUTH] Authentication failed
			C: AUTH PLAIN =
			S: -ERR Malformed authentication response
			C: AUTH PLAIN x
			S: -ERR Response is not base64
			C: AUTH PLAIN 
			S: -ERR Response is not base64
			C: AUTH PLAIN
			S: + *
			C: *
			S: -ERR Authentication cancelled
			C: AUTH PLAIN
			S: + *
			C: !
			S: -ERR Response is not base64
			R: "AUTH PLAIN\r\n` + good + `\n"
			S: + *
			S: -ERR Response is not base64
			C: AUTH LAST
			S: + ` + b64("v=done") + `
			C: eA==
			S: -ERR Malformed authentication response
			C: AUTH DOWN
			S: -ERR [SYS/TEMP] Temporary failure, please try again later
			C: AUTH PANIC
			S: -ERR [SYS/TEMP] Temporary failure, please try again later
			C: AUTH BROKEN
			S: -ERR [SYS/TEMP] Temporary failure, please try again later
			C: AUTH NIL
			S: -ERR [SYS/TEMP] Temporary failure, please try again later
			C: AUTH REPLY
			S: -ERR [AUTH] Not
			C: AUTH CRAM-MD5
			S: -ERR Unknown authentication mechanism
			C: AUTH PLAIN ` + good + `
			S: +OK *
		`)
	})
}

// TestUserNeedsPlain: USER and PASS are PLAIN in other words, and go away with it.
func TestUserNeedsPlain(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.Auth = users{mechanisms: []string{"LOGIN"}} }, func(w *world) {
		w.talk(greeting + `
			C: USER ann@example.com
			S: -ERR Unknown authentication mechanism
			C: PASS secret
			S: -ERR Unknown authentication mechanism
			C: CAPA
			S: +OK *
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: SASL LOGIN
			S: IMPLEMENTATION mailbricks
			S: .
		`)
	})
}

func TestZeroServerLetsNobodyIn(t *testing.T) {
	for _, setUp := range []func(*pop3d.Server){
		func(s *pop3d.Server) { s.Auth = nil },
		func(s *pop3d.Server) { s.Store = nil },
	} {
		t.Run("", func(t *testing.T) {
			inWorld(t, setUp, func(w *world) {
				w.talk(greeting + `
					C: USER ann@example.com
					S: -ERR Log-in is not available here
					C: AUTH PLAIN ` + good + `
					S: -ERR Log-in is not available here
					C: AUTH
					S: +OK *
					S: .
				`)
			})
		})
	}
}

func TestAuthFailuresClose(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(greeting + `
			C: USER ann@example.com
			C: PASS wrong
			C: AUTH PLAIN ` + wrong + `
			C: AUTH PLAIN =
			C: NOOP
			S: +OK *
			S: -ERR [AUTH] *
			S: -ERR [AUTH] *
			S: -ERR Malformed *
			S$
		`)
	})
}

// TestStoreFails: who is known but whose mail cannot be read is told so, and nothing stays open or locked.
func TestStoreFails(t *testing.T) {
	for _, method := range []string{"Store", "Open", "Status", "UIDs", "Messages"} {
		t.Run(method, func(t *testing.T) {
			var st *store
			inWorld(t, func(s *pop3d.Server) {
				open := s.Store
				s.Store = func(ctx context.Context, id mailbricks.Identity) (mailbox.Store, error) {
					if err := st.at(ctx, "Store"); err != nil {
						return nil, err
					}
					return open(ctx, id)
				}
			}, func(w *world) {
				st = w.store
				w.put("a: b\n\n")
				attempt := func(err error, want string) string {
					st.set(func() { st.fail = map[string]error{method: err} })
					w.talk(greeting + "C: USER ann@example.com\nS: +OK *\nC: PASS secret\nS: " + want + "\nC: QUIT\nS: +OK Bye\nS$")
					return ""
				}
				attempt(errors.New("secret reason"), "-ERR [SYS/TEMP] Temporary failure, please try again later")
				attempt(mailbricks.ErrTemporary, "-ERR [SYS/TEMP] Temporary failure, please try again later")
				attempt(&mailbricks.Reply{Code: 450, Text: "Wait\r\n+OK"}, "-ERR [SYS/TEMP] Wait")
				attempt(&mailbricks.Reply{Code: 550, Text: "No mailbox"}, "-ERR [SYS/PERM] No mailbox")
				attempt(mailbricks.ErrAuth, "-ERR [AUTH] Authentication failed")
				attempt(fmt.Errorf("maildir: %w", mailbox.ErrLocked), "-ERR [SYS/PERM] Your mail is encrypted and this log-in does not open it: *")
				st.set(func() { st.fail, st.panics = nil, method })
				w.talk(greeting + "C: AUTH PLAIN " + good + "\nS: -ERR [SYS/TEMP] Temporary *")
				st.set(func() { st.panics, st.slow = "", method })
				w.talk(greeting + "C: AUTH PLAIN " + good + "\nS: -ERR [SYS/TEMP] Temporary *")
				st.set(func() { st.slow = "" })
				w.talk(login + "C: QUIT\nS: +OK Bye\nS$")
				synctest.Wait()
				require.Zero(t, st.opened)
			})
		})
	}
}

// TestPeerLeavesDuringLogin: what is done for a peer that has left ends at once.
func TestPeerLeavesDuringLogin(t *testing.T) {
	var ended time.Time
	inWorld(t, func(s *pop3d.Server) {
		s.Auth, s.StoreTimeout = users{mechanisms: []string{"SLOW"}}, time.Hour
		s.Trace.Disconnected = func(*pop3d.Session, error) { ended = time.Now() }
	}, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(greeting + "C: AUTH SLOW")
		synctest.Wait()
		require.Zero(t, ended)
		start := time.Now()
		require.NoError(t, c.Conn.Close())
		synctest.Wait()
		require.Equal(t, start, ended)
	})
}

func TestTraceOfLogin(t *testing.T) {
	var got []string
	inWorld(t, func(s *pop3d.Server) {
		s.Trace = pop3d.Trace{
			Connected: func(*pop3d.Session) { got = append(got, "connected") },
			Auth: func(s *pop3d.Session, mechanism string, err error) {
				got = append(got, mechanism)
				if err != nil {
					require.Nil(t, s.Peer.Identity)
					got = append(got, err.Error())
				}
			},
			Opened: func(s *pop3d.Session, _ int, _ int64) { got = append(got, s.Peer.Identity.User) },
			Command: func(_ *pop3d.Session, verb string, ok bool) {
				got = append(got, verb, map[bool]string{true: "+", false: "-"}[ok])
			},
			Retrieved: func(_ *pop3d.Session, uid mailbox.UID, octets int64, err error) {
				require.EqualValues(t, 8, octets)
				require.EqualValues(t, 1, uid)
				require.NoError(t, err)
			},
			Updated: func(_ *pop3d.Session, deleted, left int) { require.Equal(t, 1, deleted); require.Zero(t, left) },
			Disconnected: func(_ *pop3d.Session, err error) {
				require.NoError(t, err)
				got = append(got, "disconnected")
			},
		}
	}, func(w *world) {
		w.put("a: b\n\n")
		w.talk(greeting + `
			C: FOO
			C: USER ann@example.com
			C: PASS wrong
			C: AUTH PLAIN ` + good + `
			C: RETR 1
			C: DELE 1
			C: QUIT
			S: -ERR *
			S: +OK *
			S: -ERR *
			S: +OK *
			S: +OK *
			S: a: b
			S: 
			S: .
			S: +OK *
			S: +OK Bye
			S$
		`)
		synctest.Wait()
		require.Equal(t, []string{"connected", "UNKNOWN", "-", "USER", "+", "PASS", "mailbricks: authentication failed", "PASS", "-", "PLAIN", ann, "AUTH", "+",
			"RETR", "+", "DELE", "+", "QUIT", "+", "disconnected"}, got)
	})
}
