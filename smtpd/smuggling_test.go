package smtpd_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// smuggled is what an attacker would like to be taken for commands.
const smuggled = "MAIL FROM:<smuggled@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"

// falseEnds are byte sequences that some programs take for the end of a message. None of them is.
var falseEnds = []string{
	"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\n.\x00\r\n", "\r\n\x00.\r\n",
	"\n\n.\n\n", "\r\r.\r\r", "\n.\r\r\n", "\n\r.\r\n", "\r\n\x00.\n", "\r\n.\x00\n", "\x00\r\n.\n", "\r\x00\n.\r\n", "\r\n.\r\x00\n",
	"\r.\r\n\n.\n", "\n.\n\r.\r", "\r\n. \r\n", "\r\n.\t\r\n", "\r\n..\r\n", "\r\n.\v\r\n", "\r\n.\f\n", "\r\n.\x1a", "\r\n\x1a\r\n",
	"\u2028.\u2028", "\u0085.\u0085", "\r\n\ufeff.\r\n", "\r\n\u200b.\r\n", "\xff\r\n.\xff\r\n", "\r\n%0d%0a.%0d%0a", "\n.\r\n.\n",
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
	for name, front := range map[string]string{"in a line": "Subject: one\r\n\r\nbody", "behind a line": "Subject: one\r\n\r\nbody\r\n", "first": ""} {
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
					require.Contains(w.t, []string{"250 550", "550 503"}, codes[0]+" "+codes[1], "%q", sequence)
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
		"after another error": {"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nBDAT 1\r\n\n", "250 250 250 550 503"},
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
		"BDAT", "BDAT LAST", "BDAT x", "BDAT -1", "BDAT +5", "BDAT 5.0", "BDAT 0x5", "BDAT 5 FIRST", "BDAT 5LAST", "BDAT 5 LAST LAST", "BDAT 5,LAST",
		"BDAT 9223372036854775808", "BDAT 99999999999999999999999 LAST", "BDAT 9223372036854775807 LAST",
	} {
		t.Run(command, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.talk(mailTo + fmt.Sprintf("R: %q\nS: 5*\nS$\n", command+"\r\n"+smuggled+"\r\n.\r\n"))
				require.Empty(w.t, w.messages())
			})
		})
	}
}

// A message that falls silent, breaks off or is cut anywhere is not accepted, and what comes after it is no command: not even
// the end of the message, once its time is over.
func TestMessagesThatStop(t *testing.T) {
	ca := mailtest.NewCA()
	for _, how := range []struct{ name, mail, text string }{
		{"DATA", toData, "Subject: one\r\n\r\n..body\r\n.\r\n"},
		{"BDAT", mailTo, "BDAT 28 LAST\r\nSubject: one\r\n\r\n..body\r\n.\r\n"},
		{"chunks", mailTo + "C: BDAT 14\nC: Subject: one\nS: 250 2.0.0 *\n", "BDAT 0\r\nBDAT 5\r\n\r\nx\r\nBDAT 2 LAST\r\n\r\n"},
	} {
		for _, secure := range []bool{false, true} {
			for at := range how.text {
				for name, stop := range stops {
					t.Run(fmt.Sprintf("%s, %s behind %q, TLS %v", how.name, name, how.text[:at], secure), func(t *testing.T) {
						inWorld(t, withTLS(ca), func(w *world) {
							c := w.dial("203.0.113.9")
							raw := c.Conn.(*mailtest.Conn)
							c.Talk(hello)
							if secure {
								c.Talk("C: STARTTLS\nS* 220\n")
								c.startTLS(ca.ClientConfig("mail.example.com"))
								c.Talk("C: EHLO client.example.net\nS* 250\n")
							}
							c.Talk(how.mail[len(hello):])
							c.write(how.text[:at])
							synctest.Wait()
							for c.Reader.Buffered() > 0 { // of chunks before
								require.Equal(w.t, "250", c.reply())
							}
							stop(c, raw, how.text[at:]+smuggled+"\r\n.\r\n")
							require.Empty(w.t, w.messages())
						})
					})
				}
			}
		}
	}
}

// stops are the ways in which a client stops, and then goes on with rest if it can. The replies to chunks that came to their
// end and one last word is all that it may hear.
var stops = map[string]func(c client, raw *mailtest.Conn, rest string){
	"silence": func(c client, _ *mailtest.Conn, rest string) {
		time.Sleep(smtpd.DefaultCommandTimeout + time.Millisecond)
		_, _ = io.WriteString(c.Conn, rest) // it may be too late for that
		c.lastWords("421 4.4.2")
	},
	"end of input": func(c client, _ *mailtest.Conn, _ string) {
		require.NoError(c.T, c.Conn.(interface{ CloseWrite() error }).CloseWrite()) // over TLS: with close_notify
		c.lastWords("")
	},
	"end of the connection": func(c client, raw *mailtest.Conn, _ string) {
		require.NoError(c.T, raw.CloseWrite()) // over TLS: without close_notify
		c.lastWords("")
	},
	"reset": func(_ client, raw *mailtest.Conn, _ string) { raw.Reset() },
}

// lastWords reads to the end: replies of success to what came before, and then one that begins like last.
func (c client) lastWords(last string) {
	c.T.Helper()
	said, err := io.ReadAll(c.Reader)
	require.NoError(c.T, err)
	lines := strings.Split(strings.TrimSuffix(string(said), "\r\n"), "\r\n")
	if last != "" {
		require.True(c.T, strings.HasPrefix(lines[len(lines)-1], last), "%q", said)
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		require.True(c.T, line == "" || strings.HasPrefix(line, "250 2.0.0 Ok: ") && strings.HasSuffix(line, " received"), "%q", said)
	}
}

func TestHalfACommandIsNone(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(toData + "C: .\nS* 250\nR: \"MAIL FROM:<a@example.net>\"\nH:\nS$\n")
	})
}

// What comes with STARTTLS, or after it in clear, may have been put there by someone in the middle: nothing of it is served,
// neither in clear nor as if it had been encrypted.
func TestInputBehindSTARTTLS(t *testing.T) {
	ca := mailtest.NewCA()
	for name, behind := range map[string]string{
		"a command":       "NOOP\r\n",
		"half a command":  "N",
		"a line end":      "\r\n",
		"a NUL":           "\x00",
		"a hello":         "EHLO injected.example\r\n",
		"a transaction":   "EHLO injected.example\r\n" + smuggled + "\r\n.\r\n",
		"STARTTLS twice":  "STARTTLS\r\n",
		"a TLS handshake": "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, withTLS(ca), func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				c.write("STARTTLS\r\n" + behind)
				c.Talk("S: 503 5.5.1 Input after STARTTLS, closing\nS$\n")

				c = w.dial("203.0.113.9")
				c.Talk(hello + "C: STARTTLS\nS: 220 2.0.0 Ready to start TLS\n")
				c.write(behind)
				time.Sleep(smtpd.DefaultTLSTimeout + time.Second)
				said, err := io.ReadAll(c.Reader)
				require.NoError(w.t, err)
				require.NotRegexp(w.t, `[2345][0-9][0-9][ -]`, string(said), "nothing but a TLS alert")
				require.Empty(w.t, w.messages())
			})
		})
	}
}

// A line is stored octet for octet up to the named maximum, wherever a read ends.
func TestLineLengths(t *testing.T) {
	for _, length := range []int{998, 999, 4095, 4096, 8191, 8192, 32767, 32768, smtpd.DefaultMaxLineLength - 1, smtpd.DefaultMaxLineLength} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			inWorld(t, unlimited, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				// The line is behind as much as makes its CR the first or last octet of a buffer, and it is read in two
				// parts that meet around its line end.
				for _, border := range []int{4 << 10, 32 << 10} {
					for shift := -2; shift <= 2; shift++ {
						front := "X:" + strings.Repeat("f", (2*border-length%border+shift-4)%border) + "\r\n"
						line := strings.Repeat("x", length-2) + ".\x01"
						text := front + line + "\r\n.\r\n"
						end := len(front) + length
						for at := end - 1; at <= end+5; at++ {
							w.data(c, text, at, at%2 == 0)
						}
					}
				}
				text := "." + strings.Repeat(".", length) + "\r\n.\r\n" // the dot that is taken out does not count
				for at := range 3 {
					w.data(c, text, at, false)
				}
			})
		})
	}
}

func TestLineLongerThanTheMaximum(t *testing.T) {
	for name, line := range map[string]string{
		"one more":         strings.Repeat("x", smtpd.DefaultMaxLineLength+1),
		"twice the length": strings.Repeat("x", 2*smtpd.DefaultMaxLineLength),
		"a dot more":       strings.Repeat(".", smtpd.DefaultMaxLineLength+2),
		"a bare LF in it":  strings.Repeat("x", smtpd.DefaultMaxLineLength) + "\n" + "x",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, unlimited, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				for _, at := range []int{1, len(line) - 1, len(line), len(line) + 1} {
					c.Talk(toData[len(hello):])
					c.write(line[:min(at, len(line))])
					synctest.Wait()
					c.write((line + "\r\n.\r\nNOOP\r\n")[min(at, len(line)):])
					c.Talk("S: 55* 5.*\nS: 250 2.0.0 Ok\n")
				}
				require.Empty(w.t, w.messages())
			})
		})
	}
}
