package smtpd_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

// Nothing within a chunk is a command or the end of the message, wherever chunks and reads end, and lines are CRLF lines there,
// too.
func TestSmugglingInChunks(t *testing.T) {
	const front = "Subject: one\r\n\r\nbody"
	chunk := func(text string, last string) string { return fmt.Sprintf("BDAT %d%s\r\n%s", len(text), last, text) }
	for n := 1; n <= maxSequence-1; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorld(t, unlimited, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				for i, sequence := range sequences(n) {
					text := front + sequence + smuggled + "\r\n.\r\n"
					taken := len(w.messages())
					c.write("MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com>\r\n")
					require.Equal(w.t, []string{"250", "250"}, []string{c.reply(), c.reply()})
					border := len(front) + i%(n+1) // of the two chunks
					sent := chunk(text[:border], "") + chunk(text[border:], " LAST") + "NOOP\r\nHELP\r\n"
					at := len(sent) * (i % 7) / 7
					c.write(sent[:at])
					synctest.Wait()
					c.write(sent[at:])
					codes := []string{c.reply(), c.reply(), c.reply(), c.reply()}
					if bare := hasBare(text); !bare {
						require.Equal(w.t, []string{"250", "250", "250", "214"}, codes, "%q", sequence)
						require.Len(w.t, w.messages(), taken+1)
						_, got := cutReceived(string(w.messages()[taken].Raw))
						require.Equal(w.t, text, got)
						continue
					}
					// The first chunk may have the flaw, then the second is refused as well.
					require.Contains(w.t, []string{"250 550", "550 550"}, codes[0]+" "+codes[1], "%q", sequence)
					require.Equal(w.t, []string{"250", "214"}, codes[2:], "%q", sequence)
					require.Len(w.t, w.messages(), taken)
				}
				c.Talk("C: QUIT\nS* 221\nS$\n")
			})
		})
	}
}

// A chunk that is refused is read to its end, so that the stream is in step.
func TestRefusedChunksAreNoCommands(t *testing.T) {
	chunk := smuggled + "\r\n.\r\n"
	for name, test := range map[string]struct{ before, codes string }{
		"before EHLO":         {"", "503"},
		"after HELO":          {"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\n", "250 250 250 503"},
		"before MAIL":         {"EHLO x\r\n", "250 503"},
		"before RCPT":         {"EHLO x\r\nMAIL FROM:<>\r\n", "250 250 503"},
		"too large":           {"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\n", "250 250 250 552"},
		"after another error": {"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nBDAT 1\r\n\n", "250 250 250 550 550"},
	} {
		for _, last := range []string{"", " LAST"} {
			t.Run(name+last, func(t *testing.T) {
				inWorld(t, func(s *smtpd.Server) {
					if name == "too large" {
						s.MaxMessageSize = 10
					}
				}, func(w *world) {
					sent := fmt.Sprintf("%sBDAT %d%s\r\n%sHELP\r\n", test.before, len(chunk), last, chunk)
					for at := range len(sent) + 1 {
						c := w.dial("203.0.113.9")
						c.write(sent[:at])
						synctest.Wait()
						c.write(sent[at:])
						for code := range strings.FieldsSeq("220 " + test.codes + " 214") {
							require.Equal(w.t, code, c.reply())
						}
						c.Talk("C: QUIT\nS* 221\nS$\n")
					}
					require.Empty(w.t, w.messages())
				})
			})
		}
	}
}

// When it is not known where a chunk ends, nothing that follows is taken for a command.
func TestChunksWithoutASizeCloseTheConnection(t *testing.T) {
	for _, command := range []string{
		"BDAT", "BDAT LAST", "BDAT x", "BDAT -1", "BDAT +5", "BDAT 5.0", "BDAT 0x5", "BDAT 5 FIRST",
		"BDAT 5LAST", "BDAT 5 LAST LAST", "BDAT 5,LAST",
		"BDAT 9223372036854775808", "BDAT 99999999999999999999999 LAST", "BDAT 9223372036854775807 LAST",
	} {
		closesAt(t, command+"\r\n")
	}
}

// So it is when the line is none, or only looks like BDAT.
func TestLinesThatMayBeBDATCloseTheConnection(t *testing.T) {
	for _, line := range []string{
		"BDAT 5 LAST\n", "bdat 5\n", "BDAT\n", "BDAT 5\x00LAST\r\n", "BDAT\x0c5\r\n", "BDAT\t5 LAST\r\n", " BDAT 5 LAST\r\n", "\tBDAT 5 LAST\r\n",
		"BDAT,5 LAST\r\n", "BDAT 5 LAST" + strings.Repeat(" ", 600) + "\r\n",
	} {
		closesAt(t, line)
	}
}

// closesAt is a test that the session ends at a line, whatever follows.
func closesAt(t *testing.T, line string) {
	t.Run(line[:min(len(line), 30)], func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.talk(mailTo + fmt.Sprintf("R: %q\nS: 5*\nS$\n", line+smuggled+"\r\n.\r\n"))
			require.Empty(w.t, w.messages())
		})
	})
}

// Other words that begin so are just unknown.
func TestOtherCommandsDoNotCloseTheConnection(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(hello + `
			R: "BDATA 5\r\nBDA 5\r\nXBDAT 5\r\nNOOP BDAT 5\r\nNOOP BDAT 5\nQUIT\r\n"
			S: 500 5.5.1 Unknown command
			S: 500 5.5.1 Unknown command
			S: 500 5.5.1 Unknown command
			S* 250
			S: 500 5.5.2 *
			S* 221
			S$
		`)
	})
}
