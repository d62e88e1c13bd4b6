package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Defaults of a Server's limits.
const (
	DefaultMaxConnections        = 1000
	DefaultMaxConnectionsPerIP   = 50
	DefaultMaxConnectionsPerUser = 50
	DefaultMaxAppendSize         = 50 << 20 // octets
	DefaultMaxLineLength         = 64 << 10 // octets; RFC 2683 §3.2.1.5 asks for 8,000
	DefaultMaxLiteralSize        = 64 << 10 // octets
	DefaultMaxErrors             = 20
	DefaultMaxAuthFailures       = 3
)

// Defaults of a Server's time-outs.
const (
	DefaultLoginTimeout = 3 * time.Minute
	DefaultIdleTimeout  = 31 * time.Minute // RFC 3501 §5.4: at least 30 minutes
	DefaultReadTimeout  = 2 * time.Minute
	DefaultWriteTimeout = 2 * time.Minute
	DefaultKeepAlive    = 3 * time.Minute
)

// minIdleTimeout is the shortest autologout timer that RFC 3501 §5.4 allows.
const minIdleTimeout = 30 * time.Minute

// What a client that has not logged in may send, in octets. SASL tokens may be longer than any command (Kerberos tickets,
// OAuth tokens).
const (
	loginLineLength    = 16 << 10
	loginLiteralSize   = 1 << 10
	loginCommandLength = 20 << 10
	loginDrain         = 64 << 10
)

// commandLiterals is how many times MaxLiteralSize the literals of one command may have together.
const commandLiterals = 4

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("imapd: server closed")

// Authenticator checks who a client is.
type Authenticator interface {
	// Mechanisms names the SASL mechanisms to offer to a peer, in upper case: "PLAIN".
	Mechanisms(peer mailbricks.Peer) []string
	// Start begins an exchange with one of them. The LOGIN command starts one with "PLAIN".
	Start(ctx context.Context, mechanism string, peer mailbricks.Peer) (mailbricks.Exchange, error)
}

// Server is an IMAP server. The zero value lets nobody in, for want of Auth and Store, and is otherwise safe. Fields are
// read when Serve is called and must not change afterwards.
//
// A limit of 0 is its default, a negative one is none. A time-out of 0 or less is its default.
type Server struct {
	// Addr is where ListenAndServe listens; empty: ":143", or ":993" for ListenAndServeTLS.
	Addr string
	// Hostname is this server's name in the greeting; empty: os.Hostname.
	Hostname string
	// Auth checks credentials. Nil: every log-in is refused.
	Auth Authenticator
	// Store opens the mail of whoever has logged in. Its error refuses the log-in with NO [UNAVAILABLE]; a
	// [mailbricks.Reply] in it gives the text. The store is closed when the session ends. Nil: every log-in is refused.
	Store func(ctx context.Context, id mailbricks.Identity) (mailbox.Store, error)
	// TLSConfig makes STARTTLS available and is needed by ServeTLS. Certificates change while the server runs through its
	// GetCertificate or GetConfigForClient. Nil: no TLS.
	TLSConfig *tls.Config

	// PerConnection, if not nil, is asked at each new connection for the Server whose fields hold for it; nil: this one's.
	// Only the fields of what it returns are used, and they must not change: to change limits, Auth or Store while the
	// server runs, return another (an atomic.Pointer[Server] does it). Sessions that run keep what they began with.
	PerConnection func() *Server

	// AllowInsecureAuth lets users log in on connections without TLS. Otherwise these advertise LOGINDISABLED, and LOGIN and
	// AUTHENTICATE are answered by NO [PRIVACYREQUIRED].
	AllowInsecureAuth bool
	// ID is what the server says of itself in answer to ID (RFC 2971); nil: {"name": "mailbricks"}.
	ID map[string]string
	// Logger gets a line for each log-in and each failure, and more at debug level; nil: none.
	Logger *slog.Logger
	// Trace is told of what happens; see there.
	Trace Trace

	// MaxConnections is how many connections there may be at a time; a further one gets BYE. Default
	// DefaultMaxConnections.
	MaxConnections int
	// MaxConnectionsPerIP is how many connections one address (of IPv6: one /64 network) may have that have not logged in;
	// a further one gets BYE. Default DefaultMaxConnectionsPerIP.
	MaxConnectionsPerIP int
	// MaxConnectionsPerUser is how many sessions one user may have; a further log-in gets NO [LIMIT]. Default
	// DefaultMaxConnectionsPerUser.
	MaxConnectionsPerUser int
	// MaxAppendSize is the largest message that APPEND takes, in octets, advertised as APPENDLIMIT (RFC 7889); a larger
	// one gets NO [TOOBIG]. Default DefaultMaxAppendSize.
	MaxAppendSize int64
	// MayAppend is asked before the message of an APPEND, of size octets, is let in, unless it is too large anyway. An error
	// refuses it: NO [UNAVAILABLE] with the text of a [mailbricks.Reply], or what comes of that error from a store. Nil: all
	// may come.
	MayAppend func(ctx context.Context, s *Session, size int64) error
	// MaxLineLength is the longest command line in octets; after a longer one the connection is closed with BYE. Before
	// log-in it is 16 KiB at most. Default DefaultMaxLineLength.
	MaxLineLength int
	// MaxLiteralSize is the longest literal in octets, other than the message of APPEND; a longer one gets NO [TOOBIG].
	// Before log-in it is 1 KiB at most. Default DefaultMaxLiteralSize.
	MaxLiteralSize int
	// MaxErrors is how many commands in a row may be answered by BAD; the last one gets BYE. Default DefaultMaxErrors.
	MaxErrors int
	// MaxAuthFailures is how many log-ins of a connection may fail; the last one gets BYE. Default DefaultMaxAuthFailures.
	MaxAuthFailures int

	// LoginTimeout is how long a client may take to log in, TLS handshake included; default DefaultLoginTimeout.
	LoginTimeout time.Duration
	// IdleTimeout is how long a session may send nothing, in IDLE too, before it is logged out; at least 30 minutes
	// (RFC 3501 §5.4). Default DefaultIdleTimeout.
	IdleTimeout time.Duration
	// ReadTimeout is how long to wait for the next octets of a command or literal that has begun; default
	// DefaultReadTimeout.
	ReadTimeout time.Duration
	// WriteTimeout is how long the peer may take to accept 32 KiB of responses; default DefaultWriteTimeout.
	WriteTimeout time.Duration
	// KeepAlive is how often a client in IDLE, or in a SEARCH that takes long, is told that the server is still there, which
	// keeps the state of NAT boxes alive. In IDLE the mailbox is also looked at then; SEARCH ends when the client has left.
	// Default DefaultKeepAlive.
	KeepAlive time.Duration

	buffers wire.Buffers
	life    serving.Life
	users   serving.Counts // sessions by user
}

// settings are a Server's fields with their defaults filled in, as a connection uses them.
type settings struct {
	*Server             // whose fields hold
	home        *Server // which serves
	implicitTLS bool

	hostname string
	logger   *slog.Logger
	id       map[string]string

	maxConnections, maxPerIP, maxPerUser int
	maxAppend                            int64
	maxErrors, maxAuthFailures           int
	limits, loginLimits                  wire.Limits

	login, idle, read, write, keepAlive time.Duration
}

// settings fills in the defaults of s for connections of home, which is s itself or has s from PerConnection.
func (s *Server) settings(home *Server, implicitTLS bool) *settings {
	c := &settings{
		Server:          s,
		home:            home,
		implicitTLS:     implicitTLS,
		hostname:        serving.Hostname(s.Hostname),
		logger:          serving.Logger(s.Logger),
		id:              s.ID,
		maxConnections:  serving.Limit(s.MaxConnections, DefaultMaxConnections),
		maxPerIP:        serving.Limit(s.MaxConnectionsPerIP, DefaultMaxConnectionsPerIP),
		maxPerUser:      serving.Limit(s.MaxConnectionsPerUser, DefaultMaxConnectionsPerUser),
		maxAppend:       serving.Limit(s.MaxAppendSize, DefaultMaxAppendSize),
		maxErrors:       serving.Limit(s.MaxErrors, DefaultMaxErrors),
		maxAuthFailures: serving.Limit(s.MaxAuthFailures, DefaultMaxAuthFailures),
		login:           serving.Timeout(s.LoginTimeout, DefaultLoginTimeout),
		idle:            max(serving.Timeout(s.IdleTimeout, DefaultIdleTimeout), minIdleTimeout),
		read:            serving.Timeout(s.ReadTimeout, DefaultReadTimeout),
		write:           serving.Timeout(s.WriteTimeout, DefaultWriteTimeout),
		keepAlive:       serving.Timeout(s.KeepAlive, DefaultKeepAlive),
	}
	c.setLimits()
	if c.id == nil {
		c.id = map[string]string{"name": "mailbricks"}
	}
	return c
}

// setLimits makes the limits of lines and literals. These are always there: without one a client could fill the memory.
func (c *settings) setLimits() {
	line, literal := c.MaxLineLength, c.MaxLiteralSize
	if line <= 0 {
		line = DefaultMaxLineLength
	}
	if literal <= 0 {
		literal = DefaultMaxLiteralSize
	}
	command := 2*line + commandLiterals*literal
	c.limits = wire.Limits{Line: line, Literal: literal, Command: command, Drain: int64(command)}
	if c.maxAppend > 0 { // a refused APPEND is worth reading to its end: the connection lives on
		c.limits.Drain += c.maxAppend
	}
	c.loginLimits = wire.Limits{
		Line:    min(line, loginLineLength),
		Literal: min(literal, loginLiteralSize),
		Command: min(command, loginCommandLength),
		Drain:   loginDrain,
	}
}
