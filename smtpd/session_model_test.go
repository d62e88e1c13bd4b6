package smtpd_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

// model is what a client can tell of a server from the standards alone. It goes through what was said on both sides, command by
// command, and fails the test where a reply is missing, is one too many or does not fit; where a message was accepted that did
// not come to its end, or is not what was sent; and where the server does not close although it said so.
type model struct {
	t        *testing.T
	in       []byte // sent and not yet looked at
	all      []byte // all that was sent
	out      []byte // heard and not yet looked at
	got      *gathered
	options  options
	written  int // octets of the last write
	slept    time.Duration
	requests int  // commands so far
	refusals int  // replies that were no success
	flawed   bool // the last reply was that to a message with a bare line end or NUL, which is an error, too

	mode     mode
	secure   bool
	loggedIn bool
	behind   bool // XCLIENT has said for whom the client speaks
	proxied  bool // and whatever it is of hello and loggedIn
	extended bool
	hello    string
	tx       *modelTx
	unopened bool // MAIL was refused
}

// mode is what the server reads next.
type mode int

const (
	toGreet mode = iota
	reading      // a command
	inAuth       // a response
	inData       // a message
	toTLS        // a handshake
	over         // nothing more
)

// modelTx is a transaction.
type modelTx struct {
	from   string
	binary bool
	rcpts  []string // those that the Handler is to get
	drops  []bool   // for each successful RCPT, whether its mail is thrown away
	chunks *string  // what came by BDAT; nil: nothing
	bad    bool     // some recipient was refused
	failed bool     // a chunk was refused
	code   string   // with which
}

// gathered is what the embedder's side of the server has seen.
type gathered struct {
	mails []string // MAIL: the senders that the check was asked about
	rcpts []string // RCPT: the recipients
	calls []call   // of the Handler
}

// call is one of the Handler's.
type call struct {
	env  mailbricks.Envelope
	text string
	code string // what the client has to be told
	// mixed says that code is for the first recipient only, where there is a reply for each.
	mixed bool
}

// limits of the server that the model knows.
const (
	modelMaxSize = 2000
	modelMaxLine = 1000
	modelMaxHops = 5
	longestLine  = 12288
	// modelMaxChunk is the largest chunk that may be read although it is refused.
	modelMaxChunk = 60 << 20
	// oneRead is how much of a write arrives together.
	oneRead = 1024
	// suspicious is how many refusals there must have been before a limit may close the session.
	suspicious = 2
)

// run goes on as far as it can. settled says that the server has had time to answer all that was sent.
func (m *model) run(settled bool) {
	for m.mode != over {
		u := m.unit()
		if u.judge == nil { // nothing to be answered
			break
		}
		replies := m.replies(u.replies)
		if replies == nil {
			require.False(m.t, settled, "no reply to %q", m.in[:u.octets])
			break
		}
		unit := string(m.in[:u.octets])
		m.in = m.in[u.octets:]
		m.requests++
		closed := false
		for _, reply := range replies {
			closed = closed || reply.code == "421"
			if reply.code >= "400" && !m.follows(unit, reply) {
				m.refusals++
			}
		}
		if asked := len(m.got.calls) > 0 && m.got.calls[0].code == "421"; !closed || asked || len(replies) > 1 {
			u.judge(unit, replies)
		}
		m.flawed = false
		if n := len(replies); n > 0 { // LMTP has none for a message that nobody is to get
			m.flawed = replies[n-1].code == "550" && strings.Contains(replies[n-1].lines[0], "5.5.2")
		}
		if closed {
			m.closing(replies)
		}
	}
	m.unasked()
}

// unasked looks at what the server says unasked: that it has waited too long, or that a message was one error too many.
func (m *model) unasked() {
	most := 1
	if m.options.lmtp && (m.mode == inData || m.chunking()) {
		most = len(m.tx.drops)
	}
	for m.mode != over && most > 0 {
		reply := m.replies(1)
		if reply == nil {
			break
		}
		require.Equal(m.t, "421", reply[0].code, "a reply to nothing: %q", reply[0].lines)
		if m.flawed && strings.Contains(reply[0].lines[0], "4.7.0 Too many errors") { // behind the last one allowed
			m.closing(reply)
			break
		}
		require.Contains(m.t, reply[0].lines[0], "4.4.2")
		require.GreaterOrEqual(m.t, m.slept, time.Minute)
		if most--; most == 0 || len(m.out) == 0 {
			m.mode = over
		}
	}
	if m.mode == over {
		require.Empty(m.t, m.out, "a word after the last")
	}
}

// chunking says whether a message comes by BDAT.
func (m *model) chunking() bool { return m.tx != nil && m.tx.chunks != nil }

// closing is a 421 in answer to something.
func (m *model) closing(replies []reply) {
	why := m.refusals > suspicious || m.requests > 100 || m.slept > time.Minute || strings.Contains(string(m.all), "close")
	require.True(m.t, why, "closed for no reason: %q", replies)
	m.mode = over
}

// unit is what asks for a reply.
type unit struct {
	octets  int // of what was sent
	replies int
	judge   func(unit string, replies []reply)
}

// one is a unit that has one reply.
func one(octets int, judge func(unit string, reply reply)) unit {
	return unit{octets, 1, func(unit string, replies []reply) { judge(unit, replies[0]) }}
}

// unit is the next one.
func (m *model) unit() unit {
	switch m.mode {
	case toGreet:
		return one(0, func(_ string, reply reply) {
			m.expect(reply, "the greeting", "220")
			m.mode = reading
		})
	case inData:
		text, rest, ended := dataOf(string(m.in))
		if !ended {
			return unit{}
		}
		return m.message(len(m.in)-len(rest), text)
	case reading, inAuth:
		lf := bytes.IndexByte(m.in, '\n')
		switch {
		case lf >= longestLine, lf < 0 && len(m.in) >= longestLine:
			return one(len(m.in), func(_ string, reply reply) {
				m.expect(reply, "a line too long", "500")
				m.mode = over
			})
		case lf < 0:
			return unit{}
		case m.mode == inAuth:
			return one(lf+1, func(_ string, reply reply) { m.auth(reply) })
		}
		if chunk := chunkCommand.FindStringSubmatch(string(m.in[:lf+1])); chunk != nil && lf < 512 {
			return m.chunk(lf+1, chunk[1], chunk[2] != "")
		}
		return one(lf+1, m.command)
	}
	return unit{}
}

// follows says whether a refusal is only what another one entails: no limit may close the session for that soon.
func (m *model) follows(unit string, reply reply) bool {
	word := strings.ToUpper(unit[:min(len(unit), 4)])
	if m.unopened {
		return reply.code == "503" && (word == "RCPT" || word == "DATA" || word == "BDAT")
	}
	none := m.tx != nil && m.tx.bad && len(m.tx.drops) == 0
	return none && (reply.code == "503" || reply.code == "554") && (word == "DATA" || word == "BDAT")
}

// must fails the test if ok is false. It is here because require takes its time where all is well, too.
func (m *model) must(ok bool, format string, args ...any) {
	if !ok {
		m.t.Helper()
		m.t.Fatalf(format, args...)
	}
}

// expect fails the test if a reply is none of those that can be.
func (m *model) expect(reply reply, to string, codes ...string) {
	m.must(slices.Contains(codes, reply.code), "reply to %q is none of %v: %q", to, codes, reply.lines)
}

// expectAll is expect for each of many.
func (m *model) expectAll(replies []reply, to string, codes ...string) {
	for _, reply := range replies {
		m.expect(reply, to, codes...)
	}
}

// end is the end of the session. blind says that the client did not wait for the last replies.
func (m *model) end(blind, closed bool) {
	if blind {
		m.blind()
		return
	}
	require.True(m.t, closed, "the server does not close")
	require.Empty(m.t, m.got.calls, "messages that nobody sent")
	if m.mode == toTLS {
		return // an alert may come
	}
	require.Empty(m.t, m.out, "part of a reply")
}

// reply is one of the server's.
type reply struct {
	code  string
	lines []string
}

var (
	// replyLine is every line that the server may send (RFC 5321 §4.2).
	replyLine = regexp.MustCompile(`^[2-5][0-5][0-9][ -][\t -~\x80-\xff]*$`)
	// enhanced is what its text begins with, but in the replies that have none (RFC 2034 §4).
	enhanced = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3} `)
)

// replies takes the next n whole replies off what was heard; nil: they are not all there.
func (m *model) replies(n int) []reply {
	out, all := m.out, make([]reply, 0, n)
	for range n {
		reply, ok := m.reply()
		if !ok {
			m.out = out
			return nil
		}
		all = append(all, reply)
	}
	return all
}

// reply takes the next whole reply off what was heard.
func (m *model) reply() (r reply, ok bool) {
	out := m.out
	for {
		line, rest, found := bytes.Cut(out, []byte("\r\n"))
		if !found || m.mode == toTLS {
			return r, false
		}
		out = rest
		text := string(line)
		m.must(replyLine.MatchString(text) && len(text)+2 <= 512, "no line of a reply: %q", text)
		if r.code == "" {
			r.code = text[:3]
		}
		m.must(r.code == text[:3], "all lines of a reply have one code: %q", text)
		r.lines = append(r.lines, text)
		if text[3] == ' ' {
			break
		}
	}
	m.out = out
	if hasNone := r.code[0] == '3' || strings.HasPrefix(r.lines[0][4:], "mail.example.com"); !hasNone {
		for _, line := range r.lines {
			m.must(enhanced.MatchString(line[4:]+" ") && line[0] == line[4], "no enhanced code of the class: %q", line)
		}
	}
	return r, true
}
