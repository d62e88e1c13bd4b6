package smtpd_test

import (
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

// chunkCommand is BDAT (RFC 3030 §2).
var chunkCommand = regexp.MustCompile(`^(?i:BDAT) ([0-9]+)( (?i:LAST))?[ \t]*\r\n$`)

// chunk is BDAT and the octets behind it.
func (m *model) chunk(line int, number string, last bool) unit {
	size, err := strconv.Atoi(number)
	if err != nil || size > modelMaxChunk {
		return one(line, func(_ string, reply reply) {
			m.expect(reply, "a chunk too large", "503", "552", "554")
			m.mode = over
		})
	}
	if size > len(m.in)-line {
		return unit{} // there is more to come
	}
	octets, tx := line+size, m.tx
	switch {
	case !m.extended, tx == nil:
		return one(octets, func(_ string, reply reply) {
			m.expect(reply, "BDAT", "503")
			if tx != nil {
				m.refused(reply.code, last)
			}
		})
	case tx.failed, len(tx.drops) == 0:
		replies := 1
		if m.options.lmtp && last {
			replies = len(tx.drops) // which may be none: RFC 2033 §4.3
		}
		return unit{octets, replies, func(_ string, replies []reply) {
			if tx.failed {
				m.expectAll(replies, "BDAT behind a refusal", tx.code)
			}
			m.expectAll(replies, "BDAT", "503", "554", tx.code)
			code := ""
			if len(replies) > 0 {
				code = replies[0].code
			}
			m.refused(code, last)
		}}
	}
	text := string(m.in[line:octets])
	if tx.chunks != nil {
		text = *tx.chunks + text
	}
	if flaws := m.flaws(text, last); len(flaws) > 0 {
		replies := 1
		if m.options.lmtp && last {
			replies = len(tx.drops)
		}
		return unit{octets, replies, func(_ string, replies []reply) {
			m.expectAll(replies, "a chunk with a flaw", flaws...)
			m.refused(replies[0].code, last)
		}}
	}
	if !last {
		return one(octets, func(_ string, reply reply) {
			m.expect(reply, "BDAT", "250")
			tx.chunks = &text
		})
	}
	if text != "" && !strings.HasSuffix(text, "\r\n") && !tx.binary {
		text += "\r\n" // the last line gets its end
	}
	return m.message(octets, text)
}

// refused is a chunk that was not taken, and with which code.
func (m *model) refused(code string, last bool) {
	m.tx.failed, m.tx.code, m.tx.chunks = true, code, new(string)
	if last {
		m.tx = nil
	}
}

// flaws are the codes with which a message has to be refused for what it is. whole says that it is all there.
func (m *model) flaws(text string, whole bool) (codes []string) {
	if len(text) > modelMaxSize {
		return []string{"552"}
	}
	if m.tx != nil && m.tx.binary { // of which only the header is lines
		end := strings.Index("\r\n"+text, "\r\n\r\n")
		if end >= 0 {
			text = text[:end]
		}
		whole = whole || end >= 0
	}
	if !whole { // the line end may be still to come
		text = strings.TrimSuffix(text, "\r")
	}
	end := "\r\n"
	if m.options.repair {
		end = "\n"
	}
	for line := range strings.SplitSeq(text, end) {
		if len(line) > modelMaxLine && (!m.options.repair || len(strings.TrimSuffix(line, "\r")) > modelMaxLine) {
			codes = append(codes, "554")
			break
		}
	}
	if hasBare(text) && !m.options.repair {
		codes = append(codes, "550")
	}
	return codes
}

// message is one that came to its end with the next octets.
func (m *model) message(octets int, text string) unit {
	replies := 1
	if m.options.lmtp {
		replies = len(m.tx.drops)
	}
	return unit{octets, replies, func(_ string, replies []reply) { m.answered(text, replies) }}
}

// answered is a message that was answered, in LMTP for each recipient.
func (m *model) answered(text string, replies []reply) {
	tx, flaws := m.tx, m.flaws(text, true)
	m.tx, m.mode = nil, reading
	hops := regexp.MustCompile(`(?i)(^|[\r\n])received:`).FindAllString(text, -1)
	switch {
	case len(flaws) > 0:
		m.expectAll(replies, "a message with a flaw", flaws...)
		return
	case len(hops) >= modelMaxHops && replies[0].code == "554": // it may be that they are not in the header
		require.Contains(m.t, replies[0].lines[0], "5.4.6")
		return
	case len(tx.rcpts) == 0:
		m.expectAll(replies, "a message to throw away", "250")
		return
	}
	require.NotEmpty(m.t, m.got.calls, "the Handler was not asked: %q", replies)
	call := m.got.calls[0]
	m.got.calls = m.got.calls[1:]
	m.sameAs(call, tx, text)
	if !m.options.lmtp {
		m.expect(replies[0], "a message", call.code)
		return
	}
	first := true
	for i, reply := range replies {
		switch {
		case tx.drops[i]:
			m.expect(reply, "a message", "250")
		case call.mixed && !first:
			m.expect(reply, "a message", "250")
		default:
			m.expect(reply, "a message", call.code)
			first = false
		}
	}
}

// sameAs compares what the Handler was given with what was sent.
func (m *model) sameAs(call call, tx *modelTx, text string) {
	field, got := cutReceived(call.text)
	require.Regexp(m.t, `^Received: from `, field)
	if m.options.repair && hasBare(text) && !tx.binary {
		require.False(m.t, hasBare(got))
	} else {
		if strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t") {
			got = strings.TrimPrefix(got, "\r\n") // what begins with a fold is no header
		}
		require.Equal(m.t, text, withoutSeparator(got, text))
	}
	require.Equal(m.t, tx.from, call.env.From)
	var rcpts []string
	for _, rcpt := range call.env.Recipients {
		rcpts = append(rcpts, rcpt.Address)
	}
	require.Equal(m.t, tx.rcpts, rcpts)
	require.Equal(m.t, m.secure, call.env.Peer.TLS != nil)
	if !m.proxied {
		require.Equal(m.t, m.hello, call.env.Peer.Hello)
		require.Equal(m.t, m.loggedIn, call.env.Peer.Identity != nil)
	}
}

// withoutSeparator takes off the blank line that stands between the trace field and a text that has no header.
func withoutSeparator(got, text string) string {
	if rest, found := strings.CutPrefix(got, "\r\n"); found && rest == text {
		return rest
	}
	return got
}

// blind looks at messages whose replies nobody waited for.
func (m *model) blind() {
	for _, call := range m.got.calls {
		_, got := cutReceived(call.text)
		if m.options.repair || call.code != "250" {
			continue
		}
		stuffed := strings.ReplaceAll("\r\n"+got, "\r\n.", "\r\n..")[2:] + ".\r\n"
		whole := string(m.all)
		sent := strings.Contains(whole, stuffed) || strings.Contains(whole, strings.TrimPrefix(stuffed, "\r\n"))
		require.True(m.t, sent, "%q was not sent", got)
	}
}

// readText reads a message.
func readText(msg *mailbricks.Message) (string, error) {
	raw, err := io.ReadAll(msg.Reader())
	return string(raw), err
}
