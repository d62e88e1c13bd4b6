package smtpd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
	"github.com/mailbricks/mailbricks/smtpd/greylist"
)

// records keeps the outcomes of a server and what it logs.
type records struct {
	mu   sync.Mutex // of told while sessions run
	told []smtpd.Outcome
	log  bytes.Buffer
}

func (r *records) of(s *smtpd.Server) {
	s.Logger = slog.New(slog.NewTextHandler(&r.log, nil))
	s.Trace.Outcome = func(o smtpd.Outcome) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told = append(r.told, o)
	}
}

// refusals are the outcomes that refuse something.
func (r *records) refusals() (found []smtpd.Outcome) {
	for _, o := range r.told {
		if o.Action == smtpd.Refuse || o.Action == smtpd.ClosePeer {
			found = append(found, o)
		}
	}
	return found
}

// lines are the lines of the log that have all of the words.
func (r *records) lines(words ...string) (found []string) {
next:
	for line := range strings.Lines(r.log.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// listed is a DNS in which every list has 203.0.113.9.
type listed struct{}

func (listed) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if strings.HasPrefix(host, "9.113.0.203.") || strings.HasPrefix(host, "2.0.0.127.") { // RFC 5782 §5
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
	}
	return nil, &net.DNSError{Name: host, IsNotFound: true}
}

func (listed) LookupTXT(context.Context, string) ([]string, error) { return nil, nil }

// Each refusal is one outcome and one line of the log, with one id: whoever asks why finds it.
func TestOneOutcomeForEachRefusal(t *testing.T) {
	type test struct {
		name   string
		setUp  func(*smtpd.Server)
		script string
		phase  smtpd.Phase
		check  string
		action smtpd.Action
		rcpt   string
		code   int // 0: the peer was told nothing
		inTx   bool
		err    string // within Err
	}
	checks := func(check smtpd.Check) func(*smtpd.Server) {
		return func(s *smtpd.Server) { s.Checks = []smtpd.Check{{Name: "first"}, check} }
	}
	set := func(f func(*smtpd.Server)) func(*smtpd.Server) { return f }
	var tests []test
	for i, step := range steps {
		to := ""
		if step == "rcpt" {
			to = "b@example.com"
		}
		code := 554
		refuse := func(err error) smtpd.Check {
			return everyStep("guard", func(_ context.Context, at string) error {
				if at == step {
					return err
				}
				return nil
			})
		}
		no := &mailbricks.Reply{Code: 554, Enhanced: "5.7.1", Text: "Not you", Err: errors.New("because")}
		tests = append(tests, test{
			"check refuses at " + step, checks(refuse(no)), refusedAt(step, "554 *"), smtpd.Phase(i), "guard", smtpd.Refuse, to, code,
			i > 1, "because",
		}, test{
			"check closes at " + step, checks(refuse(smtpd.Close(no))), refusedAt(step, "554 *") + "S$\n", smtpd.Phase(i), "guard",
			smtpd.ClosePeer, to, code, i > 1, "because",
		})
		panics := everyStep("guard", func(_ context.Context, at string) error {
			if at == step {
				panic("because")
			}
			return nil
		})
		code, action := 451, smtpd.Refuse
		if step == "connect" {
			code, action = 421, smtpd.ClosePeer
		}
		tests = append(tests, test{
			"check panics at " + step, checks(panics), refusedAt(step, fmt.Sprint(code, " *")), smtpd.Phase(i), "guard", action, to,
			code, i > 1, "because",
		})
	}
	handler := func(err error) func(*smtpd.Server) {
		return func(s *smtpd.Server) {
			s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return err })
		}
	}
	tests = append(tests,
		test{"handler", handler(smtpd.Permanent("full")), toData + "C: .\nS* 550\n", smtpd.PhaseMessage, "handler", smtpd.Refuse,
			"", 550, true, "full"},
		test{"handler's secret", handler(errors.New("disk")), toData + "C: .\nS* 451\n", smtpd.PhaseMessage, "handler",
			smtpd.Refuse, "", 451, true, "disk"},
		test{"handler closes", handler(smtpd.Close(errors.New("disk"))), toData + "C: .\nS* 421\nS$\n", smtpd.PhaseMessage,
			"handler", smtpd.ClosePeer, "", 421, true, "disk"},
		test{"no handler", set(func(s *smtpd.Server) { s.Handler = nil }), hello + "C: MAIL FROM:<a@example.net>\nS* 451\n",
			smtpd.PhaseMail, "", smtpd.Refuse, "", 451, false, ""},
		test{"unknown command", nil, hello + "C: WHAT\nS* 500\n", smtpd.PhaseCommand, "", smtpd.Refuse, "", 500, false, "protocol"},
		test{"bad EHLO", nil, "S* 220\nC: EHLO\nS* 501\n", smtpd.PhaseHello, "", smtpd.Refuse, "", 501, false, "protocol"},
		test{"bad MAIL", nil, hello + "C: MAIL FROM:<x>\nS* 501\n", smtpd.PhaseMail, "", smtpd.Refuse, "", 501, false, "protocol"},
		test{"bad RCPT", nil, mailTo + "C: RCPT TO:<@>\nS* 501\n", smtpd.PhaseRcpt, "", smtpd.Refuse, "", 501, true, "protocol"},
		test{"bad DATA", nil, mailTo + "C: DATA now\nS* 501\n", smtpd.PhaseData, "", smtpd.Refuse, "", 501, true, "protocol"},
		test{"bad BDAT", nil, mailTo + "C: BDAT x\nS* 501\nS$\n", smtpd.PhaseData, "", smtpd.ClosePeer, "", 501, true, "protocol"},
		test{"web browser", nil, "S* 220\nC: GET / HTTP/1.1\nS* 502\nS$\n", smtpd.PhaseCommand, "", smtpd.ClosePeer, "", 502, false,
			"protocol"},
		test{"bare LF", nil, toData + "R: \"x\\ny\\r\\n.\\r\\n\"\nS* 550\n", smtpd.PhaseMessage, "", smtpd.Refuse, "", 550, true,
			"LF without CR"},
		test{"bare LF by BDAT", nil, mailTo + "R: \"BDAT 5 LAST\\r\\nx\\ny\\r\\n\"\nS* 550\n", smtpd.PhaseMessage, "", smtpd.Refuse,
			"", 550, true, "LF without CR"},
		test{"too large", set(func(s *smtpd.Server) { s.MaxMessageSize = 10 }), toData + "C: 12345678901\nC: .\nS* 552\n",
			smtpd.PhaseMessage, "", smtpd.Refuse, "", 552, true, "552"},
		test{"too large by SIZE", set(func(s *smtpd.Server) { s.MaxMessageSize = 10 }),
			hello + "C: MAIL FROM:<a@example.net> SIZE=11\nS* 552\n",
			smtpd.PhaseMail, "", smtpd.Refuse, "", 552, false, ""},
		test{"loop", set(func(s *smtpd.Server) { s.MaxHops = 1 }), toData + "C: Received: x\nC: .\nS* 554\n", smtpd.PhaseMessage,
			"", smtpd.Refuse, "", 554, true, "554"},
		test{"peer leaves within a message", nil, toData + "C: x\nH:\nS$\n", smtpd.PhaseMessage, "", smtpd.Refuse, "", 0, true,
			"broke off"},
		test{"message too slow", nil, toData + "C: x\nW: 3m\nS* 421\nS$\n", smtpd.PhaseMessage, "", smtpd.ClosePeer, "", 421, true,
			"timeout"},
		test{"too slow", nil, hello + "W: 5m\nS* 421\nS$\n", smtpd.PhaseCommand, "", smtpd.ClosePeer, "", 421, false, "timeout"},
		test{"too slow in a transaction", nil, mailTo + "W: 5m\nS* 421\nS$\n", smtpd.PhaseCommand, "", smtpd.ClosePeer, "", 421,
			true, "timeout"},
		test{"too old", set(func(s *smtpd.Server) { s.SessionTimeout = time.Minute }), hello + "W: 1m\nS* 421\nS$\n",
			smtpd.PhaseCommand, "", smtpd.ClosePeer, "", 421, false, "too old"},
		test{"stress", set(func(s *smtpd.Server) { s.MaxConnections = 1 }), hello + "W: 10s\nS* 421\nS$\n",
			smtpd.PhaseCommand, "", smtpd.ClosePeer, "", 421, false, "stress"},
		test{"line too long", nil, hello + "C: " + strings.Repeat("x", 13000) + "\nS* 500\nS$\n", smtpd.PhaseCommand, "",
			smtpd.ClosePeer, "", 500, false, "too long"},
		test{"errors", set(func(s *smtpd.Server) { s.MaxErrors = 1 }), hello + "C: RCPT TO:<x>\nS* 421\nS$\n", smtpd.PhaseRcpt, "",
			smtpd.ClosePeer, "", 421, false, "MAIL first"},
		test{"idle commands", set(func(s *smtpd.Server) { s.MaxIdleCommands = 1 }), hello + "C: NOOP\nS* 421\nS$\n",
			smtpd.PhaseCommand, "", smtpd.ClosePeer, "", 421, false, ""},
		test{"transactions", set(func(s *smtpd.Server) { s.MaxTransactions = 1 }),
			mailTo + "C: RSET\nS* 250\nC: MAIL FROM:<a@example.net>\nS* 421\nS$\n",
			smtpd.PhaseMail, "", smtpd.ClosePeer, "", 421, false, ""},
		test{"recipients", set(func(s *smtpd.Server) { s.MaxRecipients = 1 }), mailTo + "C: RCPT TO:<c@example.com>\nS* 452\n",
			smtpd.PhaseRcpt, "", smtpd.Refuse, "", 452, true, ""},
		test{"bad recipients", set(func(s *smtpd.Server) { s.MaxBadRecipients, s.Checks = 1, []smtpd.Check{nobody} }),
			hello + "C: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<c@example.com>\nS* 421\nS$\n",
			smtpd.PhaseRcpt, "nobody", smtpd.ClosePeer, "c@example.com", 421, true, "no such user"},
		test{"log-in", withAuth(), hello + "C: AUTH PLAIN AGEAYg==\nS* 535\n", smtpd.PhaseAuth, "", smtpd.Refuse, "", 535, false,
			`"PLAIN": mailbricks: authentication failed`},
		test{"log-ins", set(func(s *smtpd.Server) { withAuth()(s); s.MaxAuthFailures = 1 }),
			hello + "C: AUTH PLAIN AGEAYg==\nS* 421\nS$\n",
			smtpd.PhaseAuth, "", smtpd.ClosePeer, "", 421, false, "authentication failed"},
		test{"log-in cancelled", withAuth(), hello + "C: AUTH PLAIN\nS* 334\nC: *\nS* 501\n", smtpd.PhaseAuth, "", smtpd.Refuse, "",
			501, false, "cancelled"},
		test{"no mechanism", withAuth(), hello + "C: AUTH X\nS* 504\n", smtpd.PhaseAuth, "", smtpd.Refuse, "", 504, false, `"X"`},
		test{"log-in too slow", withAuth(), hello + "C: AUTH PLAIN\nS* 334\nW: 5m\nS* 421\nS$\n", smtpd.PhaseCommand, "",
			smtpd.ClosePeer, "", 421, false, "timeout"},
		test{"log-in too long", withAuth(), hello + "C: AUTH PLAIN\nS* 334\nC: " + strings.Repeat("A", 13000) + "\nS* 500\nS$\n",
			smtpd.PhaseAuth, "", smtpd.ClosePeer, "", 500, false, "too long"},
	)
	ca := mailtest.NewCA()
	greylists := func(s *smtpd.Server) {
		grey, err := greylist.Open("", greylist.Options{})
		require.NoError(t, err)
		s.Checks = []smtpd.Check{grey.Check()}
	}
	lists := func(s *smtpd.Server) {
		zone, err := dnsbl.ParseList("bl.example.org")
		require.NoError(t, err)
		block, err := dnsbl.New(dnsbl.Options{Lists: []dnsbl.List{zone}, Resolver: listed{}})
		require.NoError(t, err)
		s.Checks = []smtpd.Check{block.Check()}
	}
	tests = append(tests,
		test{"greylisted", greylists, hello + "C: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<b@example.com>\nS* 450\n",
			smtpd.PhaseRcpt, "greylist", smtpd.Refuse, "b@example.com", 450, true, "300 seconds"},
		test{"on a block list", lists, hello + "C: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<b@example.com>\nS* 554\n",
			smtpd.PhaseRcpt, "dnsbl", smtpd.Refuse, "b@example.com", 554, true, "bl.example.org"},
		test{"no handshake", withTLS(ca), hello + "C: STARTTLS\nS* 220\nC: EHLO in.clear\nH:\nW: 1s\n", smtpd.PhaseCommand, "",
			smtpd.ClosePeer, "", 0, false, "TLS handshake failed"},
		test{"handshake too slow", withTLS(ca), hello + "C: STARTTLS\nS* 220\nW: 30s\nS$\n", smtpd.PhaseCommand, "",
			smtpd.ClosePeer, "", 0, false, "TLS handshake failed"},
		test{"deferred recipients", set(func(s *smtpd.Server) { s.MaxDeferredRecipients, s.Checks = 1, []smtpd.Check{later} }),
			hello + "C: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<c@example.com>\nS* 421\nS$\n",
			smtpd.PhaseRcpt, "later", smtpd.ClosePeer, "c@example.com", 421, true, "Later"},
	)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var seen records
			inWorld(t, func(s *smtpd.Server) {
				if test.setUp != nil {
					test.setUp(s)
				}
				seen.of(s)
			}, func(w *world) {
				w.talk(test.script)
				synctest.Wait()
				refusals := seen.refusals()
				require.Len(w.t, refusals, 1)
				o := refusals[0]
				require.Equal(w.t, test.phase.String(), o.Phase.String())
				require.Equal(w.t, test.check, o.Check)
				require.Equal(w.t, test.action.String(), o.Action.String())
				require.Equal(w.t, test.rcpt, o.Recipient)
				require.Equal(w.t, test.code != 0, o.Reply != nil)
				if o.Reply != nil {
					require.Equal(w.t, test.code, o.Reply.Code)
				}
				if test.err == "" {
					require.NoError(w.t, o.Err)
				} else {
					require.ErrorContains(w.t, o.Err, test.err)
				}
				require.Equal(w.t, test.inTx, o.Transaction != nil)
				require.NotNil(w.t, o.Session)
				if test.inTx {
					require.Equal(w.t, o.Transaction.Envelope.ID, o.ID)
				} else {
					require.Equal(w.t, o.Session.ID, o.ID)
				}
				words := []string{`"smtpd: refused"`, "session=" + o.Session.ID, "id=" + o.ID, "peer=203.0.113.9:",
					"phase=" + test.phase.String(), "action=" + test.action.String()}
				if test.check != "" {
					words = append(words, "check="+test.check)
				}
				if test.rcpt != "" {
					words = append(words, "to="+test.rcpt)
				}
				if test.code != 0 {
					words = append(words, fmt.Sprintf(`reply="%d `, test.code))
				}
				require.Len(w.t, seen.lines(words...), 1, seen.log.String())
				require.Len(w.t, seen.lines(`"smtpd: refused"`), 1, seen.log.String())
			})
		})
	}
}

func TestOutcomeOfARefusedConnection(t *testing.T) {
	for name, test := range map[string]struct {
		setUp func(*smtpd.Server)
		reply string
	}{
		"server": {func(s *smtpd.Server) { s.MaxConnections, s.StressThreshold = 1, -1 },
			"421 4.3.2 Too many connections, please try again later"},
		"address": {func(s *smtpd.Server) { s.MaxConnectionsPerIP = 1 }, "421 4.7.0 Too many connections from your address"},
		"network": {func(s *smtpd.Server) { s.MaxConnectionsPerNetwork = 1 }, "421 4.7.0 Too many connections from your network"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen records
			inWorld(t, func(s *smtpd.Server) { test.setUp(s); seen.of(s) }, func(w *world) {
				w.dial("203.0.113.9").Talk(hello)
				w.talk("S: " + test.reply + "\nS$\n")
				require.Len(w.t, seen.told, 1)
				require.Equal(w.t, smtpd.PhaseConnect, seen.told[0].Phase)
				require.Equal(w.t, smtpd.ClosePeer, seen.told[0].Action)
				require.Equal(w.t, 421, seen.told[0].Reply.Code)
				require.Len(w.t, seen.lines("refused"), 1)
			})
		})
	}
}

// A session that does nothing when the server shuts down is refused nothing; one within a transaction is.
func TestOutcomeOfAShutdown(t *testing.T) {
	var seen records
	inWorld(t, seen.of, func(w *world) {
		idle, busy := w.dial("203.0.113.1"), w.dial("203.0.113.2")
		idle.Talk(hello)
		busy.Talk(mailTo)
		require.NoError(w.t, w.srv.Shutdown(context.Background()))
		require.Len(w.t, seen.told, 1)
		require.NotNil(w.t, seen.told[0].Transaction)
		require.Equal(w.t, 421, seen.told[0].Reply.Code)
	})
}

func TestOutcomesOfLMTP(t *testing.T) {
	var seen records
	setUp := func(s *smtpd.Server) {
		s.LMTP = true
		s.Checks = []smtpd.Check{{Name: "trap", Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
			if strings.HasPrefix(rcpt.Address, "trap") {
				return smtpd.Discard("trap")
			}
			return nil
		}}}
		s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			return mailbricks.Results{nil, smtpd.Permanent("full"), smtpd.Temporary("down")}
		})
		seen.of(s)
	}
	inWorld(t, setUp, func(w *world) {
		w.talk(`
			S* 220
			C: LHLO client.example.net
			S* 250
			C: MAIL FROM:<a@example.net>
			S* 250
			C: RCPT TO:<one@example.com>
			S* 250
			C: RCPT TO:<trap@example.com>
			S* 250
			C: RCPT TO:<two@example.com>
			S* 250
			C: RCPT TO:<three@example.com>
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250
			S* 250
			S* 550
			S* 451
		`)
		var got []string
		for _, o := range seen.told {
			code := 0
			if o.Reply != nil {
				code = o.Reply.Code
			}
			got = append(got, fmt.Sprintf("%s %s %s %s %d", o.Phase, o.Check, o.Action, o.Recipient, code))
		}
		require.Equal(w.t, []string{
			"rcpt trap discard trap@example.com 0", "message handler accept  0",
			"message handler refuse two@example.com 550", "message handler refuse three@example.com 451",
		}, got)
	})
}

// The record of a discarded message can be found by the id that its sender was told.
func TestDiscardedMessagesHaveARecordEach(t *testing.T) {
	var seen records
	inWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Name: "net", Connect: func(context.Context, *smtpd.Session) error {
			return smtpd.Discard("bad net")
		}}}
		seen.of(s)
	}, func(w *world) {
		w.talk(toData + "C: .\nS* 250\n" + toData[len(hello):] + "C: .\nS* 250\n")
		require.Len(w.t, seen.told, 3)
		require.Nil(w.t, seen.told[0].Transaction)
		for _, o := range seen.told[1:] {
			require.Equal(w.t, o.Transaction.Envelope.ID, o.ID)
			require.Equal(w.t, "net", o.Check)
			require.Len(w.t, seen.lines("discarded", "id="+o.ID, "bad net"), 1)
		}
		require.Empty(w.t, seen.lines("accepted"))
		require.Empty(w.t, w.messages())
	})
}

func TestLogTellsWhoTheUserIs(t *testing.T) {
	var seen records
	inWorld(t, func(s *smtpd.Server) { withAuth()(s); seen.of(s) }, func(w *world) {
		w.talk(hello + logIn + "C: MAIL FROM:<x>\nS* 501\n")
		require.Len(w.t, seen.lines("refused", "login=ann@example.com", "hello=client.example.net"), 1)
	})
}

// What checks and peers say is one line of the log.
func TestLogIsOneLine(t *testing.T) {
	var seen records
	inWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Name: "x", Mail: func(context.Context, *smtpd.Transaction) error {
			return &mailbricks.Reply{Code: 550, Text: "one\ntwo", Err: errors.New("a\nb")}
		}}}
		seen.of(s)
	}, func(w *world) {
		w.talk(hello + "C: MAIL FROM:<a@example.net>\nS* 550\n")
		require.Len(w.t, seen.lines(), 1)
	})
}
