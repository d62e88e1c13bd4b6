package relay

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mailbricks/mailbricks"
)

// tlsMode says what TLS a session has.
type tlsMode int

const (
	tlsNever    tlsMode = iota
	tlsMay              // STARTTLS if the peer offers it, whoever it is (RFC 7435)
	tlsMust             // STARTTLS or nothing, whoever it is
	tlsVerified         // STARTTLS with a certificate for the host's name
	tlsImplicit         // TLS from the start, with a certificate for the host's name
)

// target is a server to speak to.
type target struct {
	host     string // its name, for TLS and reports
	address  string // what is dialled: "192.0.2.1:25"
	mode     tlsMode
	user     string // empty: no AUTH
	password string
}

// client opens sessions.
type client struct {
	hostname string
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	tls      *tls.Config
	times    Timeouts
}

// errHandshake marks a failed TLS handshake, after which a session in clear may be tried.
var errHandshake = errors.New("TLS handshake failed")

// sessionError is a session that did not come about.
type sessionError struct {
	err   error
	reply *reply // that refused it; nil when something else was wrong
	addr  netip.AddrPort
}

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }

// session is a connection on which messages can be sent, one after the other.
type session struct {
	conn   net.Conn
	br     *bufio.Reader
	bw     *bufio.Writer
	ctx    context.Context // of the call that uses it now
	times  Timeouts
	host   string
	addr   netip.AddrPort
	ext    map[string]string // EHLO keywords in upper case, with their parameters
	tlsOn  bool
	tls    string // as Outcome has it
	sent   int    // transactions so far
	unstop func() bool
}

// open connects, greets, and does STARTTLS and AUTH as t wants them.
func (c *client) open(ctx context.Context, t target) (*session, error) {
	s, err := c.openMode(ctx, t)
	if t.mode == tlsMay && errors.Is(err, errHandshake) && ctx.Err() == nil {
		t.mode = tlsNever // better in clear than not at all: nobody has promised TLS (RFC 7435 §3)
		return c.openMode(ctx, t)
	}
	return s, err
}

func (c *client) openMode(ctx context.Context, t target) (*session, error) {
	dialing, cancel := context.WithTimeout(ctx, c.times.Dial)
	conn, err := c.dial(dialing, "tcp", t.address)
	cancel()
	if err != nil {
		return nil, &sessionError{err: temporary("4.4.1", "Cannot connect to "+t.host+": "+dialFailure(err), err)}
	}
	s := &session{conn: conn, times: c.times, host: t.host, ctx: ctx}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		s.addr = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	s.use(ctx)
	s.buffer(conn)
	if last, err := c.greet(s, t); err != nil {
		s.abandon()
		return nil, &sessionError{err: err, reply: last, addr: s.addr}
	}
	return s, nil
}

// dialFailure says in words why there is no connection, without the addresses that a system's error has in it.
func dialFailure(err error) string {
	var timeout interface{ Timeout() bool }
	errno, isErrno := errors.AsType[syscall.Errno](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS && dns.IsNotFound:
		return "no such host name"
	case isDNS:
		return "its name could not be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case isErrno:
		return errno.Error()
	}
	return "no connection"
}

// greet brings a new connection to where a transaction can begin. On an error it gives the reply that is to blame.
func (c *client) greet(s *session, t target) (*reply, error) {
	if t.mode == tlsImplicit {
		if err := c.handshake(s, t); err != nil {
			return nil, err
		}
	}
	r, err := s.read(s.times.Greeting)
	if err != nil {
		return nil, err
	}
	if r.code != 220 {
		return r, r.failure()
	}
	if r, err := s.hello(c.hostname); err != nil {
		return r, err
	}
	if r, err := c.startTLS(s, t); err != nil {
		return r, err
	}
	if t.user != "" {
		return s.auth(t.user, t.password)
	}
	return nil, nil
}

// hello says EHLO and, to a server that does not know it, HELO (RFC 5321 §3.2).
func (s *session) hello(name string) (*reply, error) {
	r, err := s.command(s.times.Command, "EHLO "+name)
	if err != nil {
		return nil, err
	}
	s.ext = map[string]string{}
	if r.class() == 5 {
		if r, err = s.command(s.times.Command, "HELO "+name); err != nil {
			return nil, err
		}
		if r.class() != 2 {
			return r, r.failure()
		}
		return nil, nil
	}
	if r.class() != 2 {
		return r, r.failure()
	}
	for _, line := range r.lines[1:] {
		keyword, params, _ := strings.Cut(line, " ")
		s.ext[strings.ToUpper(keyword)] = params
	}
	return nil, nil
}

func (s *session) offers(keyword string) bool {
	_, ok := s.ext[keyword]
	return ok
}

// startTLS turns TLS on as t wants it (RFC 3207).
func (c *client) startTLS(s *session, t target) (*reply, error) {
	switch {
	case t.mode == tlsNever || t.mode == tlsImplicit:
		return nil, nil
	case !s.offers("STARTTLS") && t.mode == tlsMay:
		return nil, nil
	case !s.offers("STARTTLS"):
		return nil, temporary("4.7.10", "Server "+t.host+" does not offer TLS, which is required", nil)
	}
	r, err := s.command(s.times.Command, "STARTTLS")
	if err != nil {
		return nil, err
	}
	if r.code != 220 {
		if t.mode == tlsMay {
			return nil, nil // it refuses what it offers: go on in clear
		}
		return r, temporary("4.7.10", "Server "+t.host+" refuses TLS: "+r.String(), nil)
	}
	if s.br.Buffered() > 0 { // would be taken for what comes after the handshake
		return nil, temporary("4.7.0", "Server "+t.host+" sent text behind its reply to STARTTLS", errProtocol)
	}
	if err := c.handshake(s, t); err != nil {
		return nil, err
	}
	return s.hello(c.hostname) // what was said before does not count (RFC 3207 §4.2)
}

// handshake starts TLS on the connection.
func (c *client) handshake(s *session, t target) error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.tls != nil {
		config = c.tls.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = strings.TrimSuffix(t.host, ".")
	}
	if t.mode == tlsMay || t.mode == tlsMust {
		config.InsecureSkipVerify = true // the name comes from DNS, which nobody vouches for (RFC 7672 §1.3)
	}
	conn := tls.Client(s.conn, config)
	s.deadline(s.times.Dial)
	if err := conn.HandshakeContext(s.ctx); err != nil {
		return temporary("4.7.5", "TLS with "+t.host+" failed: "+clip(err.Error()), fmt.Errorf("%w: %w", errHandshake, err))
	}
	s.buffer(conn)
	s.conn = conn
	state := conn.ConnectionState()
	s.tlsOn = true
	s.tls = tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite)
	return nil
}

// auth logs in (RFC 4954). Wrong credentials are ours to mend, so every refusal is a failure for now.
func (s *session) auth(user, password string) (*reply, error) {
	mechanisms := strings.Fields(strings.ToUpper(s.ext["AUTH"]))
	var r *reply
	var err error
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	switch {
	case slices.Contains(mechanisms, "PLAIN"): // RFC 4616
		r, err = s.command(s.times.Command, "AUTH PLAIN "+encode("\x00"+user+"\x00"+password))
	case slices.Contains(mechanisms, "LOGIN"):
		for _, line := range []string{"AUTH LOGIN", encode(user), encode(password)} {
			if r, err = s.command(s.times.Command, line); err != nil || r.code != 334 {
				break
			}
		}
	default:
		return nil, temporary("4.7.0", "Server "+s.host+" offers no way to log in that is known here", nil)
	}
	if err != nil {
		return nil, err
	}
	if r.code != 235 {
		return r, temporary("4.7.8", "Server "+s.host+" refuses the log-in: "+r.String(), mailbricks.ErrAuth)
	}
	return nil, nil
}

// command sends one line and reads the reply.
func (s *session) command(timeout time.Duration, line string) (*reply, error) {
	s.deadline(timeout)
	if err := s.writeLine(line); err != nil {
		return nil, err
	}
	if err := s.bw.Flush(); err != nil {
		return nil, s.lost(err)
	}
	return s.read(timeout)
}

// writeLine puts a line into the buffer. It is the only way for a command onto the wire.
func (s *session) writeLine(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return permanent(553, "5.1.3", "Address is not valid")
	}
	_, err := s.bw.WriteString(line + "\r\n")
	return s.lost(err)
}

func (s *session) read(timeout time.Duration) (*reply, error) {
	s.deadline(timeout)
	r, err := readReply(s.br)
	if errors.Is(err, errProtocol) {
		return nil, temporary("4.5.0", "Server "+s.host+" does not speak SMTP: "+clip(err.Error()), err)
	}
	if err != nil {
		return nil, s.lost(err)
	}
	return r, nil
}

// lost makes a connection's error one for reports.
func (s *session) lost(err error) error {
	switch {
	case err == nil:
		return nil
	case s.ctx.Err() != nil:
		return temporary("4.4.2", "The attempt was broken off", context.Cause(s.ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return temporary("4.4.2", "Server "+s.host+" took too long", err)
	case errors.Is(err, io.EOF):
		return temporary("4.4.2", "Server "+s.host+" closed the connection", err)
	}
	return temporary("4.4.2", "Connection to "+s.host+" was lost", err)
}

// use ties the session to a call: when its context ends, what waits for the peer ends too.
func (s *session) use(ctx context.Context) {
	s.ctx = ctx
	conn := s.conn
	s.unstop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) })
}

// unuse ends that.
func (s *session) unuse() {
	if s.unstop != nil {
		s.unstop()
		s.unstop = nil
	}
	s.ctx = context.Background()
}

// longAgo is a deadline that has passed on every clock.
var longAgo = time.Unix(1, 0)

// deadline bounds what comes next. It does not undo what the end of the context did.
func (s *session) deadline(d time.Duration) {
	_ = s.conn.SetDeadline(time.Now().Add(d)) // a dead connection says so when it is used
	if s.ctx.Err() != nil {
		_ = s.conn.SetDeadline(longAgo)
	}
}

func (s *session) buffer(conn net.Conn) {
	s.br = bufio.NewReaderSize(conn, 4096)
	s.bw = bufio.NewWriterSize(conn, blockSize)
}

// abandon closes the connection at once.
func (s *session) abandon() {
	s.unuse()
	_ = s.conn.Close() // nobody waits for anything
}

// quit ends the session as RFC 5321 §4.1.1.10 has it, not waiting long.
func (s *session) quit() {
	s.unuse()
	_, _ = s.command(s.times.Quit, "QUIT") // it is over, whatever the peer says
	_ = s.conn.Close()
}

// maxSize is the largest message that the server takes (RFC 1870); 0: it does not say.
func (s *session) maxSize() int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s.ext["SIZE"]), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
