package smtpd_test

import (
	"regexp"
	"strings"

	"github.com/stretchr/testify/require"
)

// command is one that was answered.
func (m *model) command(line string, reply reply) {
	body, crlf := strings.CutSuffix(line, "\r\n")
	word, arg, _ := strings.Cut(strings.TrimRight(body, " \t"), " ")
	word = strings.ToUpper(word)
	longest := map[string]int{"MAIL": 2048, "RCPT": 2048, "AUTH": longestLine}[word]
	isControl := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if mayBeBDAT.MatchString(line) { // but is none: nobody knows what follows
		defer func() { m.mode = over }()
	}
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
			m.tx, m.unopened = nil, false
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
		switch {
		case !m.extended, m.tx != nil, m.loggedIn && !m.proxied:
			m.expect(reply, line, "503")
		case m.proxied && reply.code == "503":
		default:
			m.auth(reply)
		}
	case "XCLIENT":
		m.xclient(arg, reply)
	case "BDAT":
		m.expect(reply, line, "501")
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI":
		m.expect(reply, line, "502")
		m.mode = over
	default:
		m.expect(reply, line, "500", "502")
	}
}

// mayBeBDAT is a line that was perhaps meant as BDAT.
var mayBeBDAT = regexp.MustCompile(`^[ \t]*(?i:BDAT)[^A-Za-z0-9]`)

// plain is a command that does what it should, or has a malformed argument.
func (m *model) plain(reply reply, line, code string, good bool) {
	if !good {
		code = "501"
	}
	m.expect(reply, line, code)
}

func (m *model) greeting(verb, arg string, reply reply) {
	m.expect(reply, verb, "250", "501")
	name, _, _ := strings.Cut(strings.TrimLeft(arg, " "), " ")
	if !hostOrLiteral.MatchString(name) && !m.options.requireAuth && !m.behind {
		m.expect(reply, verb, "501")
	}
	if reply.code != "250" {
		return
	}
	m.hello = strings.ToValidUTF8(name, "?")
	m.extended, m.tx, m.unopened = verb != "HELO", nil, false
	require.NotEmpty(m.t, m.hello)
	require.Equal(m.t, "250", reply.lines[0][:3])
	require.Equal(m.t, "mail.example.com", reply.lines[0][4:])
	offers := map[string]bool{}
	for _, line := range reply.lines[1:] {
		word, _, _ := strings.Cut(line[4:], " ")
		m.must(!offers[word], "%s is offered twice", word)
		offers[word] = true
	}
	require.Equal(m.t, m.extended && !m.secure && !m.behind, offers["STARTTLS"])
	require.Equal(m.t, m.extended && m.options.keeps, offers["BINARYMIME"] && offers["DSN"])
	require.Equal(m.t, m.extended && m.options.keeps && m.secure, offers["REQUIRETLS"])
	if !m.proxied {
		require.Equal(m.t, m.extended && !m.loggedIn, offers["AUTH"])
	}
	require.Equal(m.t, m.extended, offers["PIPELINING"])
	require.Equal(m.t, m.extended, offers["CHUNKING"])
}

// hostOrLiteral is the name of a host, or looks like an address literal.
var hostOrLiteral = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-fIPVipv:.]+\])$`)

// binaryBody is the parameter of a message that need not be text.
var binaryBody = regexp.MustCompile(`(?i)> .*\bBODY=BINARYMIME\b`)

func (m *model) mail(arg string, reply reply) {
	m.unopened = reply.code != "250" && (m.tx == nil || m.tx.failed)
	switch {
	case m.hello == "" && !m.proxied, m.tx != nil && !m.tx.failed:
		m.expect(reply, "MAIL", "503")
		return
	case m.proxied && (reply.code == "503" || reply.code == "530"):
		return
	case m.options.requireAuth && !m.loggedIn && !m.proxied:
		m.expect(reply, "MAIL", "530")
		return
	}
	m.expect(reply, "MAIL", "250", "501", "550", "552", "555")
	if reply.code != "250" {
		return
	}
	require.Regexp(m.t, `^(?i)FROM: *<`, arg)
	m.tx = &modelTx{from: m.pop(&m.got.mails), binary: binaryBody.MatchString(arg)}
	require.True(m.t, m.options.keeps || !m.tx.binary, "nobody keeps BINARYMIME")
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
	if m.unopened || m.tx == nil || m.tx.chunks != nil {
		m.expect(reply, "RCPT", "503")
		return
	}
	m.expect(reply, "RCPT", "250", "501", "550", "553", "555", "451", "452")
	m.tx.bad = m.tx.bad || reply.code != "250"
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
		require.Regexp(m.t, "^(bad|later|panic)@", m.pop(&m.got.rcpts))
	}
}

func (m *model) data(arg string, reply reply) {
	none := m.tx != nil && len(m.tx.drops) == 0
	switch {
	case m.unopened, m.tx == nil, none && (!m.tx.bad || m.options.lmtp), !none && (m.tx.chunks != nil || m.tx.binary):
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

func (m *model) startTLS(arg string, reply reply) {
	switch {
	case m.secure, m.behind, !m.extended, m.tx != nil:
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

// xclient begins the session of another client, if that is taken.
func (m *model) xclient(arg string, reply reply) {
	switch {
	case !m.options.trust:
		m.expect(reply, "XCLIENT", "502")
	case m.tx != nil:
		m.expect(reply, "XCLIENT", "503")
	default:
		m.expect(reply, "XCLIENT", "220", "501")
	}
	if reply.code == "220" {
		arg, m.behind = strings.ToUpper(arg), true
		m.hello, m.extended, m.loggedIn, m.unopened = "", false, false, false
		m.proxied = m.proxied || strings.Contains(arg, "HELO") || strings.Contains(arg, "LOGIN")
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
