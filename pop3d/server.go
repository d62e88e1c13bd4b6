package pop3d

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
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

	mu        sync.Mutex
	listeners map[*net.Listener]struct{} // pointers: a Listener need not be comparable
	conns     map[*conn]struct{}
	perIP     map[string]int
	inUse     map[string]struct{} // users whose maildrop is locked
	logins    logins
	state     serverState
	base      context.Context // ends with Close, or when Shutdown's time is over
	cancel    context.CancelCauseFunc
	drained   chan struct{} // closed when Shutdown has nothing left to wait for
}

// serverState says whether new work is taken.
type serverState int

const (
	serving  serverState = iota
	draining             // Shutdown: commands that run may end
	closed
)

// settings are a Server's fields with their defaults filled in, as one Serve uses them.
type settings struct {
	*Server
	implicitTLS bool

	hostname string
	logger   *slog.Logger

	maxConnections, maxPerIP, maxErrors, maxAuthFailures, maxMessages int
	loginTime, idleTime, storeTime, writeTime                         time.Duration
}

// settings fills in the defaults.
func (s *Server) settings() *settings {
	c := &settings{
		Server:          s,
		hostname:        s.Hostname,
		logger:          s.Logger,
		maxConnections:  limit(s.MaxConnections, DefaultMaxConnections),
		maxPerIP:        limit(s.MaxConnectionsPerIP, DefaultMaxConnectionsPerIP),
		maxErrors:       limit(s.MaxErrors, DefaultMaxErrors),
		maxAuthFailures: limit(s.MaxAuthFailures, DefaultMaxAuthFailures),
		maxMessages:     limit(s.MaxMessages, DefaultMaxMessages),
		loginTime:       timeout(s.LoginTimeout, DefaultLoginTimeout),
		idleTime:        max(timeout(s.IdleTimeout, DefaultIdleTimeout), minIdleTimeout),
		storeTime:       timeout(s.StoreTimeout, DefaultStoreTimeout),
		writeTime:       timeout(s.WriteTimeout, DefaultWriteTimeout),
	}
	if c.hostname == "" {
		c.hostname = ownHostname()
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// limit gives the value of a limit: its default for 0; a negative one stays and is tested by over.
func limit(given, otherwise int) int {
	if given == 0 {
		return otherwise
	}
	return given
}

// over says whether n is beyond limit; nothing is beyond a negative one.
func over(n, limit int) bool { return limit >= 0 && n > limit }

func timeout(given, otherwise time.Duration) time.Duration {
	if given <= 0 {
		return otherwise
	}
	return given
}

// ownHostname is the system's name for itself.
func ownHostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}
