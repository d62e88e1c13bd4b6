package smtpd_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

// smuggled is what an attacker would like to be taken for commands.
const smuggled = "MAIL FROM:<smuggled@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"

// falseEnds are byte sequences that some programs take for the end of a message. None of them is.
var falseEnds = []string{
	"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\n.\x00\r\n",
	"\r\n\x00.\r\n",
	"\n\n.\n\n", "\r\r.\r\r", "\n.\r\r\n", "\n\r.\r\n", "\r\n\x00.\n", "\r\n.\x00\n", "\x00\r\n.\n", "\r\x00\n.\r\n",
	"\r\n.\r\x00\n",
	"\r.\r\n\n.\n", "\n.\n\r.\r", "\r\n. \r\n", "\r\n.\t\r\n", "\r\n..\r\n", "\r\n.\v\r\n", "\r\n.\f\n", "\r\n.\x1a",
	"\r\n\x1a\r\n",
	"\u2028.\u2028", "\u0085.\u0085", "\r\n\ufeff.\r\n", "\r\n\u200b.\r\n", "\xff\r\n.\xff\r\n", "\r\n%0d%0a.%0d%0a",
	"\n.\r\n.\n",
}

// octets are those that every sequence of up to maxSequence is made of.
const (
	octets      = "\r\n.\x00X"
	maxSequence = 5
)

// sequences are all strings of n octets.
func sequences(n int) []string {
	all := []string{""}
	for range n {
		var longer []string
		for _, s := range all {
			for _, octet := range octets {
				longer = append(longer, s+string(octet))
			}
		}
		all = longer
	}
	return all
}

// dataOf is what follows 354 as RFC 5321 has it (§4.1.1.4, §4.5.2): the text up to the first line of one dot, where only CRLF
// ends lines, with the dots taken out that were put in front of lines, and what is behind it.
func dataOf(input string) (text, rest string, ended bool) {
	end := strings.Index("\r\n"+input, "\r\n.\r\n") // the CRLF of the DATA line counts
	if end < 0 {
		return "", "", false
	}
	text = strings.ReplaceAll("\r\n"+input[:end], "\r\n.", "\r\n")
	return text[2:], input[end+3:], true
}

// hasBare says whether text has a CR, LF or NUL but those of CRLF.
func hasBare(text string) bool {
	return strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\r\n\x00")
}

// standard is what a server has to make of all that follows 354: the codes of its replies, and the messages that it takes.
func standard(input string) (codes, texts []string) {
	for inData, mail, rcpt := true, true, true; ; {
		if inData {
			text, rest, ended := dataOf(input)
			if !ended {
				return codes, texts
			}
			if code := "250"; hasBare(text) {
				codes = append(codes, "550")
			} else {
				codes, texts = append(codes, code), append(texts, text)
			}
			input, inData, mail, rcpt = rest, false, false, false
		}
		line, rest, found := strings.Cut(input, "\n")
		if !found {
			return codes, texts
		}
		code := "500"
		switch line {
		case "MAIL FROM:<smuggled@example.net>\r":
			code, mail = map[bool]string{false: "250", true: "503"}[mail], true
		case "RCPT TO:<bob@example.com>\r":
			code, rcpt = map[bool]string{false: "503", true: "250"}[mail], mail
		case "DATA\r":
			code, inData = map[bool]string{false: "503", true: "354"}[rcpt], rcpt
		case "NOOP\r":
			code = "250"
		case "HELP\r":
			code = "214"
		}
		codes, input = append(codes, code), rest
	}
}

// data has a client send text as the data of a message, in two writes that the server reads one by one if at is within it, and
// what is behind it in the same write or, later, in one of its own. What the server says and takes has to be what the standard
// asks for. HELP comes last, as nothing else has a reply like its.
func (w *world) data(c client, text string, at int, pipelined bool) {
	const behind = "NOOP\r\nHELP\r\n"
	w.t.Helper()
	taken := len(w.messages())
	wantCodes, wantTexts := standard(text + behind)
	c.write("MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n")
	codes := []string{c.reply(), c.reply(), c.reply()}
	require.Equal(w.t, []string{"250", "250", "354"}, codes)
	if at > 0 && at < len(text) {
		c.write(text[:at])
		synctest.Wait()
		text = text[at:]
	}
	if pipelined {
		c.write(text + behind)
	} else {
		c.write(text)
		synctest.Wait()
		c.write(behind)
	}
	codes = nil
	for range wantCodes {
		codes = append(codes, c.reply())
	}
	if !slices.Equal(wantCodes, codes) {
		require.Equal(w.t, wantCodes, codes, "%q, split at %d, pipelined %v", text, at, pipelined)
	}
	got := w.messages()[taken:]
	require.Len(w.t, got, len(wantTexts))
	for i, want := range wantTexts {
		if _, raw := cutReceived(string(got[i].Raw)); raw != want {
			require.Equal(w.t, want, raw)
		}
	}
}

// write sends octets.
func (c client) write(text string) {
	c.T.Helper()
	_, err := io.WriteString(c.Conn, text)
	require.NoError(c.T, err)
}

// cutReceived takes this server's own trace field off a message, and the blank line that goes in front of one without a header.
func cutReceived(raw string) (field, rest string) {
	for at := 0; ; {
		end := strings.Index(raw[at:], "\r\n")
		if end < 0 {
			return raw, ""
		}
		at += end + 2
		if !strings.HasPrefix(raw[at:], "\t") {
			return raw[:at], raw[at:]
		}
	}
}

// unlimited has no limit on what these tests do many times.
func unlimited(s *smtpd.Server) {
	s.MaxErrors, s.MaxIdleCommands, s.MaxTransactions = -1, -1, -1
}

// No false end ends a message, so nothing behind it is a command; the message is refused at its true end if it has a flaw, and
// the stream is in step afterwards. Every octet of what is sent is once the first of a read.
func TestSmuggling(t *testing.T) {
	const body = "Subject: one\r\n\r\nbody"
	for _, end := range falseEnds {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			inWorld(t, unlimited, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				text := body + end + smuggled + "\r\n.\r\n"
				codes, _ := standard(text)
				require.Len(w.t, codes, 1, "no end within the message")
				for _, pipelined := range []bool{false, true} {
					for at := range text {
						w.data(c, text, at, pipelined)
					}
				}
				c.Talk("C: QUIT\nS* 221\nS$\n")
			})
		})
	}
}

// All sequences of CR, LF, dot, NUL and a letter, in the middle of a line, at its begin and at the begin of the message.
func TestSmugglingEverySequence(t *testing.T) {
	for name, front := range map[string]string{
		"in a line": "Subject: one\r\n\r\nbody", "behind a line": "Subject: one\r\n\r\nbody\r\n", "first": "",
	} {
		for n := 1; n <= maxSequence; n++ {
			t.Run(fmt.Sprintf("%s, of %d", name, n), func(t *testing.T) {
				inWorld(t, unlimited, func(w *world) {
					c := w.dial("203.0.113.9")
					c.Talk(hello)
					for i, sequence := range sequences(n) {
						text := front + sequence + smuggled + "\r\n.\r\n"
						for at := range n + 1 {
							if n < maxSequence || at == i%(n+1) {
								w.data(c, text, len(front)+at, (i+at)%2 == 0)
							}
						}
					}
					c.Talk("C: QUIT\nS* 221\nS$\n")
				})
			})
		}
	}
}

// CR CR LF "." CR LF does hold the end of a message, and a bare CR before it.
func TestBareCRBeforeTheEnd(t *testing.T) {
	inWorld(t, unlimited, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello)
		const text = "Subject: one\r\n\r\nbody\r\r\n.\r\n"
		codes, _ := standard(text)
		require.Equal(w.t, []string{"550"}, codes)
		for at := range text {
			w.data(c, text, at, at%2 == 0)
		}
	})
}

func TestSmugglingIsStoredAsTextWhenRepaired(t *testing.T) {
	for _, end := range falseEnds {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.BareLineEnds = smtpd.RepairBareLineEnds }, func(w *world) {
				w.talk(toData + fmt.Sprintf(`
					R: %q
					S: 250 2.0.0 Ok: queued as *
					C: NOOP
					S: 250 2.0.0 Ok
				`, "Subject: one\r\n\r\nbody"+end+smuggled+"\r\n.\r\n"))
				require.Len(w.t, w.messages(), 1)
				text := string(w.messages()[0].Raw)
				require.Contains(w.t, text, "\r\nSubject: smuggled\r\n\r\nx\r\n")
				require.NotRegexp(w.t, "[^\r]\n|\r[^\n]|\x00", text)
			})
		})
	}
}

// A message may begin as a command does, also where it is read into the place of the command before it.
func TestAMessageIsNoCommand(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, text := range []string{"BDAT 5 LAST", "BDAT\t5", " BDAT 5", "QUIT", "GET / HTTP/1.1", "AUTH PLAIN"} {
			w.talk(toData + "C: " + text + "\nC: .\nS* 250\nC: NOOP\nS* 250\n")
		}
		require.Len(w.t, w.messages(), 6)
	})
}
