package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/relay"
)

// bubble runs a test in a synctest bubble, with a cleaned-up world inside.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

func TestDialogueStepByStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{})
		mx := w.mx()
		out := send(t, mx, "bob@example.net", "cleo@example.net")
		require.NoError(t, out[0].Err)
		require.NoError(t, out[1].Err)
		require.Equal(t, "mx.example.net", out[0].Host)
		require.Equal(t, "192.0.2.25:25", out[0].Addr.String())
		require.Equal(t, "250 2.0.0 queued as 1", out[0].Reply)
		require.Empty(t, out[0].TLS)
		require.NoError(t, mx.Close())
		require.Equal(t, []string{
			"EHLO out.example.com", "MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.net>", "RCPT TO:<cleo@example.net>", "DATA", "QUIT",
		}, p.commands())
		require.Equal(t, strings.Replace(letter, ".hidden", "..hidden", 1)+".\r\n", p.mails()[0].data)
	})
}

func TestDialoguePipelinedWithExtensions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		ca := mailtest.NewCA()
		p := w.peer("192.0.2.25:25", &peer{
			ext: []string{"pipelining", "size 1000", "8bitmime", "starttls", "dsn", "mt-priority"}, tls: ca.ServerConfig("mx.example.net"),
		})
		mx := w.mx()
		priority := 3
		env := envelope("ann@example.com", "bob@example.net", "cleo@example.net")
		env.EnvelopeID, env.Return, env.Priority = "a+b", mailbricks.ReturnHeaders, &priority
		env.Recipients[0].Notify = mailbricks.NotifySuccess | mailbricks.NotifyFailure
		env.Recipients[0].OriginalRecipient = "rfc822;bob=x@example.net"
		env.Recipients[1].Notify = mailbricks.NotifyNever
		out := mx.Deliver(t.Context(), env, message(letter))
		require.NoError(t, out[0].Err)
		require.Contains(t, out[0].TLS, "TLS 1.3, ")
		require.NoError(t, mx.Close())
		require.Equal(t, []string{
			"EHLO out.example.com", "STARTTLS", "EHLO out.example.com",
			"MAIL FROM:<ann@example.com> SIZE=114 BODY=8BITMIME RET=HDRS ENVID=a+2Bb MT-PRIORITY=3",
			"RCPT TO:<bob@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob+3Dx@example.net",
			"RCPT TO:<cleo@example.net> NOTIFY=NEVER", "DATA", "QUIT",
		}, p.commands())
		require.Equal(t, "mx.example.net", p.sessions[0].sni)
		require.True(t, p.sessions[0].secure)
	})
}

// Whatever a server does at whatever point, the outcome is a failure of the right kind, in bounded time.
func TestMisbehaviour(t *testing.T) {
	t.Parallel()
	endless := "raw:" + strings.Repeat("250-more\r\n", 300)
	long := "raw:250 " + strings.Repeat("x", 5000) + "\r\n"
	for name, tc := range map[string]struct {
		phase, does string
		want        string // code and enhanced code; "" for a delivery
		unknown     bool
		limit       time.Duration
	}{
		"closes at connect":           {"connect", "close", "451 4.4.2", false, time.Second},
		"silent at connect":           {"connect", "hang", "451 4.4.2", false, 6 * time.Minute},
		"busy at connect":             {"connect", "421 4.3.2 busy", "421 4.3.2", false, time.Second},
		"refuses at connect":          {"connect", "554 5.7.1 blocked", "554 5.7.1", false, time.Second},
		"takes no mail":               {"connect", "521 no mail here", "521 5.0.0", false, time.Second},
		"speaks HTTP":                 {"connect", "raw:HTTP/1.1 400 Bad Request\r\n\r\n", "451 4.5.0", false, time.Second},
		"odd code at connect":         {"connect", "250 hi", "451 4.5.0", false, time.Second},
		"garbage at connect":          {"connect", "raw:\x00\x01\x02\xff\r\n", "451 4.5.0", false, time.Second},
		"endless reply":               {"ehlo", endless, "451 4.5.0", false, time.Second},
		"endless line":                {"ehlo", long, "451 4.5.0", false, time.Second},
		"codes differ":                {"ehlo", "raw:250-a\r\n550 b\r\n", "451 4.5.0", false, time.Second},
		"closes at EHLO":              {"ehlo", "close", "451 4.4.2", false, time.Second},
		"EHLO for now not":            {"ehlo", "450 later", "450 4.0.0", false, time.Second},
		"knows only HELO":             {"ehlo", "502 what", "", false, time.Second},
		"closes at MAIL":              {"mail", "close", "451 4.4.2", false, time.Second},
		"resets at MAIL":              {"mail", "reset", "451 4.4.2", false, time.Second},
		"silent at MAIL":              {"mail", "hang", "451 4.4.2", false, 6 * time.Minute},
		"MAIL for now not":            {"mail", "451 4.7.1 greylisted", "451 4.7.1", false, time.Second},
		"MAIL never":                  {"mail", "550 5.7.1 no", "550 5.7.1", false, time.Second},
		"closing at MAIL":             {"mail", "421 shutting down", "421 4.0.0", false, time.Second},
		"MAIL wants more":             {"mail", "354 more", "451 4.5.0", false, time.Second},
		"closes at RCPT":              {"rcpt", "close", "451 4.4.2", false, time.Second},
		"silent at RCPT":              {"rcpt", "hang", "451 4.4.2", false, 6 * time.Minute},
		"RCPT for now not":            {"rcpt", "450 4.2.1 busy", "450 4.2.1", false, time.Second},
		"RCPT never":                  {"rcpt", "550 5.1.1 unknown", "550 5.1.1", false, time.Second},
		"RCPT lies about its class":   {"rcpt", "550 4.1.1 unknown", "550 5.0.0", false, time.Second},
		"RCPT will forward":           {"rcpt", "251 will forward", "", false, time.Second},
		"closes at DATA":              {"data", "close", "451 4.4.2", false, time.Second},
		"silent at DATA":              {"data", "hang", "451 4.4.2", false, 3 * time.Minute},
		"DATA for now not":            {"data", "451 no", "451 4.0.0", false, time.Second},
		"DATA never":                  {"data", "554 no", "554 5.0.0", false, time.Second},
		"DATA without message":        {"data", "250 got it", "451 4.5.0", false, time.Second},
		"closes in the message":       {"body", "close", "451 4.4.2", true, time.Second},
		"refuses after the dot":       {"dot", "554 5.6.0 spam", "554 5.6.0", false, time.Second},
		"for now not after the dot":   {"dot", "452 4.3.1 full", "452 4.3.1", false, time.Second},
		"closes after the dot":        {"dot", "close", "451 4.4.2", true, time.Second},
		"resets after the dot":        {"dot", "reset", "451 4.4.2", true, time.Second},
		"silent after the dot":        {"dot", "hang", "451 4.4.2", true, 11 * time.Minute},
		"garbage after the dot":       {"dot", "raw:ok\r\n", "451 4.5.0", true, time.Second},
		"half a line after the dot":   {"dot", "raw:25", "451 4.4.2", true, 11 * time.Minute},
		"wants more after the dot":    {"dot", "354 more", "451 4.5.0", false, time.Second},
		"empty text after the dot":    {"dot", "raw:250\r\n", "", false, time.Second},
		"line feed only after a line": {"dot", "raw:250 fine\n", "", false, time.Second},
	} {
		for _, pipelining := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, zone)
					p := &peer{script: map[string]string{tc.phase: tc.does}}
					if pipelining {
						p.ext = []string{"PIPELINING"}
					}
					w.peer("192.0.2.25:25", p)
					begin := time.Now()
					out := send(t, w.mx(), "bob@example.net")
					require.Less(t, time.Since(begin), tc.limit)
					if tc.want == "" {
						require.NoError(t, out[0].Err)
						return
					}
					requireReply(t, tc.want, out[0].Err)
					require.Equal(t, tc.unknown, out[0].Unknown)
					require.NotContains(t, out[0].Err.Error(), "\x00")
				})
			})
		}
	}
}

func TestMessageThatStopsMovingTimesOut(t *testing.T) {
	for phase, want := range map[string]time.Duration{"stall": relay.DefaultBlockTimeout, "hang": time.Hour} {
		t.Run(phase, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				w.peer("192.0.2.25:25", &peer{script: map[string]string{"body": phase}})
				big := letter + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100_000)
				mx := w.mx()
				mx.Timeouts.Dot = want
				begin := time.Now()
				out := mx.Deliver(t.Context(), envelope("ann@example.com", "bob@example.net"), message(big))
				requireReply(t, "451 4.4.2", out[0].Err)
				require.Equal(t, phase == "hang", out[0].Unknown, "only a message that was sent to its end may have arrived")
				require.InDelta(t, want, time.Since(begin), float64(5*time.Second))
			})
		})
	}
}

func TestTimeoutsCanBeChanged(t *testing.T) {
	for phase, set := range map[string]func(*relay.Timeouts){
		"connect": func(o *relay.Timeouts) { o.Greeting = 7 * time.Second },
		"mail":    func(o *relay.Timeouts) { o.Command = 7 * time.Second },
		"data":    func(o *relay.Timeouts) { o.Data = 7 * time.Second },
		"dot":     func(o *relay.Timeouts) { o.Dot = 7 * time.Second },
	} {
		t.Run(phase, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				w.peer("192.0.2.25:25", &peer{script: map[string]string{phase: "hang"}})
				mx := w.mx()
				set(&mx.Timeouts)
				begin := time.Now()
				require.Error(t, send(t, mx, "bob@example.net")[0].Err)
				require.Equal(t, 7*time.Second, time.Since(begin))
			})
		})
	}
}

func TestConnectionIsNotUsedForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{})
		mx := w.mx()
		for range 205 {
			require.NoError(t, send(t, mx, "bob@example.net")[0].Err)
		}
		require.Equal(t, 3, p.count(), "a hundred messages on each")
	})
}

// A server that says no in the middle of a large message and closes is understood, as it will never take it.
func TestRefusalInTheMiddleOfTheMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := &peer{script: map[string]string{"body": "552 5.3.4 too large"}}
		p.onSession = func(int) map[string]string { return p.script }
		w.peer("192.0.2.25:25", p)
		big := letter + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100_000)
		w.net.OnConnect(func(_, server *mailtest.Conn) {
			time.AfterFunc(time.Second, func() { server.Close() })
		})
		out := w.mx().Deliver(t.Context(), envelope("ann@example.com", "bob@example.net"), message(big))
		requireReply(t, "552 5.3.4", out[0].Err)
		require.False(t, out[0].Unknown)
	})
}

func TestRecipientsHaveOutcomesOfTheirOwn(t *testing.T) {
	for _, ext := range [][]string{nil, {"PIPELINING"}} {
		t.Run(strings.Join(ext, ""), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				p := w.peer("192.0.2.25:25", &peer{ext: ext, script: map[string]string{
					"rcpt:no@example.net": "550 5.1.1 unknown", "rcpt:later@example.net": "450 4.2.1 busy",
				}})
				out := send(t, w.mx(), "no@example.net", "bob@example.net", "later@example.net", "cleo@example.net")
				requireReply(t, "550 5.1.1", out[0].Err)
				require.Equal(t, "550 5.1.1 unknown", out[0].Reply)
				require.NoError(t, out[1].Err)
				requireReply(t, "450 4.2.1", out[2].Err)
				require.NoError(t, out[3].Err)
				require.Equal(t, []string{"bob@example.net", "cleo@example.net"}, p.mails()[0].to)
			})
		})
	}
}

func TestServerThatSaysGoAheadToNobodyGetsAnEmptyMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{ext: []string{"PIPELINING"}, script: map[string]string{
			"rcpt": "550 5.1.1 unknown", "data": "354 go on", "dot": "554 no recipients",
		}})
		mx := w.mx()
		out := send(t, mx, "bob@example.net")
		requireReply(t, "550 5.1.1", out[0].Err)
		mx.Close()
		require.Equal(t, []string{"EHLO out.example.com", "MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.net>", "DATA", "RSET", "QUIT"}, p.commands())
		require.Empty(t, p.mails())
	})
}

func TestTooManyRecipientsGoInMoreTransactions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := &peer{ext: []string{"PIPELINING"}}
		w.peer("192.0.2.25:25", p)
		var to []string
		for i := range 230 {
			to = append(to, "r"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+"@example.net")
		}
		for _, o := range send(t, w.mx(), to...) {
			require.NoError(t, o.Err)
		}
		require.Equal(t, 1, p.count(), "one connection")
		mails := p.mails()
		require.Len(t, mails, 3)
		require.Len(t, mails[0].to, 100)
		require.Len(t, mails[2].to, 30)
	})
}

// A server that is silent to one transaction is not asked a hundred times more.
func TestSilenceEndsTheAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{script: map[string]string{"rcpt": "hang"}})
		var to []string
		for i := range 1000 {
			to = append(to, fmt.Sprintf("r%d@example.net", i))
		}
		begin := time.Now()
		for _, o := range send(t, w.mx(), to...) {
			requireReply(t, "451 4.4.2", o.Err)
		}
		require.Equal(t, relay.DefaultCommandTimeout, time.Since(begin))
		require.Equal(t, 1, p.count())
	})
}

func TestServerWithASmallLimitOfRecipients(t *testing.T) {
	for _, reply := range []string{"452 4.5.3 too many", "552 too many"} {
		t.Run(reply, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				p := w.peer("192.0.2.25:25", &peer{ext: []string{"PIPELINING"}, script: map[string]string{
					"rcpt:cleo@example.net": "once:" + reply, "rcpt:dora@example.net": "once:" + reply,
				}})
				for _, o := range send(t, w.mx(), "bob@example.net", "cleo@example.net", "dora@example.net") {
					require.NoError(t, o.Err)
				}
				require.Len(t, p.mails(), 2)
				require.Equal(t, []string{"cleo@example.net", "dora@example.net"}, p.mails()[1].to)
				require.Equal(t, 1, p.count())
			})
		})
	}
}

func TestServerThatAlwaysHasTooManyRecipients(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{script: map[string]string{"rcpt:cleo@example.net": "452 4.5.3 too many"}})
		out := send(t, w.mx(), "bob@example.net", "cleo@example.net")
		require.NoError(t, out[0].Err)
		requireReply(t, "452 4.5.3", out[1].Err)
		require.Len(t, p.mails(), 1)
	})
}

func TestLargeMessageIsNotUploadedInVain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{ext: []string{"SIZE 50"}})
		out := send(t, w.mx(), "bob@example.net")
		requireReply(t, "552 5.3.4", out[0].Err)
		require.NotContains(t, strings.Join(p.commands(), "\n"), "MAIL")
	})
}

func TestBareLineEndsAreNeverSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{})
		for _, body := range []string{"a\n.\nMAIL FROM:<x@y>\n", "a\r.\rb", "a\r\n.\r\nb", "a\n.\r\nb", "a\r\n.\nb", ".", "", "a\r", "\r\r\n.", "..\r\n"} {
			out := w.mx().Deliver(t.Context(), envelope("", "bob@example.net"), message("A: 1\r\n\r\n"+body))
			require.NoError(t, out[0].Err)
			mails := p.mails()
			data := mails[len(mails)-1].data
			rest := strings.ReplaceAll(data, "\r\n", "")
			require.NotContains(t, rest, "\r", "%q", data)
			require.NotContains(t, rest, "\n", "%q", data)
			require.True(t, strings.HasSuffix(data, "\r\n.\r\n"), "%q", data)
			require.Equal(t, 1, strings.Count(data, "\r\n.\r\n"), "%q", data)
		}
	})
}

func TestAddressesCannotCarryParameters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{ext: []string{"SIZE 10000", "PIPELINING"}})
		for _, bad := range []string{"x> SIZE=1 BODY=7BIT@example.net", "x\r\nRSET\r\n@example.net", "<x@example.net", "x y@example.net", "x\x00@example.net"} {
			out := send(t, w.mx(), bad)
			requireReply(t, "553 5.1.3", out[0].Err, bad)
			out = w.mx().Deliver(t.Context(), envelope(bad, "bob@example.net"), message(letter))
			requireReply(t, "553 5.1.7", out[0].Err, bad)
		}
		require.NotContains(t, strings.Join(p.commands(), "\n"), "MAIL")
		out := send(t, w.mx(), `"odd > name"@example.net`)
		require.NoError(t, out[0].Err)
		require.Contains(t, p.commands(), `RCPT TO:<"odd > name"@example.net>`)
	})
}

func TestConnectionIsUsedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		p := w.peer("192.0.2.25:25", &peer{script: map[string]string{"rcpt:no@example.net": "550 5.1.1 unknown"}})
		mx := w.mx()
		require.NoError(t, send(t, mx, "bob@example.net")[0].Err)
		require.Error(t, send(t, mx, "no@example.net")[0].Err)
		require.NoError(t, send(t, mx, "cleo@example.net")[0].Err)
		require.Equal(t, 1, p.count())
		pass(5 * time.Second)
		synctest.Wait()
		require.Equal(t, "QUIT", p.commands()[len(p.commands())-1], "it is not kept for long")
		require.NoError(t, send(t, mx, "bob@example.net")[0].Err)
		require.Equal(t, 2, p.count())
		require.Len(t, p.mails(), 3)
	})
}

func TestConnectionThatClosedWhileItWaitedIsReplaced(t *testing.T) {
	for _, ext := range [][]string{nil, {"PIPELINING"}} {
		t.Run(strings.Join(ext, ""), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				p := w.peer("192.0.2.25:25", &peer{ext: ext})
				mx := w.mx()
				require.NoError(t, send(t, mx, "bob@example.net")[0].Err)
				p.mu.Lock()
				for c := range p.conns {
					c.Close()
				}
				p.mu.Unlock()
				require.NoError(t, send(t, mx, "bob@example.net")[0].Err)
				require.Equal(t, 2, p.count())
				require.Len(t, p.mails(), 2)
			})
		})
	}
}

func TestSMTPUTF8(t *testing.T) {
	const utf8Letter = "Subject: Grüße\r\n\r\nHallo\r\n"
	for name, tc := range map[string]struct {
		from, to, text string
		flag           bool
		ext            []string
		want           string // "" or code
		rcpt           string
	}{
		"local part, known":          {"ann@example.com", "jörg@example.net", letter, true, []string{"SMTPUTF8"}, "", "RCPT TO:<jörg@example.net>"},
		"local part, unknown":        {"ann@example.com", "jörg@example.net", letter, true, nil, "550 5.6.7", ""},
		"local part, nobody said":    {"ann@example.com", "jörg@example.net", letter, false, nil, "550 5.6.7", ""},
		"domain, unknown":            {"ann@example.com", "bob@bücher.example.net", letter, true, nil, "", "RCPT TO:<bob@xn--bcher-kva.example.net>"},
		"domain, known":              {"ann@example.com", "bob@bücher.example.net", letter, true, []string{"SMTPUTF8"}, "", "RCPT TO:<bob@bücher.example.net>"},
		"sender, unknown":            {"änn@example.com", "bob@example.net", letter, true, nil, "550 5.6.7", ""},
		"header, unknown":            {"ann@example.com", "bob@example.net", utf8Letter, true, nil, "550 5.6.9", ""},
		"header, known":              {"ann@example.com", "bob@example.net", utf8Letter, true, []string{"SMTPUTF8"}, "", "RCPT TO:<bob@example.net>"},
		"header, nobody said":        {"ann@example.com", "bob@example.net", utf8Letter, false, nil, "", "RCPT TO:<bob@example.net>"},
		"said, but nothing needs it": {"ann@example.com", "bob@example.net", letter, true, nil, "", "RCPT TO:<bob@example.net>"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone+"\n\txn--bcher-kva.example.net. MX 10 mx.example.net.\n")
				p := w.peer("192.0.2.25:25", &peer{ext: tc.ext})
				env := envelope(tc.from, tc.to)
				env.SMTPUTF8 = tc.flag
				out := w.mx().Deliver(t.Context(), env, message(tc.text))
				if tc.want != "" {
					requireReply(t, tc.want, out[0].Err)
					require.Empty(t, p.mails())
					return
				}
				require.NoError(t, out[0].Err)
				require.Contains(t, p.commands(), tc.rcpt)
				utf8 := strings.Contains(tc.to+tc.from+tc.text[:20], "ü") || strings.Contains(tc.to, "ö")
				require.Equal(t, tc.ext != nil && utf8, strings.Contains(strings.Join(p.commands(), "\n"), " SMTPUTF8"))
			})
		})
	}
}

func TestTLS(t *testing.T) {
	ca, other := mailtest.NewCA(), mailtest.NewCA()
	starttls := []string{"STARTTLS", "REQUIRETLS"}
	for name, tc := range map[string]struct {
		peer   *peer
		mx     func(*relay.MX)
		verify bool // REQUIRETLS
		want   string
		secure bool
		conns  int
	}{
		"any certificate will do":     {&peer{ext: starttls, tls: other.ServerConfig("wrong.test")}, nil, false, "", true, 1},
		"handshake fails: in clear":   {&peer{ext: starttls}, nil, false, "", false, 2},
		"refused: in clear":           {&peer{ext: starttls, script: map[string]string{"starttls": "454 not now"}}, nil, false, "", false, 1},
		"not offered: in clear":       {&peer{}, nil, false, "", false, 1},
		"required, handshake fails":   {&peer{ext: starttls}, func(m *relay.MX) { m.RequireTLS = true }, false, "451 4.7.5", false, 1},
		"required, not offered":       {&peer{}, func(m *relay.MX) { m.RequireTLS = true }, false, "451 4.7.10", false, 1},
		"required, any certificate":   {&peer{ext: starttls, tls: other.ServerConfig("wrong.test")}, func(m *relay.MX) { m.RequireTLS = true }, false, "", true, 1},
		"REQUIRETLS, good":            {&peer{ext: starttls, tls: ca.ServerConfig("mx.example.net")}, nil, true, "", true, 1},
		"REQUIRETLS, wrong authority": {&peer{ext: starttls, tls: other.ServerConfig("mx.example.net")}, nil, true, "451 4.7.5", false, 1},
		"REQUIRETLS, wrong name":      {&peer{ext: starttls, tls: ca.ServerConfig("other.example.net")}, nil, true, "451 4.7.5", false, 1},
		"REQUIRETLS, not known":       {&peer{ext: []string{"STARTTLS"}, tls: ca.ServerConfig("mx.example.net")}, nil, true, "550 5.7.30", true, 1},
		"text behind the 220": {&peer{ext: starttls, tls: ca.ServerConfig("mx.example.net"), script: map[string]string{
			"starttls": "raw:220 go\r\n250 injected\r\n"}}, nil, false, "451 4.7.0", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				p := w.peer("192.0.2.25:25", &peer{ext: tc.peer.ext, tls: tc.peer.tls, script: tc.peer.script})
				mx := w.mx()
				mx.TLSConfig = ca.ClientConfig("")
				if tc.mx != nil {
					tc.mx(mx)
				}
				env := envelope("ann@example.com", "bob@example.net")
				env.RequireTLS = tc.verify
				out := mx.Deliver(t.Context(), env, message(letter))
				require.Equal(t, tc.conns, p.count())
				require.Equal(t, tc.secure, p.sessions[p.count()-1].secure)
				if tc.want != "" {
					requireReply(t, tc.want, out[0].Err)
					require.Empty(t, p.mails())
					return
				}
				require.NoError(t, out[0].Err)
				require.Equal(t, tc.secure, out[0].TLS != "")
			})
		})
	}
}

func TestSmarthost(t *testing.T) {
	ca := mailtest.NewCA()
	good := ca.ServerConfig("smart.example.org")
	for name, tc := range map[string]struct {
		mode   relay.TLSMode
		peer   *peer
		user   string
		want   string
		invoke string // a command that must have been sent
	}{
		"plain":               {relay.StartTLS, &peer{ext: []string{"STARTTLS", "AUTH LOGIN PLAIN"}, tls: good}, "ann", "", "AUTH PLAIN AGFubgBzZWNyZXQ="},
		"default mode":        {"", &peer{ext: []string{"STARTTLS", "auth plain"}, tls: good}, "ann", "", "AUTH PLAIN AGFubgBzZWNyZXQ="},
		"login":               {relay.StartTLS, &peer{ext: []string{"STARTTLS", "AUTH LOGIN"}, tls: good, script: map[string]string{"auth": "334 VXNlcm5hbWU6", "YW5u": "334 UGFzc3dvcmQ6", "c2VjcmV0": "235 in"}}, "ann", "", "c2VjcmV0"},
		"no known mechanism":  {relay.StartTLS, &peer{ext: []string{"STARTTLS", "AUTH GSSAPI"}, tls: good}, "ann", "451 4.7.0", ""},
		"wrong password":      {relay.StartTLS, &peer{ext: []string{"STARTTLS", "AUTH PLAIN"}, tls: good, script: map[string]string{"auth": "535 5.7.8 no"}}, "ann", "451 4.7.8", ""},
		"no TLS offered":      {relay.StartTLS, &peer{ext: []string{"AUTH PLAIN"}}, "ann", "451 4.7.10", ""},
		"wrong certificate":   {relay.StartTLS, &peer{ext: []string{"STARTTLS", "AUTH PLAIN"}, tls: mailtest.NewCA().ServerConfig("smart.example.org")}, "ann", "451 4.7.5", ""},
		"without log-in":      {relay.NoTLS, &peer{}, "", "", "MAIL FROM:<ann@example.com>"},
		"refuses to talk":     {relay.NoTLS, &peer{script: map[string]string{"connect": "554 5.7.1 go away"}}, "", "451 4.4.0", ""},
		"refuses a recipient": {relay.NoTLS, &peer{script: map[string]string{"rcpt": "550 5.1.1 unknown"}}, "", "550 5.1.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				p := w.peer("192.0.2.99:587", &peer{ext: tc.peer.ext, tls: tc.peer.tls, script: tc.peer.script})
				password := ""
				if tc.user != "" {
					password = "secret"
				}
				s := &relay.Smarthost{
					Address: "smart.example.org:587", User: tc.user, Password: password, TLS: tc.mode, TLSConfig: ca.ClientConfig(""),
					Dial: dialTo(w, "192.0.2.99:587"),
				}
				t.Cleanup(func() { s.Close() })
				out := send(t, s, "bob@example.net", "cleo@example.org")
				if tc.want != "" {
					requireReply(t, tc.want, out[1].Err)
					return
				}
				require.NoError(t, out[0].Err)
				require.NoError(t, out[1].Err)
				require.Len(t, p.mails(), 1, "both in one transaction")
				require.Contains(t, p.commands(), tc.invoke)
			})
		})
	}
}

func TestSmarthostImplicitTLS(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		ca := mailtest.NewCA()
		p := &peer{ext: []string{"AUTH PLAIN"}, name: "smart.example.org"}
		w.peerTLS("192.0.2.99:465", p, ca.ServerConfig("smart.example.org"))
		s := &relay.Smarthost{
			Address: "smart.example.org:465", User: "ann", Password: "secret", TLS: relay.ImplicitTLS, TLSConfig: ca.ClientConfig(""),
			Dial: dialTo(w, "192.0.2.99:465"),
		}
		t.Cleanup(func() { s.Close() })
		out := send(t, s, "bob@example.net")
		require.NoError(t, out[0].Err)
		require.NotEmpty(t, out[0].TLS)
		require.Len(t, p.mails(), 1)
	})
}

func TestSmarthostSendsNoPasswordInClear(t *testing.T) {
	t.Parallel()
	for _, s := range []*relay.Smarthost{
		{Address: "smart.example.org:25", User: "ann", Password: "secret", TLS: relay.NoTLS},
		{Address: "smart.example.org:25", Password: "secret"},
		{Address: "smart.example.org"},
		{Address: ":25"},
		{Address: "smart.example.org:25", TLS: "ssl"},
	} {
		require.Error(t, s.Validate())
		_, err := relay.Open(t.TempDir(), relay.Options{Transport: relay.Split(func(string) bool { return false }, &relay.MX{}, s)})
		require.Error(t, err)
	}
	require.NoError(t, (&relay.Smarthost{Address: "smart.example.org:25"}).Validate())
}

// pass lets the bubble's time pass, and what is due then come to its end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bubbleHere runs a part of a test in a bubble of its own.
func bubbleHere(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestSmarthostIsLookedUp(t *testing.T) {
	const smart = "smart.example.org. IN A 192.0.2.98\nsmart.example.org. IN A 192.0.2.99\n"
	bubble(t, func(t *testing.T) {
		w := newWorld(t, smart)
		p := w.peer("192.0.2.99:587", &peer{})
		w.net.Refuse("192.0.2.98")
		s := &relay.Smarthost{Address: "smart.example.org:587", TLS: relay.NoTLS, Resolver: w.dns.Resolver(), Dial: w.net.Dialer("192.0.2.1").DialContext}
		t.Cleanup(func() { s.Close() })
		require.NoError(t, send(t, s, "bob@example.net")[0].Err)
		require.Len(t, p.mails(), 1, "the second address")
		missing := &relay.Smarthost{Address: "missing.example.org:587", TLS: relay.NoTLS, Resolver: w.dns.Resolver(), Dial: s.Dial}
		err := send(t, missing, "bob@example.net")[0].Err
		require.True(t, mailbricks.IsTemporary(err))
		require.Contains(t, mailbricks.ReplyTo(err).Text, "no such host name")
	})
}
