package smtpd_test

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestMessageSizeLimit(t *testing.T) {
	const limit = 1000
	body := func(n int) string { return "X: y\r\n\r\n" + strings.Repeat("z", n-10) + "\r\n" }
	for name, test := range map[string]struct{ text, reply string }{
		"exactly the limit":               {body(limit), "250 2.0.0 *"},
		"one octet more":                  {body(limit + 1), "552 5.3.4 Message is larger than 1000 octets"},
		"dots are not counted":            {".." + body(limit - 1)[0:], "250 2.0.0 *"},
		"drained":                         {body(3 * limit), "552 5.3.4 *"},
		"drained past bare LF and dots":   {body(limit+5) + ".\nHELP\r\nHELP\r\n", "552 5.3.4 *"},
		"larger than the drain's minimum": {body(200), "250 2.0.0 *"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxMessageSize, s.MaxIdleCommands = limit, -1 }, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(toData)
				_, err := io.WriteString(c.Conn, test.text+".\r\n")
				require.NoError(t, err)
				c.Talk("S: " + test.reply + "\nC: NOOP\nS: 250 2.0.0 Ok\n")
			})
		})
	}
}

// A message without end is not read for ever.
func TestEndlessMessageEndsTheConnection(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxMessageSize = 1000 }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(toData)
		line := []byte(strings.Repeat(strings.Repeat("x", 1022)+"\r\n", 1024)) // 1 MiB
		sent := 0
		for ; sent < 100; sent++ {
			if _, err := c.Conn.Write(line); err != nil {
				break
			}
		}
		require.Greater(t, sent, 60)
		require.Less(t, sent, 70)
		c.Talk("S: 552 5.3.4 *\nS$\n")
	})
}

func TestLongLinesAreRefused(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxLineLength = 2000 }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(toData)
		fmt.Fprintf(c.Conn, "%s\r\n.\r\n", strings.Repeat("x", 2001))
		c.Talk("S: 554 5.6.0 Message has a line longer than 2000 octets\n" + strings.ReplaceAll(toData, hello, ""))
		fmt.Fprintf(c.Conn, "%s\r\n.\r\n", strings.Repeat("x", 2000))
		c.Talk("S: 250 *\n")
	})
}

func TestHeaderTooLarge(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.Spool = &mailbricks.Spool{MaxHeader: 100} }, func(w *world) {
		w.talk(toData + "C: X: " + strings.Repeat("y", 120) + "\nC:\nC: .\nS: 552 5.3.4 Message header is too large\nC: NOOP\nS* 250\n")
	})
}

func TestSpoolThatFailsIsATemporaryFailure(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.Spool = &mailbricks.Spool{Threshold: 10, Dir: "/nonexistent/dir"} }, func(w *world) {
		w.talk(toData + `
			C: Subject: larger than the threshold
			C:
			C: body
			C: .
			S: 451 4.3.0 Temporary local problem, please try again later
			C: NOOP
			S: 250 *
		`)
		require.Empty(w.t, w.messages())
	})
}

func TestFullDisk(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.inbox.Fail(func(*mailbricks.Envelope, *mailbricks.Message) error { return syscall.ENOSPC })
		w.talk(toData + "C: .\nS: 451 4.3.0 *\n")
	})
}

// A message that begins with white space does not go on in the fields that are put in front of it.
func TestMessageThatBeginsWithAFold(t *testing.T) {
	for _, policy := range []smtpd.BareLineEnds{smtpd.RejectBareLineEnds, smtpd.RepairBareLineEnds} {
		for _, first := range []string{" (trusted)", "\t(trusted)", " ", ".. x"} {
			t.Run(fmt.Sprintf("%d %q", policy, first), func(t *testing.T) {
				inWorld(t, func(s *smtpd.Server) { s.BareLineEnds = policy }, func(w *world) {
					w.talk(toData + "C: " + first + "\nC: Subject: x\nC:\nC: body\nC: .\nS: 250 *\n")
					got := w.messages()[0]
					if first[0] == '.' {
						require.Equal(w.t, "x", got.Message.Get("Subject"))
						return
					}
					require.NotContains(w.t, got.Message.Get("Received"), "trusted")
					require.Empty(w.t, got.Message.Get("Subject"))
					require.True(w.t, strings.HasSuffix(string(got.Raw), "\r\n\r\n"+first+"\r\nSubject: x\r\n\r\nbody\r\n"))
				})
			})
		}
	}
}

func TestHopLimit(t *testing.T) {
	hops := func(n int) string { return strings.Repeat("C: Received: from a by b; date\n", n) }
	inWorld(t, nil, func(w *world) {
		w.talk(toData + hops(smtpd.DefaultMaxHops) + "C:\nC: .\nS: 554 5.4.6 Too many hops, this message is looping\n")
		w.talk(toData + hops(smtpd.DefaultMaxHops-1) + "C:\nC: .\nS: 250 *\n")
	})
}

// A message may take long if it moves, but not for ever.
func TestSlowMessages(t *testing.T) {
	send := func(w *world, line string, pause time.Duration, n int) client {
		c := w.dial("203.0.113.9")
		c.Talk(toData + "C: Subject: slow\nC:\n")
		for range n {
			time.Sleep(pause)
			if _, err := io.WriteString(c.Conn, line); err != nil {
				break
			}
		}
		return c
	}
	t.Run("steady", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			c := send(w, strings.Repeat("x", 6000)+"\r\n", 10*time.Second, 600) // 100 minutes at 600 octets a second
			c.Talk("C: .\nS: 250 *\nS: 421 4.4.2 *\nS$\n")                      // the session is too old then
			require.Len(w.t, w.messages(), 1)
		})
	})
	t.Run("an octet a minute", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			began := time.Now()
			c := send(w, "x", time.Minute, 10)
			c.Talk("S: 421 4.4.2 The message came too slowly, closing\nS$\n")
			require.Less(w.t, time.Since(began), 11*time.Minute)
			require.Empty(w.t, w.messages())
		})
	})
	t.Run("a line a second", func(t *testing.T) {
		inWorld(t, func(s *smtpd.Server) { s.MinDataRate = 100 }, func(w *world) {
			began := time.Now()
			c := w.dial("203.0.113.9")
			c.Talk(toData)
			for {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c.Conn, strings.Repeat("x", 48)+"\r\n"); err != nil {
					break
				}
			}
			c.Talk("S: 421 4.4.2 *\nS$\n")
			require.InDelta(w.t, 6*time.Minute, time.Since(began), float64(10*time.Second), "half the rate: twice the time that is let pass")
		})
	})
}
