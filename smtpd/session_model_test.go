package smtpd_test

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
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
	requests int // commands so far
	refusals int // replies that were no success

	mode     mode
	secure   bool
	loggedIn bool
	extended bool
	hello    string
	tx       *modelTx
	badRcpts bool // some recipient was refused by a check
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
	rcpts  []string // those that the Handler is to get
	drops  []bool   // for each successful RCPT, whether its mail is thrown away
	chunks *string  // what came by BDAT; nil: nothing
	failed bool     // a chunk was refused
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
			if reply.code >= "400" {
				m.refusals++
			}
		}
		if asked := len(m.got.calls) > 0 && m.got.calls[0].code == "421"; !closed || asked || len(replies) > 1 {
			u.judge(unit, replies)
		}
		if closed {
			m.closing(replies)
		}
	}
	m.unasked()
}

// unasked looks at what the server says unasked: that it has waited too long.
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
		return one(octets, func(_ string, reply reply) { m.expect(reply, "BDAT", "503") })
	case tx.failed, len(tx.drops) == 0:
		replies := 1
		if m.options.lmtp && last {
			replies = len(tx.drops) // which may be none: RFC 2033 §4.3
		}
		return unit{octets, replies, func(_ string, replies []reply) {
			m.expectAll(replies, "BDAT", "503", "554")
			m.refused(last)
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
			m.refused(last)
		}}
	}
	if !last {
		return one(octets, func(_ string, reply reply) {
			m.expect(reply, "BDAT", "250")
			tx.chunks = &text
		})
	}
	if text != "" && !strings.HasSuffix(text, "\r\n") {
		text += "\r\n" // the last line gets its end
	}
	return m.message(octets, text)
}

// refused is a chunk that was not taken.
func (m *model) refused(last bool) {
	m.tx.failed, m.tx.chunks = true, new(string)
	if last {
		m.tx = nil
	}
}

// command is one that was answered.
func (m *model) command(line string, reply reply) {
	body, crlf := strings.CutSuffix(line, "\r\n")
	word, arg, _ := strings.Cut(strings.TrimRight(body, " \t"), " ")
	word = strings.ToUpper(word)
	longest := map[string]int{"MAIL": 2048, "RCPT": 2048, "AUTH": longestLine}[word]
	isControl := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	switch {
	case !crlf, strings.ContainsFunc(body, isControl), len(line) > max(512, longest):
		m.expect(reply, line, "500")
		return
	}
	switch word {
	case "EHLO", "HELO", "LHLO":
		if m.options.lmtp != (word == "LHLO") {
			m.expect(reply, line, "500")
			return
		}
		m.greeting(word, arg, reply)
	case "MAIL":
		m.mail(arg, reply)
	case "RCPT":
		m.rcpt(arg, reply)
	case "DATA":
		m.data(arg, reply)
	case "RSET":
		m.plain(reply, line, "250", arg == "")
		if arg == "" {
			m.tx = nil
		}
	case "QUIT":
		m.plain(reply, line, "221", arg == "")
		if arg == "" {
			m.mode = over
		}
	case "NOOP":
		m.expect(reply, line, "250")
	case "HELP":
		m.expect(reply, line, "214")
	case "VRFY":
		m.plain(reply, line, "252", arg != "")
	case "STARTTLS":
		m.startTLS(arg, reply)
	case "AUTH":
		if !m.extended || m.tx != nil || m.loggedIn {
			m.expect(reply, line, "503")
			return
		}
		m.auth(reply)
	case "BDAT": // malformed: nobody knows what follows
		m.expect(reply, line, "501")
		m.mode = over
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI":
		m.expect(reply, line, "502")
		m.mode = over
	default:
		m.expect(reply, line, "500", "502")
	}
}

// plain is a command that does what it should, or has a malformed argument.
func (m *model) plain(reply reply, line, code string, good bool) {
	if !good {
		code = "501"
	}
	m.expect(reply, line, code)
}

func (m *model) greeting(verb, arg string, reply reply) {
	m.expect(reply, verb, "250", "501")
	if reply.code != "250" {
		return
	}
	m.hello, _, _ = strings.Cut(strings.TrimLeft(arg, " "), " ")
	m.extended, m.tx = verb != "HELO", nil
	require.NotEmpty(m.t, m.hello)
	require.Equal(m.t, "250", reply.lines[0][:3])
	require.Equal(m.t, "mail.example.com", reply.lines[0][4:])
	offers := map[string]bool{}
	for _, line := range reply.lines[1:] {
		word, _, _ := strings.Cut(line[4:], " ")
		require.False(m.t, offers[word], "%s is offered twice", word)
		offers[word] = true
	}
	require.Equal(m.t, m.extended && !m.secure, offers["STARTTLS"])
	require.Equal(m.t, m.extended && !m.loggedIn, offers["AUTH"])
	require.Equal(m.t, m.extended, offers["PIPELINING"])
	require.Equal(m.t, m.extended, offers["CHUNKING"])
}

func (m *model) mail(arg string, reply reply) {
	switch {
	case m.hello == "", m.tx != nil && !m.tx.failed:
		m.expect(reply, "MAIL", "503")
		return
	case m.options.requireAuth && !m.loggedIn:
		m.expect(reply, "MAIL", "530")
		return
	}
	m.expect(reply, "MAIL", "250", "501", "550", "552", "555")
	if reply.code != "250" {
		return
	}
	require.Regexp(m.t, `^(?i)FROM: *<`, arg)
	m.tx = &modelTx{from: m.pop(&m.got.mails)}
	require.Contains(m.t, arg, m.tx.from[strings.LastIndex(m.tx.from, "@")+1:])
}

// pop takes the first of what the embedder's side has seen: what is accepted was asked about.
func (m *model) pop(seen *[]string) string {
	require.NotEmpty(m.t, *seen, "accepted without being asked about")
	first := (*seen)[0]
	*seen = (*seen)[1:]
	return first
}

func (m *model) rcpt(arg string, reply reply) {
	if m.tx == nil || m.tx.chunks != nil {
		m.expect(reply, "RCPT", "503")
		return
	}
	m.expect(reply, "RCPT", "250", "501", "550", "553", "555", "451", "452")
	switch {
	case reply.code == "250":
		require.Regexp(m.t, `^(?i)TO: *<`, arg)
		rcpt := m.pop(&m.got.rcpts)
		drop := strings.HasPrefix(rcpt, "drop@")
		m.tx.drops = append(m.tx.drops, drop)
		if !drop {
			m.tx.rcpts = append(m.tx.rcpts, rcpt)
		}
	case reply.code == "550", reply.code == "451":
		m.badRcpts = true
		require.Regexp(m.t, "^(bad|later|panic)@", m.pop(&m.got.rcpts))
	}
}

func (m *model) data(arg string, reply reply) {
	none := m.tx != nil && len(m.tx.drops) == 0
	switch {
	case m.tx == nil, none && (!m.badRcpts || m.options.lmtp), !none && m.tx.chunks != nil:
		m.expect(reply, "DATA", "503")
	case none:
		m.expect(reply, "DATA", "554")
	case arg != "":
		m.expect(reply, "DATA", "501")
	default:
		m.expect(reply, "DATA", "354")
		m.mode = inData
	}
}

// flaws are the codes with which a message has to be refused for what it is. whole says that it is all there.
func (m *model) flaws(text string, whole bool) (codes []string) {
	if len(text) > modelMaxSize {
		return []string{"552"}
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
	tx := m.tx
	m.tx, m.mode = nil, reading
	flaws := m.flaws(text, true)
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
	if m.options.repair && hasBare(text) {
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
	require.Equal(m.t, m.hello, call.env.Peer.Hello)
	require.Equal(m.t, m.secure, call.env.Peer.TLS != nil)
	require.Equal(m.t, m.loggedIn, call.env.Peer.Identity != nil)
}

// withoutSeparator takes off the blank line that stands between the trace field and a text that has no header.
func withoutSeparator(got, text string) string {
	if rest, found := strings.CutPrefix(got, "\r\n"); found && rest == text {
		return rest
	}
	return got
}

func (m *model) startTLS(arg string, reply reply) {
	switch {
	case m.secure, !m.extended, m.tx != nil:
		m.expect(reply, "STARTTLS", "503")
	case arg != "":
		m.expect(reply, "STARTTLS", "501")
	case reply.code == "503":
		require.NotEmpty(m.t, m.in, "nothing was behind STARTTLS")
		m.mode = over
	default:
		m.expect(reply, "STARTTLS", "220")
		together := len(m.in) > 0 && len(m.in) < m.written && m.written <= oneRead
		require.False(m.t, together, "what came with STARTTLS is not noticed")
		m.mode = toTLS
	}
}

// handshaken begins anew, with TLS.
func (m *model) handshaken() {
	m.secure, m.mode = true, reading
	m.hello, m.extended, m.loggedIn, m.tx = "", false, false, nil
}

func (m *model) auth(reply reply) {
	m.expect(reply, "AUTH", "235", "334", "501", "504", "535", "454")
	m.mode = reading
	switch reply.code {
	case "334":
		m.mode = inAuth
	case "235":
		m.loggedIn = true
	}
}

// expect fails the test if a reply is none of those that can be.
func (m *model) expect(reply reply, to string, codes ...string) {
	require.Contains(m.t, codes, reply.code, "reply to %q: %q", to, reply.lines)
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

// blind looks at messages whose replies nobody waited for.
func (m *model) blind() {
	for _, call := range m.got.calls {
		_, got := cutReceived(call.text)
		if m.options.repair || call.code != "250" {
			continue
		}
		stuffed := strings.ReplaceAll("\r\n"+got, "\r\n.", "\r\n..")[2:] + ".\r\n"
		whole := string(m.all)
		require.True(m.t, strings.Contains(whole, stuffed) || strings.Contains(whole, strings.TrimPrefix(stuffed, "\r\n")), "%q was not sent", got)
	}
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
		require.Regexp(m.t, replyLine, text)
		require.LessOrEqual(m.t, len(text)+2, 512)
		if r.code == "" {
			r.code = text[:3]
		}
		require.Equal(m.t, r.code, text[:3], "all lines of a reply have one code")
		r.lines = append(r.lines, text)
		if text[3] == ' ' {
			break
		}
	}
	m.out = out
	if hasNone := r.code[0] == '3' || m.mode == toGreet || r.code == "250" && r.lines[0][4:] == "mail.example.com"; !hasNone {
		for _, line := range r.lines {
			require.Regexp(m.t, enhanced, line[4:]+" ")
			require.Equal(m.t, line[0], line[4], "the class of the enhanced code is that of the reply")
		}
	}
	return r, true
}

// readText reads a message.
func readText(msg *mailbricks.Message) (string, error) {
	raw, err := io.ReadAll(msg.Reader())
	return string(raw), err
}
