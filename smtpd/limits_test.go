package smtpd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestCommandTimeout(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(`
			S* 220
			W: 4m59s
			C: EHLO client.example.net
			S* 250
			R: "NO"
			W: 4m59s
			R: "OP\r\n"
			S* 250
			R: "NO"
			W: 5m
			S: 421 4.4.2 mail.example.com waited too long, closing
			S$
		`)
	})
}

// An octet now and then does not keep a session alive.
func TestSlowCommand(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		began := time.Now()
		c := w.dial("203.0.113.9")
		c.Talk("S* 220\n")
		for {
			time.Sleep(time.Minute)
			if _, err := c.Conn.Write([]byte("X")); err != nil {
				break
			}
		}
		c.Talk("S: 421 4.4.2 *\nS$\n")
		require.Less(w.t, time.Since(began), 7*time.Minute)
	})
}

func TestSessionTimeout(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.SessionTimeout = 10 * time.Minute }, func(w *world) {
		w.talk(hello + `
			W: 4m
			C: NOOP
			S* 250
			W: 4m
			C: NOOP
			S* 250
			W: 2m
			S: 421 4.4.2 *
			S$
		`)
	})
}

// A client that sends and never reads does not hold a goroutine for ever.
func TestWriteTimeout(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxIdleCommands, s.WriteTimeout = -1, 30*time.Second }, func(w *world) {
		began := time.Now()
		ended := make(chan time.Duration, 1)
		c := w.dial("203.0.113.9")
		commands := []byte(strings.Repeat("HELP\r\n", 1000))
		for {
			if _, err := c.Conn.Write(commands); err != nil {
				ended <- time.Since(began)
				break
			}
		}
		require.Less(w.t, <-ended, time.Minute)
	})
}

func TestCommandLineLimits(t *testing.T) {
	pad := func(n int) string { return strings.Repeat("x", n) }
	inWorld(t, func(s *smtpd.Server) { s.Auth, s.AllowInsecureAuth = users{}, true }, func(w *world) {
		w.talk(hello +
			"C: NOOP " + pad(505) + "\nS* 250\n" + // 512 with its CRLF
			"C: NOOP " + pad(506) + "\nS: 500 5.5.2 Line too long\n" +
			"C: MAIL FROM:<a@example.net> X=" + pad(600) + "\nS* 555\n" +
			"C: MAIL FROM:<a@example.net> X=" + pad(2100) + "\nS: 500 5.5.2 Line too long\n" +
			"C: AUTH PLAIN " + strings.Repeat("AAAA", 3000) + "\nS: 501 5.5.2 Malformed*\n" +
			"C: NOOP\nS* 250\n" +
			"C: NOOP " + pad(12300) + "\nS: 500 5.5.2 Line too long\nS$\n")
	})
}

func TestMaxErrors(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxErrors = 3 }, func(w *world) {
		w.talk(hello + `
			C: WHAT
			S* 500
			C: DATA
			S* 503
			C: NOOP
			S* 250
			C: MAIL FROM:<x>
			S: 421 4.7.0 Too many errors, closing
			S$
		`)
	})
}

func TestMaxIdleCommands(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxIdleCommands = 3 }, func(w *world) {
		w.talk(hello + "C: NOOP\nC: RSET\nC: VRFY x\nS* 250\nS* 250\nS: 421 4.7.0 Too many commands without a message, closing\nS$\n")
		w.talk(toData + "C: .\nS* 250\nC: NOOP\nC: NOOP\nC: RSET\nC: NOOP\nS* 250\nS* 250\nS* 250\nS* 421\nS$\n")
	})
}

func TestMaxTransactions(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxTransactions = 1 }, func(w *world) {
		w.talk(toData + "C: .\nS* 250\nC: MAIL FROM:<a@example.net>\nS: 421 4.7.0 Too many messages in one session, closing\nS$\n")
	})
}

func TestMaxRecipients(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxRecipients = 2 }, func(w *world) {
		w.talk(mailTo + `
			C: RCPT TO:<b2@example.com>
			S* 250
			C: RCPT TO:<b3@example.com>
			S: 452 4.5.3 Too many recipients, please send another message for the rest
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		require.Len(w.t, w.messages()[0].Envelope.Recipients, 2)
	})
}

func TestMaxBadRecipients(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxBadRecipients, s.Checks = 3, []smtpd.Check{nobody} }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<a@example.net>
			S* 250
			C: RCPT TO:<a@example.com>
			C: RCPT TO:<b@example.com>
			C: RCPT TO:<c@example.com>
			C: RCPT TO:<d@example.com>
			S* 550
			S* 550
			S: 421 4.7.0 Too many refused recipients, closing
			S$
		`)
	})
}

func TestMaxAuthFailures(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.Auth, s.AllowInsecureAuth = users{}, true }, func(w *world) {
		w.talk(hello + `
			C: AUTH PLAIN AGEAYg==
			S: 535 5.7.8 Authentication failed
			C: AUTH PLAIN ?
			S: 501 5.5.2 Response is not base64
			C: AUTH PLAIN
			S: 334 *
			C: *
			S: 501 5.7.0 Authentication cancelled
			C: AUTH PLAIN AGEAYg==
			S: 535 5.7.8 Authentication failed
			C: AUTH PLAIN AGEAYg==
			S: 421 4.7.0 Too many failed log-ins, closing
			S$
		`)
	})
}

func TestMaxConnections(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnections = 2 }, func(w *world) {
		first, second := w.dial("203.0.113.1"), w.dial("203.0.113.2")
		first.Talk("S* 220\n")
		second.Talk("S* 220\n")
		w.dial("203.0.113.3").Talk("S: 421 4.3.2 Too many connections, please try again later\nS$\n")
		first.Talk("C: QUIT\nS* 221\nS$\n")
		time.Sleep(time.Second)
		w.dial("203.0.113.3").Talk("S* 220\n")
	})
}

func TestMaxConnectionsPerIP(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnectionsPerIP, s.Auth, s.AllowInsecureAuth = 1, users{}, true }, func(w *world) {
		const full = "S: 421 4.7.0 Too many connections from your address\nS$\n"
		first := w.dial("203.0.113.1")
		first.Talk(hello)
		w.dial("203.0.113.1").Talk(full)
		w.dial("203.0.113.2").Talk("S* 220\n")

		first.Talk("C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\nS* 235\n") // who has logged in is not counted
		second := w.dial("203.0.113.1")
		second.Talk("S* 220\n")
		first.Talk("C: QUIT\nS* 221\nS$\n")
		w.dial("203.0.113.1").Talk(full)
		second.Talk("C: QUIT\nS* 221\nS$\n")
		time.Sleep(time.Second)
		w.dial("203.0.113.1").Talk("S* 220\n")
	})
}

func TestIPv6CountsByNetwork(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnectionsPerIP = 1 }, func(w *world) {
		l, err := w.net.Listen("tcp", "[2001:db8::25]:25")
		require.NoError(w.t, err)
		go func() { w.done <- w.srv.Serve(l) }()
		w.addr = "[2001:db8::25]:25"
		w.dial("2001:db8:1:1::1").Talk("S* 220\n")
		w.dial("2001:db8:1:1::2").Talk("S* 421\nS$\n")
		w.dial("2001:db8:1:2::1").Talk("S* 220\n")
		defer func() { require.ErrorIs(w.t, <-w.done, smtpd.ErrServerClosed) }()
		require.NoError(w.t, w.srv.Close())
	})
}

func TestNegativeLimitsAreNone(t *testing.T) {
	setUp := func(s *smtpd.Server) {
		s.MaxMessageSize, s.MaxRecipients, s.MaxHops, s.MaxLineLength, s.MaxErrors, s.MaxIdleCommands = -1, -1, -1, -1, -1, -1
		s.MaxTransactions, s.MaxConnections, s.MaxConnectionsPerIP, s.MaxBadRecipients, s.MaxAuthFailures = -1, -1, -1, -1, -1
	}
	inWorld(t, setUp, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk("S* 220\n")
		for range 150 {
			c.Talk("C: WHAT\nS* 500\nC: NOOP\nS* 250\n")
		}
		c.Talk("C: EHLO a.example\nS: 250-*\nS: 250-*\nS: 250-SIZE 0\nS* 250\nC: MAIL FROM:<a@example.net> SIZE=99999999999999999999\nS* 250\n")
		for i := range 150 {
			c.Talk(fmt.Sprintf("C: RCPT TO:<a%d@example.com>\nS* 250\n", i))
		}
		c.Talk("C: DATA\nS* 354\n" + strings.Repeat("C: Received: x\n", 100) + "C: X: " + strings.Repeat("y",
			70000) + "\nC:\nC: .\nS* 250\n")
	})
}

// withSlowNobody refuses recipients, each after a second.
func withSlowNobody(s *smtpd.Server) {
	s.MaxBadRecipients, s.MaxIdleCommands, s.MaxTransactions, s.MaxErrors = -1, -1, -1, -1
	s.Checks = []smtpd.Check{{Rcpt: func(ctx context.Context, _ *smtpd.Transaction, _ *mailbricks.Recipient) error {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		return smtpd.Permanent("No")
	}}}
}

// A client whose next commands have always arrived already does not get around SessionTimeout.
func TestSessionTimeoutDespitePipelining(t *testing.T) {
	for name, command := range map[string]string{"NOOP": "NOOP\r\n", "RCPT": "RCPT TO:<b@example.com>\r\n"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { withSlowNobody(s); s.SessionTimeout = 10 * time.Minute }, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk("S* 220\nC: EHLO a.example\nS* 250\nC: MAIL FROM:<a@example.net>\nS* 250\n")
				began, written := time.Now(), make(chan struct{})
				go func() {
					defer close(written)
					for {
						if _, err := c.Conn.Write([]byte(strings.Repeat(command, 20))); err != nil {
							return
						}
						if command[0] == 'N' {
							time.Sleep(time.Second)
						}
					}
				}()
				last := ""
				for {
					line, err := c.Line()
					if err != nil {
						break
					}
					last = line
				}
				leave(c)
				<-written
				require.Contains(w.t, last, "421 4.4.2 ")
				require.InDelta(w.t, 10*time.Minute, time.Since(began), float64(5*time.Second))
			})
		})
	}
}

// Within a message the session lasts as long as octets come fast enough, and not a moment longer.
func TestSessionTimeoutWithinAMessage(t *testing.T) {
	for name, begin := range map[string]string{"DATA": toData, "BDAT": mailTo + "R: \"BDAT 1000000 LAST\\r\\n\"\n"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.SessionTimeout, s.MinDataRate = 10*time.Minute, 100 }, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(begin)
				began := time.Now()
				for {
					time.Sleep(time.Minute)
					if _, err := c.Conn.Write([]byte(strings.Repeat("x", 998) + "\r\n")); err != nil { // a tenth of what it should be
						break
					}
				}
				require.Less(w.t, time.Since(began), smtpd.DefaultDataTimeout+2*time.Minute)
				c.Talk("S: 421 4.4.2 The message came too slowly, closing\nS$\n")
			})
			inWorldAgain(t, func(s *smtpd.Server) { s.SessionTimeout, s.MinDataRate = 10*time.Minute, 100 }, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(mailTo)
				line := strings.Repeat("x", 998) + "\r\n"
				if name == "DATA" {
					c.Talk("C: DATA\nS* 354\n")
				}
				for range 140 { // 14 minutes
					time.Sleep(6 * time.Second)
					text := line
					if name == "BDAT" {
						text = "BDAT 1000\r\n" + line
					}
					_, err := c.Conn.Write([]byte(text))
					require.NoError(w.t, err)
					if name == "BDAT" {
						c.Talk("S* 250\n")
					}
				}
				end := "C: .\n"
				if name == "BDAT" {
					end = "C: BDAT 0 LAST\n"
				}
				c.Talk(end + "S* 250\nS: 421 4.4.2 *\nS$\n")
				require.Len(w.t, w.messages(), 1)
			})
		})
	}
}

// inWorldAgain is inWorld for a test that has had one.
func inWorldAgain(t *testing.T, setUp func(*smtpd.Server), f func(w *world)) {
	t.Helper()
	t.Run("again", func(t *testing.T) { inWorld(t, setUp, f) })
}

func TestMaxConnectionsPerNetwork(t *testing.T) {
	const full = "S: 421 4.7.0 Too many connections from your network\nS$\n"
	for name, test := range map[string]struct{ listen, first, second, third, other string }{
		"IPv4": {"192.0.2.1:25", "203.0.113.1", "203.0.113.2", "203.0.113.255", "203.0.114.1"},
		"IPv6": {"[2001:db8::25]:25", "2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:ffff::1", "2001:db8:2:1::1"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxConnectionsPerNetwork = 2; withAuth()(s) }, func(w *world) {
				if test.listen != w.addr {
					l, err := w.net.Listen("tcp", test.listen)
					require.NoError(w.t, err)
					go func() { w.done <- w.srv.Serve(l) }()
					w.addr = test.listen
					defer func() { require.ErrorIs(w.t, <-w.done, smtpd.ErrServerClosed) }()
				}
				first, second := w.dial(test.first), w.dial(test.second)
				first.Talk(hello)
				second.Talk(hello)
				w.dial(test.third).Talk(full)
				w.dial(test.other).Talk("S* 220\n")
				first.Talk(logIn) // who has logged in is not counted
				third := w.dial(test.third)
				third.Talk("S* 220\n")
				first.Talk("C: QUIT\nS* 221\nS$\n")
				w.dial(test.third).Talk(full)
				leave(second)
				w.dial(test.third).Talk("S* 220\n")
				require.NoError(w.t, w.srv.Close())
			})
		})
	}
}

// A connection that its network has no place for takes none from its address.
func TestNetworkAndAddressAreCountedApart(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnectionsPerIP, s.MaxConnectionsPerNetwork = 1, 1 }, func(w *world) {
		first := w.dial("203.0.113.1")
		first.Talk("S* 220\n")
		w.dial("203.0.113.2").Talk("S: 421 4.7.0 Too many connections from your network\nS$\n")
		leave(first)
		w.dial("203.0.113.2").Talk("S* 220\n")
		w.dial("203.0.113.2").Talk("S: 421 4.7.0 Too many connections from your address\nS$\n")
	})
}

func TestDefaultOfMaxConnectionsPerNetwork(t *testing.T) {
	for _, test := range []struct{ perIP, perNetwork, want int }{
		{0, 0, smtpd.DefaultMaxConnectionsPerNetwork}, {300, 0, 300}, {-1, 0, -1}, {-1, 20, 20}, {0, -1, -1},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) {
				s.MaxConnectionsPerIP, s.MaxConnectionsPerNetwork, s.MaxConnections = test.perIP, test.perNetwork, -1
			}, func(w *world) {
				most := test.want
				if most < 0 {
					most = 400
				}
				for i := range most {
					w.dial(fmt.Sprintf("203.0.113.%d", i/2+1)).Talk("S* 220\n")
				}
				code := "421"
				if test.want < 0 {
					code = "220"
				}
				w.dial("203.0.113.250").Talk("S* " + code + "\n")
			})
		})
	}
}

func TestSurplusRecipientsAreErrorsInTheEnd(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxRecipients, s.MaxErrors = 1, 2 }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		for range 1001 {
			c.Talk("C: RCPT TO:<c@example.com>\nS: 452 4.5.3 *\n")
		}
		c.Talk("C: RCPT TO:<c@example.com>\nS: 421 4.7.0 Too many errors, closing\nS$\n")
	})
}

// What the peer gets wrong in an exchange is an error, and no failed log-in.
func TestMisusedAuthIsAnError(t *testing.T) {
	for name, script := range map[string]string{
		"cancelled": "C: AUTH PLAIN\nS* 334\nC: *\n", "base64": "C: AUTH PLAIN ?\n", "later base64": "C: AUTH PLAIN\nS* 334\nC: ?\n",
		"malformed": "C: AUTH PLAIN AA==\n", "bare LF": "C: AUTH PLAIN\nS* 334\nR: \"AGEAYg==\\n\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { withAuth()(s); s.MaxAuthFailures, s.MaxErrors = 1, 3 }, func(w *world) {
				w.talk(hello + script + "S* 501\n" + script + "S* 501\n" + script + "S: 421 4.7.0 Too many errors, closing\nS$\n")
			})
		})
	}
}

// A log-in that fails for now is none of the peer's faults, but it cannot be tried for ever.
func TestTemporaryFailuresOfAuthAreIdleCommands(t *testing.T) {
	for _, mechanism := range []string{"DOWN", "BROKEN", "PANIC"} {
		t.Run(mechanism, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) {
				withAuth(mechanism)(s)
				s.MaxAuthFailures, s.MaxErrors, s.MaxIdleCommands = 1, 1, 3
			}, func(w *world) {
				once := "C: AUTH " + mechanism + " AA==\n"
				w.talk(hello + once + "S* 454\n" + once + "S* 454\n" + once +
					"S: 421 4.7.0 Too many commands without a message, closing\nS$\n")
			})
		})
	}
}

// The sender of a malformed message learns that it is one, also when that is the last error that it may make.
func TestMalformedMessagesAreErrors(t *testing.T) {
	const flawed = "R: \"x\\ny\\r\\n.\\r\\n\"\nS: 550 5.5.2 *\n"
	again := toData[len(hello):]
	inWorld(t, func(s *smtpd.Server) { s.MaxErrors = 2 }, func(w *world) {
		w.talk(toData + flawed + "C: NOOP\nS* 250\n" + again + flawed + "S: 421 4.7.0 Too many errors, closing\nS$\n")
		w.talk(toData + flawed + again + "C: .\nS* 250\nC: WHAT\nS* 421\nS$\n")
		w.talk(mailTo + "R: \"BDAT 3\\r\\nx\\ny\"\nS: 550 5.5.2 *\nC: RSET\nS* 250\n" + again[:strings.Index(again, "C: DATA")] +
			"R: \"BDAT 3 LAST\\r\\nx\\ny\"\nS: 550 5.5.2 *\nS: 421 4.7.0 Too many errors, closing\nS$\n")
	})
}

func TestMaxLocalPart(t *testing.T) {
	mail := func(n int) string { return "C: MAIL FROM:<" + strings.Repeat("x", n) + "@example.net>\n" }
	// RFC 5321 §4.5.3.1.3 bounds the path where this limit does not.
	for limit, most := range map[int]int{0: smtpd.DefaultMaxLocalPart, 10: 10, 100: 100, -1: 256 - len("<@example.net>")} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxLocalPart = limit }, func(w *world) {
				w.talk(hello + mail(most+1) + "S: 501 5.1.7 Sender address: * is too long\n" + mail(most) + "S* 250\n" +
					"C: RCPT TO:<" + strings.Repeat("x", most+1) + "@example.com>\nS: 501 5.1.3 Recipient address: * is too long\n")
			})
		})
	}
}

// Each time-out is that of its field.
func TestTimeouts(t *testing.T) {
	ca := mailtest.NewCA()
	for name, test := range map[string]struct {
		setUp  func(*smtpd.Server)
		script string
		took   time.Duration
	}{
		"data": {
			func(s *smtpd.Server) { s.DataTimeout = 10 * time.Second },
			toData + "C: x\nS: 421 4.4.2 *\nS$\n", 10 * time.Second,
		},
		"chunk": {
			func(s *smtpd.Server) { s.DataTimeout = 10 * time.Second },
			mailTo + "C: BDAT 10\nS: 421 4.4.2 *\nS$\n", 10 * time.Second,
		},
		"handler": {
			func(s *smtpd.Server) {
				s.HandlerTimeout = 10 * time.Second
				s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error {
					<-ctx.Done()
					return ctx.Err()
				})
			},
			toData + "C: .\nS: 451 4.3.0 *\nC: NOOP\nS* 250\nC: QUIT\nS* 221\nS$\n", 10 * time.Second,
		},
		"tls": {
			func(s *smtpd.Server) { s.TLSTimeout = 10 * time.Second },
			hello + "C: STARTTLS\nS* 220\nS$\n", 10 * time.Second,
		},
		"command": {
			func(s *smtpd.Server) { s.CommandTimeout = 10 * time.Second },
			hello + "S: 421 4.4.2 *\nS$\n", 10 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) {
				withTLS(ca)(s)
				test.setUp(s)
			}, func(w *world) {
				began := time.Now()
				w.talk(test.script)
				require.GreaterOrEqual(w.t, time.Since(began), test.took)
				require.Less(w.t, time.Since(began), test.took+time.Second)
			})
		})
	}
}
