package pop3d

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Defaults of a Server's limits.
const (
	DefaultMaxConnections      = 1000
	DefaultMaxConnectionsPerIP = 50
	DefaultMaxErrors           = 10
	DefaultMaxAuthFailures     = 3
	DefaultMaxMessages         = 1_000_000
)

// Defaults of a Server's time-outs.
const (
	DefaultLoginTimeout = 3 * time.Minute
	DefaultIdleTimeout  = 10 * time.Minute // RFC 1939 §3: at least 10 minutes
	DefaultStoreTimeout = 2 * time.Minute
	DefaultWriteTimeout = 2 * time.Minute
)

// minIdleTimeout is the shortest inactivity timer that RFC 1939 §3 allows.
const minIdleTimeout = 10 * time.Minute

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("pop3d: server closed")

// Authenticator checks who a client is.
type Authenticator interface {
	// Mechanisms names the SASL mechanisms to offer to a peer, in upper case: "PLAIN".
	Mechanisms(peer mailbricks.Peer) []string
	// Start begins an exchange with one of them. USER and PASS start one with "PLAIN".
	Start(ctx context.Context, mechanism string, peer mailbricks.Peer) (mailbricks.Exchange, error)
}

// Server is a POP3 server. The zero value lets nobody in, for want of Auth and Store, and is otherwise safe. Fields are
// read when Serve is called and must not change afterwards.
//
// A limit of 0 is its default, a negative one is none. A time-out of 0 or less is its default.
type Server struct {
	// Addr is where ListenAndServe listens; empty: ":110", or ":995" for ListenAndServeTLS.
	Addr string
	// Hostname is this server's name in the greeting; empty: os.Hostname.
	Hostname string
	// Auth checks credentials. Nil: every log-in is refused.
	Auth Authenticator
	// Store opens the mail of whoever has logged in. Its error refuses the log-in with -ERR [SYS/TEMP], or with
	// [SYS/PERM] if it is a permanent [mailbricks.Reply], whose text the client then gets. The store is closed when the
	// session ends. Nil: every log-in is refused.
	Store func(ctx context.Context, id mailbricks.Identity) (mailbox.Store, error)
	// TLSConfig makes STLS available (RFC 2595 §4) and is needed by ServeTLS. Certificates change while the server runs
	// through its GetCertificate or GetConfigForClient. Nil: no TLS.
	TLSConfig *tls.Config

	// PerConnection, if not nil, is asked at each new connection for the Server whose fields hold for it; nil: this one's.
	// Only the fields of what it returns are used, and they must not change: to change limits, Auth or Store while the
	// server runs, return another (an atomic.Pointer[Server] does it). Sessions that run keep what they began with.
	PerConnection func() *Server

	// AllowInsecureAuth lets users log in on connections without TLS. Otherwise USER, PASS and AUTH are neither offered nor
	// served there.
	AllowInsecureAuth bool
	// LoginDelay is how long after a log-in the next one of the same user is refused with -ERR [LOGIN-DELAY], and announced by
	// CAPA (RFC 2449 §6.5); 0: not at all. It keeps clients from polling too often.
	LoginDelay time.Duration
	// KeepUnseen leaves alone the \Seen flag of messages that are retrieved.
	KeepUnseen bool
	// Logger gets a line for each log-in and each failure, and more at debug level; nil: none.
	Logger *slog.Logger
	// Trace is told of what happens; see there.
	Trace Trace

	// MaxConnections is how many connections there may be at a time; a further one gets -ERR [SYS/TEMP]. Default
	// DefaultMaxConnections.
	MaxConnections int
	// MaxConnectionsPerIP is how many connections one address (of IPv6: one /64 network) may have that have not logged in; a
	// further one gets -ERR [SYS/TEMP]. Default DefaultMaxConnectionsPerIP.
	MaxConnectionsPerIP int
	// MaxErrors is how many commands of a session may be unknown, malformed or not allowed in its state; the last one
	// closes the connection. Default DefaultMaxErrors.
	MaxErrors int
	// MaxAuthFailures is how many log-ins of a session may fail; the last one closes the connection. Default
	// DefaultMaxAuthFailures.
	MaxAuthFailures int
	// MaxMessages is how many messages of a maildrop a session sees, oldest first; the others come once these have been
	// removed. Default DefaultMaxMessages.
	MaxMessages int

	// LoginTimeout is how long a client may take to log in, TLS handshake included; default DefaultLoginTimeout.
	LoginTimeout time.Duration
	// IdleTimeout is how long to wait for a whole command after log-in; at least 10 minutes (RFC 1939 §3). Default
	// DefaultIdleTimeout.
	IdleTimeout time.Duration
	// StoreTimeout is when the context of each step of a log-in, or of a command's use of the Store, ends; default
	// DefaultStoreTimeout.
	StoreTimeout time.Duration
	// WriteTimeout is how long the peer may take to accept 32 KiB of replies; default DefaultWriteTimeout.
	WriteTimeout time.Duration

	life  serving.Life
	locks locks
}

// settings are a Server's fields with their defaults filled in, as a connection uses them.
type settings struct {
	*Server             // whose fields hold
	home        *Server // which serves
	implicitTLS bool

	hostname string
	logger   *slog.Logger

	maxConnections, maxPerIP, maxErrors, maxAuthFailures, maxMessages int
	loginTime, idleTime, storeTime, writeTime                         time.Duration
}

// settings fills in the defaults of s for connections of home, which is s itself or has s from PerConnection.
func (s *Server) settings(home *Server, implicitTLS bool) *settings {
	return &settings{
		Server:          s,
		home:            home,
		implicitTLS:     implicitTLS,
		hostname:        serving.Hostname(s.Hostname),
		logger:          serving.Logger(s.Logger),
		maxConnections:  serving.Limit(s.MaxConnections, DefaultMaxConnections),
		maxPerIP:        serving.Limit(s.MaxConnectionsPerIP, DefaultMaxConnectionsPerIP),
		maxErrors:       serving.Limit(s.MaxErrors, DefaultMaxErrors),
		maxAuthFailures: serving.Limit(s.MaxAuthFailures, DefaultMaxAuthFailures),
		maxMessages:     serving.Limit(s.MaxMessages, DefaultMaxMessages),
		loginTime:       serving.Timeout(s.LoginTimeout, DefaultLoginTimeout),
		idleTime:        max(serving.Timeout(s.IdleTimeout, DefaultIdleTimeout), minIdleTimeout),
		storeTime:       serving.Timeout(s.StoreTimeout, DefaultStoreTimeout),
		writeTime:       serving.Timeout(s.WriteTimeout, DefaultWriteTimeout),
	}
}
