package relay_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/relay"
)

// peer is an SMTP server that does what its script says.
//
// The script maps a phase (connect, ehlo, helo, starttls, auth, mail, rcpt, rcpt:ADDRESS, data, body, dot, rset) to what
// happens instead of the usual reply: lines separated by "\n", "close", "reset", "hang" (silence), "stall" (nothing is read, for an
// hour), or "raw:" and octets.
// "once:" in front of it makes it happen only once.
type peer struct {
	name   string
	ext    []string
	tls    *tls.Config
	script map[string]string
	// onSession, if not nil, changes the script for the n-th connection, from 1.
	onSession func(n int) map[string]string

	mu       sync.Mutex
	sessions []*peerSession
	conns    map[net.Conn]bool
	did      map[string]bool
	wg       sync.WaitGroup
}

type peerSession struct {
	*peer
	n      int
	script map[string]string
	conn   net.Conn
	br     *bufio.Reader
	remote netip.AddrPort
	lines  []string // commands
	mails  []peerMail
	cur    peerMail
	sni    string
	secure bool
}

type peerMail struct {
	from string // the MAIL command
	to   []string
	data string // as on the wire, with the final dot
}

func (p *peer) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		s := &peerSession{peer: p, n: len(p.sessions) + 1, conn: conn, br: bufio.NewReader(conn), script: p.script}
		if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			s.remote = a.AddrPort()
		}
		if p.onSession != nil {
			s.script = p.onSession(s.n)
		}
		p.sessions = append(p.sessions, s)
		p.conns[conn] = true
		p.mu.Unlock()
		p.wg.Go(func() {
			s.run()
			conn.Close()
		})
	}
}

func (p *peer) close() {
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// mails are the messages that it answered with a reply of class 2, of all sessions.
func (p *peer) mails() (all []peerMail) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		all = append(all, s.mails...)
	}
	return all
}

func (p *peer) commands() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		all = append(all, s.lines...)
	}
	return all
}

func (p *peer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sessions)
}

// say does what the script has for a phase, or gives the usual reply. It is false when the session is over.
func (s *peerSession) say(phase, usual string) (code string, ok bool) {
	text, scripted := s.script[phase]
	once := strings.HasPrefix(text, "once:")
	if !scripted || once && s.used(phase) {
		text = usual
	}
	text = strings.TrimPrefix(text, "once:")
	switch {
	case text == "close":
		return "", false
	case text == "reset":
		if c, ok := s.conn.(*mailtest.Conn); ok {
			c.Reset()
		}
		return "", false
	case text == "stall": // reads no more
		time.Sleep(time.Hour)
		return "", false
	case text == "hang":
		_, _ = io.Copy(io.Discard, s.br)
		return "", false
	case strings.HasPrefix(text, "raw:"):
		_, err := io.WriteString(s.conn, text[4:])
		return "", err == nil
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if i < len(lines)-1 {
			l = l[:3] + "-" + strings.TrimPrefix(l[3:], " ")
		}
		if _, err := io.WriteString(s.conn, l+"\r\n"); err != nil {
			return "", false
		}
	}
	return lines[0][:3], true
}

// used says whether it was asked for this phase before.
func (p *peer) used(phase string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.did == nil {
		p.did = map[string]bool{}
	}
	before := p.did[phase]
	p.did[phase] = true
	return before
}

func (s *peerSession) run() {
	if code, ok := s.say("connect", "220 "+s.name+" ESMTP"); !ok {
		return
	} else if code != "" && code != "220" {
		_, _ = io.Copy(io.Discard, s.br)
		return
	}
	for {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		if !s.command(line) {
			return
		}
	}
}

func (s *peerSession) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	ok := true
	var code string
	switch strings.ToUpper(verb) {
	case "EHLO":
		_, ok = s.say("ehlo", strings.Join(append([]string{"250 " + s.name}, prefixed(s.ext)...), "\n"))
	case "HELO":
		_, ok = s.say("helo", "250 "+s.name)
	case "STARTTLS":
		if code, ok = s.say("starttls", "220 go"); ok && code == "220" {
			ok = s.startTLS()
		}
	case "AUTH":
		_, ok = s.say("auth", "235 welcome")
	case "MAIL":
		if code, ok = s.say("mail", "250 sender"); code == "250" {
			s.cur = peerMail{from: line}
		}
	case "RCPT":
		address, _, _ := strings.Cut(strings.TrimPrefix(rest, "TO:<"), ">")
		phase := "rcpt"
		if _, ok := s.script["rcpt:"+address]; ok {
			phase = "rcpt:" + address
		}
		if code, ok = s.say(phase, "250 recipient"); strings.HasPrefix(code, "2") {
			s.cur.to = append(s.cur.to, address)
		}
	case "DATA":
		usual := "354 go ahead"
		if len(s.cur.to) == 0 {
			usual = "554 no valid recipients"
		}
		if code, ok = s.say("data", usual); code == "354" {
			ok = s.data()
		}
	case "RSET":
		s.cur = peerMail{}
		_, ok = s.say("rset", "250 reset")
	case "QUIT":
		_, _ = s.say("quit", "221 bye")
		ok = false
	default:
		_, ok = s.say(verb, "500 what?")
	}
	return ok
}

func prefixed(ext []string) (out []string) {
	for _, e := range ext {
		out = append(out, "250 "+e)
	}
	return out
}

func (s *peerSession) startTLS() bool {
	if s.tls == nil {
		return false
	}
	config := s.tls.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		s.sni = hello.ServerName
		s.mu.Unlock()
		return nil, nil
	}
	conn := tls.Server(s.conn, config)
	if err := conn.Handshake(); err != nil {
		return false
	}
	s.mu.Lock()
	s.secure = true
	s.mu.Unlock()
	s.conn, s.br = conn, bufio.NewReader(conn)
	return true
}

func (s *peerSession) data() bool {
	if _, scripted := s.script["body"]; scripted {
		_, _ = s.br.ReadByte()
		_, ok := s.say("body", "")
		return ok
	}
	var b strings.Builder
	for {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return false
		}
		b.WriteString(line)
		if line == ".\r\n" {
			break
		}
	}
	mail := s.cur
	mail.data = b.String()
	s.cur = peerMail{}
	code, ok := s.say("dot", "250 2.0.0 queued as 1")
	if code == "250" {
		s.mu.Lock()
		s.mails = append(s.mails, mail)
		s.mu.Unlock()
	}
	return ok
}

// world is the Internet of a test.
type world struct {
	t   *testing.T
	net *mailtest.Network
	dns *mailtest.DNS
}

const zone = `
	example.net.     MX 10 mx.example.net.
	mx.example.net.  A  192.0.2.25
`

func newWorld(t *testing.T, zone string) *world {
	return &world{t: t, net: mailtest.NewNetwork(), dns: mailtest.MustZone(t, zone)}
}

// peer starts a server at "ip:25".
func (w *world) peer(addr string, p *peer) *peer {
	if p.name == "" {
		p.name = "mx.example.net"
	}
	p.conns = map[net.Conn]bool{}
	l, err := w.net.Listen("tcp", addr)
	require.NoError(w.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.serve(l)
	}()
	w.t.Cleanup(func() {
		l.Close()
		<-done
		p.close()
	})
	return p
}

func (w *world) mx() *relay.MX {
	m := &relay.MX{Hostname: "out.example.com", Resolver: w.dns.Resolver(), Dial: w.net.Dialer("").DialContext}
	w.t.Cleanup(func() { m.Close() })
	return m
}

func envelope(from string, to ...string) *mailbricks.Envelope {
	env := &mailbricks.Envelope{From: from}
	for _, r := range to {
		env.Recipients = append(env.Recipients, mailbricks.Recipient{Address: r})
	}
	return env
}

const letter = "From: ann@example.com\r\nTo: bob@example.net\r\nMessage-ID: <1@example.com>\r\nSubject: Hello\r\n\r\nHow are you?\r\n.hidden\r\n"

func message(text string) *mailbricks.Message { return mailbricks.NewMessage([]byte(text)) }

// send has a transport deliver the letter.
func send(t *testing.T, tr relay.Transport, to ...string) []relay.Outcome {
	out := tr.Deliver(t.Context(), envelope("ann@example.com", to...), message(letter))
	require.Len(t, out, len(to))
	return out
}

// requireReply checks an outcome's code and enhanced code.
func requireReply(t *testing.T, want string, err error, about ...any) {
	t.Helper()
	require.Error(t, err, about...)
	r := mailbricks.ReplyTo(err)
	require.Equal(t, want, fmt.Sprintf("%d %s", r.Code, r.EnhancedCode()), append([]any{err.Error()}, about...)...)
}

// lockedBuilder keeps what is logged.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuilder) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// peerTLS starts a server that has TLS from the start.
func (w *world) peerTLS(addr string, p *peer, config *tls.Config) {
	p.conns = map[net.Conn]bool{}
	inner, err := w.net.Listen("tcp", addr)
	require.NoError(w.t, err)
	l := tls.NewListener(inner, config)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.serve(l)
	}()
	w.t.Cleanup(func() {
		l.Close()
		<-done
		p.close()
	})
}

// dialTo dials one address, whatever name is given: the network resolves none.
func dialTo(w *world, addr string) func(ctx context.Context, network, _ string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return w.net.Dialer("").DialContext(ctx, network, addr)
	}
}
