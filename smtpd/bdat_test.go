package smtpd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// body is a message without the field that the server has put in front.
func body(t testing.TB, got mailtest.Received) string {
	t.Helper()
	text := string(got.Raw)
	require.True(t, strings.HasPrefix(text, "Received: "))
	end := strings.Index(text, " +0000\r\n")
	require.Positive(t, end)
	return text[end+len(" +0000\r\n"):]
}

// RFC 3030 §4.1.
func TestBDATExample(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<Sam@Random.com>
			S* 250
			C: RCPT TO:<Susan@Random.com>
			S* 250
			C: BDAT 86 LAST
			C: To: Susan@random.com
			C: From: Sam@random.com
			C: Subject: This is a bodyless test message
			S: 250 2.0.0 Ok: queued as *
			C: QUIT
			S* 221
		`)
		require.Equal(w.t, "To: Susan@random.com\r\nFrom: Sam@random.com\r\nSubject: This is a bodyless test message\r\n", body(w.t, w.messages()[0]))
	})
}

// RFC 3030 §4.2.
func TestPipelinedBDATExample(t *testing.T) {
	inWorld(t, keeping(smtpd.Extensions{BinaryMIME: true}), func(w *world) {
		binary := make([]byte, 100324)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range binary {
			binary[i] = byte(r.Uint32())
		}
		copy(binary, "Subject: x\r\n\r\n")
		c := w.dial("203.0.113.9")
		c.Talk(hello)
		var out bytes.Buffer
		out.WriteString("MAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME\r\nRCPT TO:<gvaudre@cnri.reston.va.us>\r\nRCPT TO:<jstewart@cnri.reston.va.us>\r\n")
		out.WriteString("BDAT 100000\r\n")
		out.Write(binary[:100000])
		out.WriteString("BDAT 324\r\n")
		out.Write(binary[100000:])
		out.WriteString("BDAT 0 LAST\r\nQUIT\r\n")
		go c.Conn.Write(out.Bytes())
		c.Talk(`
			S: 250 2.1.0 Sender ok
			S: 250 2.1.5 Recipient ok
			S: 250 2.1.5 Recipient ok
			S: 250 2.0.0 Ok: 100000 octets received
			S: 250 2.0.0 Ok: 324 octets received
			S: 250 2.0.0 Ok: queued as *
			S* 221
			S$
		`)
		got := w.messages()[0]
		require.Equal(w.t, string(binary), body(w.t, got))
		require.Equal(w.t, mailbricks.BodyBinary, got.Envelope.Body)
		require.Len(w.t, got.Envelope.Recipients, 2)
	})
}

// chunked are dialogues after a transaction has begun and has a recipient.
var chunked = map[string]string{
	"arguments": `
		C: bdat 3 last
		R: "a\r\n"
		S: 250 2.0.0 Ok: queued as *`,
	"nothing at all": `
		C: BDAT 0 LAST
		S: 250 2.0.0 Ok: queued as *
		C: BDAT 0 LAST
		S: 503 5.5.1 MAIL first`,
	"commands within": `
		C: BDAT 34
		R: "RSET\r\nQUIT\r\n.\r\nMAIL FROM:<x@y.z>\r\n"
		S: 250 2.0.0 Ok: 34 octets received
		C: NOOP
		S* 250
		C: BDAT 6 LAST
		R: "QUIT\r\n"
		S* 250`,
	"RSET between chunks": `
		C: BDAT 3
		R: "a\r\n"
		S* 250
		C: RSET
		S* 250
		C: BDAT 3 LAST
		R: "b\r\n"
		S: 503 5.5.1 MAIL first`,
	"EHLO between chunks": `
		C: BDAT 3
		R: "a\r\n"
		S* 250
		C: EHLO client.example.net
		S* 250
		C: BDAT 0 LAST
		S: 503 5.5.1 MAIL first`,
	"QUIT between chunks": `
		C: BDAT 3
		R: "a\r\n"
		S* 250
		C: QUIT
		S* 221
		S$`,
	"DATA after BDAT": `
		C: BDAT 3
		R: "a\r\n"
		S* 250
		C: DATA
		S: 503 5.5.1 DATA and BDAT do not go together
		C: BDAT 0 LAST
		S* 250`,
	"RCPT and MAIL after BDAT": `
		C: BDAT 3
		R: "a\r\n"
		S* 250
		C: RCPT TO:<carol@example.com>
		S: 503 5.5.1 Not after BDAT
		C: MAIL FROM:<x@example.net>
		S: 503 5.5.1 A mail transaction is open already
		C: BDAT 0 LAST
		S* 250`,
	"a bare LF": `
		R: "BDAT 6\r\na\nb\r\nXBDAT 4 LAST\r\nQUITNOOP\r\n"
		S: 550 5.5.2 Message has a NUL or a line end that is not CR LF
		S: 550 5.5.2 Message has a NUL or a line end that is not CR LF
		S: 250 2.0.0 Ok`,
	"a bare CR at the end of a chunk": `
		R: "BDAT 2\r\na\rBDAT 3 LAST\r\nb\r\n"
		S: 250 2.0.0 Ok: 2 octets received
		S: 550 5.5.2 *
		C: NOOP
		S* 250`,
	"a bare CR at the end": `
		R: "BDAT 2 LAST\r\na\r"
		S: 550 5.5.2 *`,
	"a bare LF at the start of a chunk": `
		R: "BDAT 1\r\naBDAT 3 LAST\r\n\nb\n"
		S* 250
		S: 550 5.5.2 *`,
	"a line end over two chunks": `
		R: "BDAT 2\r\na\rBDAT 3 LAST\r\n\nb\r"
		S* 250
		S: 550 5.5.2 *`,
	"a NUL": `
		R: "BDAT 4 LAST\r\na\x00\r\n"
		S: 550 5.5.2 *`,
	"what follows a failed chunk": `
		R: "BDAT 2\r\n\n\nBDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\n"
		S: 550 5.5.2 *
		S: 550 5.5.2 *
		S: 550 5.5.2 *
		C: BDAT 0 LAST
		S: 503 5.5.1 MAIL first`,
	"commands after a failed chunk": `
		R: "BDAT 2\r\n\n\n"
		S: 550 5.5.2 *
		C: RCPT TO:<carol@example.com>
		S* 503
		C: DATA
		S* 503
		C: VRFY x
		S* 252
		C: MAIL FROM:<again@example.net>
		S* 250
		C: RCPT TO:<carol@example.com>
		S* 250
		C: BDAT 3 LAST
		R: "c\r\n"
		S* 250`,
	"no size": `
		C: BDAT
		S: 501 5.5.4 Syntax: BDAT size [LAST]; closing
		S$`,
	"no number": `
		C: BDAT x LAST
		S* 501
		S$`,
	"a sign": `
		C: BDAT +3 LAST
		S* 501
		S$`,
	"another word": `
		C: BDAT 3 FIRST
		S* 501
		S$`,
	"too many words": `
		C: BDAT 3 LAST LAST
		S* 501
		S$`,
	"two blanks": `
		C: BDAT  3
		S* 501
		S$`,
	"more than 63 bits": `
		C: BDAT 9223372036854775808
		S: 552 5.3.4 No chunk can be that large; closing
		S$`,
	"63 bits": `
		C: BDAT 9223372036854775807
		S: 552 5.3.4 Message is larger than 52428800 octets
		S$`,
}

func TestChunks(t *testing.T) {
	accepted := map[string]int{
		"arguments": 1, "nothing at all": 1, "commands within": 1, "DATA after BDAT": 1, "RCPT and MAIL after BDAT": 1, "commands after a failed chunk": 1,
	}
	for name, script := range chunked {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.talk(mailTo + script)
				require.Len(w.t, w.messages(), accepted[name])
			})
		})
	}
}

func TestChunksWithoutATransaction(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(`
			S* 220
			R: "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
			S: 503 5.5.1 EHLO first
			S: 250 2.0.0 Ok
			C: HELO client.example.net
			S* 250
			R: "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
			S: 503 5.5.1 EHLO first
			S: 250 2.0.0 Ok
			C: EHLO client.example.net
			S* 250
			R: "BDAT 6\r\nQUIT\r\nNOOP\r\n"
			S: 503 5.5.1 MAIL first
			S: 250 2.0.0 Ok
			C: MAIL FROM:<ann@example.net>
			S* 250
			R: "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
			S: 503 5.5.1 RCPT first
			S: 503 5.5.1 RCPT first
			S: 250 2.0.0 Ok
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob>
			S* 501
			R: "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
			S: 554 5.5.1 No valid recipients
			S: 250 2.0.0 Ok
			C: RCPT TO:<bob@example.com>
			S: 503 5.5.1 MAIL first
		`)
		require.Empty(w.t, w.messages())
	})
}

func TestChunksAfterRefusedRecipients(t *testing.T) {
	refuse := func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Rcpt: func(context.Context, *smtpd.Transaction, *mailbricks.Recipient) error { return smtpd.Permanent("No") }}}
	}
	inWorld(t, refuse, func(w *world) {
		w.talk(hello + `
			R: "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
			S* 250
			S* 550
			S: 554 5.5.1 No valid recipients
			S: 250 2.0.0 Ok
		`)
	})
}

func TestDataCheckIsAskedOnceForAllChunks(t *testing.T) {
	asked, pending := 0, -1
	var refusal error
	set := func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Data: func(_ context.Context, tx *smtpd.Transaction) error {
			asked, pending = asked+1, tx.Session.Pending()
			return refusal
		}}}
	}
	inWorld(t, set, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo + `
			R: "BDAT 3\r\na\r\nBDAT 3\r\nb\r\nBDAT 0 LAST\r\n"
			S* 250
			S* 250
			S* 250
		`)
		require.Equal(w.t, 1, asked)
		require.Zero(w.t, pending, "a chunk that follows BDAT is not ahead of its time")
		refusal = smtpd.Temporary("Later")
		c.Talk(`
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			R: "BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\nNOOP\r\n"
			S: 451 4.7.1 Later
			S: 451 4.7.1 Later
			S: 451 4.7.1 Later
			S* 250
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			R: "BDAT 6 LAST\r\nQUIT\r\n"
			S: 451 4.7.1 Later
			C: BDAT 0 LAST
			S: 503 5.5.1 MAIL first
		`)
		require.Equal(w.t, 3, asked)
		require.Len(w.t, w.messages(), 1)
	})
}

func TestALastLineGetsItsEnd(t *testing.T) {
	for sent, want := range map[string]string{
		"":                    "",
		"Subject: x":          "Subject: x\r\n",
		"Subject: x\r\n\r\ny": "Subject: x\r\n\r\ny\r\n",
		"Subject: x\r\n":      "Subject: x\r\n",
		" x":                  "\r\n x\r\n",
		"..\r\n.\r\n":         "..\r\n.\r\n",
	} {
		t.Run(fmt.Sprintf("%q", sent), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.talk(mailTo + fmt.Sprintf("R: %q\nS* 250", fmt.Sprintf("BDAT %d LAST\r\n%s", len(sent), sent)))
				require.Equal(w.t, want, body(w.t, w.messages()[0]))
			})
		})
	}
}

func TestChunksAreRepaired(t *testing.T) {
	for sent, want := range map[string]string{
		"a\nb\rc\x00\r\n": "a\r\nb\r\nc\r\n",
		"a\r":             "a\r\n",
		"a\n":             "a\r\n",
		"a\r\r\nb":        "a\r\nb\r\n",
		"a\r\n\x00":       "a\r\n\r\n",
	} {
		for split := range len(sent) {
			t.Run(fmt.Sprintf("%q at %d", sent, split), func(t *testing.T) {
				inWorld(t, func(s *smtpd.Server) { s.BareLineEnds = smtpd.RepairBareLineEnds }, func(w *world) {
					w.talk(mailTo + fmt.Sprintf("R: %q\nS* 250\nS* 250", fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", split, sent[:split], len(sent)-split, sent[split:])))
					require.Equal(w.t, want, body(w.t, w.messages()[0]))
				})
			})
		}
	}
}

func TestBinaryMessages(t *testing.T) {
	for name, test := range map[string]struct{ sent, reply string }{
		"body":               {"Subject: x\r\n\r\n\x00\r\n.\r\n\n\r\xff", "250"},
		"long body line":     {"Subject: x\r\n\r\n" + strings.Repeat("x", 70000), "250"},
		"header without end": {"Subject: x", "250"},
		"no header":          {"\r\n\x00", "250"},
		"bare LF in header":  {"Subject: x\nX: y\r\n\r\n", "550"},
		"bare CR in header":  {"Subject: x\rX: y\r\n\r\n", "550"},
		"CR at the end":      {"Subject: x\r", "550"},
		"NUL in header":      {"Subject: \x00\r\n\r\n", "550"},
		"two LFs":            {"Subject: x\n\nbody", "550"},
		"long header line":   {"Subject: " + strings.Repeat("x", 70000), "554"},
	} {
		for _, mode := range []smtpd.BareLineEnds{smtpd.RejectBareLineEnds, smtpd.RepairBareLineEnds} {
			t.Run(fmt.Sprint(name, mode), func(t *testing.T) {
				set := func(s *smtpd.Server) {
					keeping(smtpd.Extensions{BinaryMIME: true})(s)
					s.BareLineEnds = mode
				}
				inWorld(t, set, func(w *world) {
					c := w.dial("203.0.113.9")
					c.Talk(hello + `
						C: MAIL FROM:<ann@example.net> BODY=binarymime
						S* 250
						C: RCPT TO:<bob@example.com>
						S* 250
						C: DATA
						S: 503 5.5.1 BODY=BINARYMIME needs BDAT
					`)
					go fmt.Fprintf(c.Conn, "BDAT %d LAST\r\n%s", len(test.sent), test.sent)
					require.Equal(w.t, test.reply, c.reply())
					if test.reply == "250" {
						require.Equal(w.t, test.sent, body(w.t, w.messages()[0]))
					} else {
						require.Empty(w.t, w.messages())
					}
					c.Talk("C: NOOP\nS* 250")
				})
			})
		}
	}
}

// However a text is cut into chunks and writes, it is stored as with DATA, or refused.
func TestChunkingDoesNotMatter(t *testing.T) {
	t.Parallel()
	var inbox mailtest.Inbox
	srv := &smtpd.Server{Hostname: "mail.example.com", Handler: &inbox, MaxTransactions: -1, MaxErrors: -1}
	network := mailtest.NewNetwork() // not in a bubble, in which rapid does not run
	l, err := network.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	conn, err := network.Dialer("").Dial("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	c := newClient(t, conn)
	c.Talk(hello)
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("a.\r\n\x00")), 0, 12, -1).Draw(r, "text")
		if rapid.Bool().Draw(r, "lines") {
			text = strings.NewReplacer("\r", "\r\n", "\n", "\r\n", "\x00", "x").Replace(text)
		}
		before := len(inbox.Messages())
		var out strings.Builder
		out.WriteString("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n")
		rest, replies := text, 3
		for range rapid.IntRange(0, 3).Draw(r, "chunks") {
			cut := rapid.IntRange(0, len(rest)).Draw(r, "cut")
			fmt.Fprintf(&out, "BDAT %d\r\n%s", cut, rest[:cut])
			rest = rest[cut:]
			replies++
		}
		fmt.Fprintf(&out, "BDAT %d LAST\r\n%s", len(rest), rest)
		for wire := out.String(); wire != ""; {
			n := rapid.IntRange(1, len(wire)).Draw(r, "write")
			_, err := c.Conn.Write([]byte(wire[:n]))
			require.NoError(r, err)
			wire = wire[n:]
		}
		code := ""
		for range replies {
			code = c.reply()
		}
		messages := inbox.Messages()[before:]
		if strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\r\n\x00") {
			require.NotEqual(r, "250", code)
			require.Empty(r, messages)
			return
		}
		require.Equal(r, "250", code)
		if text != "" && !strings.HasSuffix(text, "\r\n") {
			text += "\r\n"
		}
		require.Equal(r, text, body(t, messages[0]))
	})
	require.NoError(t, conn.Close())
	require.NoError(t, srv.Shutdown(context.Background()))
	require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
}

func TestChunksAboveTheLimit(t *testing.T) {
	set := func(s *smtpd.Server) { s.MaxMessageSize = 20 }
	inWorld(t, set, func(w *world) {
		w.talk(mailTo + `
			R: "BDAT 18\r\nQUIT\r\nQUIT\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
			S: 250 2.0.0 Ok: 18 octets received
			S: 552 5.3.4 Message is larger than 20 octets
			S: 552 5.3.4 Message is larger than 20 octets
			S: 250 2.0.0 Ok
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			R: "BDAT 18\r\nQUIT\r\nQUIT\r\nQUIT\r\nBDAT 2 LAST\r\n\r\n"
			S* 250
			S: 250 2.0.0 Ok: queued as *
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: BDAT 21 LAST
			R: "QUIT\r\nQUIT\r\nQUIT\r\na\r\n"
			S: 552 5.3.4 *
			C: NOOP
			S* 250
		`)
		require.Len(w.t, w.messages(), 1)
	})
}

func TestChunksFarAboveTheLimitCloseTheSession(t *testing.T) {
	const drain = 64<<20 + 20
	inWorld(t, func(s *smtpd.Server) { s.MaxMessageSize = 20 }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		go func() {
			zeros := make([]byte, 1<<20)
			fmt.Fprintf(c.Conn, "BDAT %d\r\n", 64<<20)
			for range 64 {
				c.Conn.Write(zeros)
			}
			fmt.Fprintf(c.Conn, "BDAT 21\r\n")
		}()
		c.Talk(`
			S: 552 5.3.4 *
			S: 552 5.3.4 *
			S$
		`)
		c = w.dial("203.0.113.9")
		c.Talk(mailTo + fmt.Sprintf("C: BDAT %d LAST\nS: 552 5.3.4 *\nS$", drain+1))
	})
}

func TestUnlimitedMessagesByChunks(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxMessageSize = -1 }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		line := strings.Repeat("x", 998) + "\r\n"
		go func() {
			for range 100 {
				fmt.Fprintf(c.Conn, "BDAT 10000\r\n%s", strings.Repeat(line, 10))
			}
			fmt.Fprintf(c.Conn, "BDAT 0 LAST\r\n")
		}()
		for range 101 {
			require.Equal(w.t, "250", c.reply())
		}
		require.Equal(w.t, strings.Repeat(line, 1000), body(w.t, w.messages()[0]))
	})
}

func TestLongLinesOverChunks(t *testing.T) {
	for length, reply := range map[int]string{100: "250", 101: "554"} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxLineLength = 100 }, func(w *world) {
				line := strings.Repeat("x", length) + "\r\n"
				w.talk(mailTo + fmt.Sprintf("R: %q\nS* 250\nS* %s", fmt.Sprintf("BDAT 60\r\n%sBDAT %d LAST\r\n%s", line[:60], len(line)-60, line[60:]), reply))
			})
		})
	}
}

func TestAMissingChunkIsTold(t *testing.T) {
	for name, test := range map[string]struct{ script, size, reply string }{
		"left":       {"H:\nS$", "3 smtpd: message broke off: unexpected EOF", "message refused, reply <nil>"},
		"silent":     {"S: 421 4.4.2 The message came too slowly, closing\nS$", "3 421 4.4.2 The message came too slowly, closing", "message close, reply 421"},
		"gave it up": {"C: QUIT\nS* 221\nS$", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log notes
			set := func(s *smtpd.Server) {
				s.Trace.Message = func(_ *smtpd.Transaction, size int64, _ time.Duration, err error) {
					text, _, _ := strings.Cut(err.Error(), ": i/o")
					log.add("%d %s", size, text)
				}
				s.Trace.Outcome = func(o smtpd.Outcome) {
					if o.Reply == nil {
						log.add("%s refused, reply <nil>", o.Phase)
					} else {
						log.add("%s %s, reply %d", o.Phase, o.Action, o.Reply.Code)
					}
				}
			}
			inWorld(t, set, func(w *world) {
				w.talk(mailTo + "R: \"BDAT 3\\r\\na\\r\\n\"\nS* 250\n" + test.script)
				require.Empty(w.t, w.messages())
			})
			if test.size == "" {
				require.Empty(t, log.all())
				return
			}
			require.Len(t, log.all(), 2)
			require.True(t, strings.HasPrefix(log.all()[0], test.size), log.all()[0])
			require.Equal(t, test.reply, log.all()[1])
		})
	}
}

// A message that breaks off is never accepted, wherever that is.
func TestTruncatedChunks(t *testing.T) {
	const whole = "BDAT 5\r\na\r\nb\rBDAT 4 LAST\r\n\nc\r\n"
	for n := range len(whole) {
		for _, silent := range []bool{true, false} {
			t.Run(fmt.Sprint(n, silent), func(t *testing.T) {
				var ended error
				inWorld(t, func(s *smtpd.Server) {
					s.Trace.Disconnected = func(_ *smtpd.Session, err error) { ended = err }
				}, func(w *world) {
					c := w.dial("203.0.113.9")
					c.Talk(mailTo)
					_, err := c.Conn.Write([]byte(whole[:n]))
					require.NoError(w.t, err)
					began := time.Now()
					if !silent {
						require.NoError(w.t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
					}
					var last string
					for {
						line, err := c.Line()
						if err != nil {
							break
						}
						last = line
					}
					require.Empty(w.t, w.messages())
					require.NoError(w.t, w.srv.Shutdown(context.Background()))
					require.Error(w.t, ended)
					if silent {
						require.Equal(w.t, "421", last[:3])
						require.LessOrEqual(w.t, time.Since(began), 5*time.Minute+time.Second)
					}
				})
			})
		}
	}
}

func TestTruncatedChunksThatAreRefused(t *testing.T) {
	for _, silent := range []bool{true, false} {
		t.Run(fmt.Sprint(silent), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello + `
					R: "BDAT 20\r\nMAIL FROM:<>\r\n"
					W: 1s
				`)
				if silent {
					c.Talk("S: 421 4.4.2 The message came too slowly, closing\nS$")
				} else {
					c.Talk("H:\nS$")
				}
			})
		})
	}
}

func TestSlowChunksAreCutOff(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		began := time.Now()
		for {
			if _, err := c.Conn.Write([]byte("BDAT 1\r\nx")); err != nil {
				break
			}
			line, err := c.Line()
			if err != nil || strings.HasPrefix(line, "421") {
				break
			}
			time.Sleep(30 * time.Second)
		}
		require.LessOrEqual(w.t, time.Since(began), 4*time.Minute)
		require.Empty(w.t, w.messages())
	})
}

func TestSlowButSteadyChunksPass(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.SessionTimeout = 10 * time.Minute }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		line := strings.Repeat("x", 998) + "\r\n"
		for range 100 { // 20 minutes
			_, err := fmt.Fprintf(c.Conn, "BDAT 10000\r\n%s", strings.Repeat(line, 10))
			require.NoError(w.t, err)
			require.Equal(w.t, "250", c.reply())
			time.Sleep(12 * time.Second)
		}
		c.Talk("C: BDAT 0 LAST\nS* 250")
		require.Len(w.t, w.messages(), 1)
	})
}

func TestEmptyChunksAreCounted(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxIdleCommands = 5 }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: BDAT 0
			C: BDAT 0
			C: BDAT 0
			C: BDAT 0
			C: BDAT 0
			S* 250
			S* 250
			S* 250
			S* 250
			S: 421 4.7.0 Too many commands without a message, closing
			S$
		`)
	})
}

// There is an end to chunks of a message that was refused.
func TestRefusedChunksHaveABudget(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxRecipients = 1 }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		go func() { _, _ = c.Conn.Write([]byte("BDAT 1\r\n\n" + strings.Repeat("BDAT 0\r\n", 1002))) }()
		for range 1002 {
			require.Equal(w.t, "550", c.reply())
		}
		c.Talk("S: 421 4.7.0 Too many commands without a message, closing\nS$")
	})
}

func TestRefusedChunksAreNoErrors(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxErrors = 3 }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		_, err := c.Conn.Write([]byte("BDAT 1\r\n\n" + strings.Repeat("BDAT 1\r\nx", 50)))
		require.NoError(w.t, err)
		require.Equal(w.t, "550", c.reply())
		for range 50 {
			require.Equal(w.t, "550", c.reply())
		}
	})
}

func TestTraceOfChunks(t *testing.T) {
	var log notes
	set := func(s *smtpd.Server) {
		s.MaxMessageSize = 10
		s.Trace.Message = func(_ *smtpd.Transaction, size int64, _ time.Duration, err error) { log.add("%d %v", size, err) }
		s.Trace.Command = func(_ *smtpd.Session, verb string, code int) {
			if verb == "BDAT" {
				log.add("%s %d", verb, code)
			}
		}
	}
	inWorld(t, set, func(w *world) {
		w.talk(mailTo + `
			R: "BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\n"
			S* 250
			S* 250
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			R: "BDAT 3\r\na\r\nBDAT 10\r\n0123456789BDAT 0 LAST\r\n"
			S* 250
			S* 552
			S* 552
		`)
	})
	require.Equal(t, []string{"BDAT 250", "6 <nil>", "BDAT 250", "BDAT 250", "3 552 5.3.4 Message is larger than 10 octets", "BDAT 552", "BDAT 552"}, log.all())
}

// What was refused for now is refused for now to the end, also where the client looks at the answer to the last chunk alone.
func TestATemporaryRefusalOfAChunkStaysOne(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		t.Run(fmt.Sprint(lmtp), func(t *testing.T) {
			set := func(s *smtpd.Server) {
				s.LMTP, s.MaxErrors = lmtp, 1
				s.Checks = []smtpd.Check{{Data: func(context.Context, *smtpd.Transaction) error { return smtpd.Temporary("greylisted") }}}
			}
			inWorld(t, set, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk("S* 220\nC: " + map[bool]string{false: "EHLO", true: "LHLO"}[lmtp] + " client.example.net\nS* 250")
				c.Talk(`
					R: "MAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"
					S* 250
					S* 250
					S* 250
					R: "BDAT 3\r\na\r\nBDAT 3\r\nb\r\nBDAT 3 LAST\r\nc\r\n"
					S: 451 4.7.1 greylisted
					S: 451 4.7.1 greylisted
				`)
				if lmtp { // RFC 2033 §4.3
					c.Talk("S: 451 4.7.1 <a@example.com>: greylisted\nS: 451 4.7.1 <b@example.com>: greylisted")
				} else {
					c.Talk("S: 451 4.7.1 greylisted")
				}
				c.Talk("C: BDAT 0 LAST\nS* 421") // the first error
				require.Empty(w.t, w.messages())
			})
		})
	}
}

func TestAHandlerThatFailsRefusesTheLastChunk(t *testing.T) {
	set := func(s *smtpd.Server) {
		s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return errors.New("disk") })
	}
	inWorld(t, set, func(w *world) {
		w.talk(mailTo + `
			R: "BDAT 3 LAST\r\na\r\nNOOP\r\n"
			S: 451 4.3.0 *
			S* 250
		`)
	})
}

func TestReceivedHasTheHelloWithoutItsLastDot(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(`
			S* 220
			C: EHLO client.example.net.
			C: MAIL FROM:<>
			C: RCPT TO:<bob@example.com>
			C: BDAT 0 LAST
			S* 250
			S* 250
			S* 250
			S* 250
		`)
		require.True(w.t, strings.HasPrefix(string(w.messages()[0].Raw), "Received: from client.example.net (unknown [203.0.113.9])\r\n"))
	})
}
