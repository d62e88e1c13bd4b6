package smtpd

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// Defaults of a Server's limits.
const (
	DefaultMaxMessageSize      = 50 << 20 // octets
	DefaultMaxRecipients       = 100      // RFC 5321 §4.5.3.1.8
	DefaultMaxHops             = 50       // RFC 5321 §6.3
	DefaultMaxLineLength       = 64 << 10 // octets
	DefaultMaxLocalPart        = 64       // octets, RFC 5321 §4.5.3.1.1
	DefaultMaxErrors           = 10
	DefaultMaxBadRecipients    = 50
	DefaultMaxAuthFailures     = 3
	DefaultMaxIdleCommands     = 100
	DefaultMaxTransactions     = 1000
	DefaultMaxConnections      = 1000
	DefaultMaxConnectionsPerIP = 50
	DefaultMinDataRate         = 512 // octets a second

	DefaultMaxDeferredRecipients    = 1000
	DefaultMaxConnectionsPerNetwork = 200
)

// Defaults of a Server under stress; see Server.StressThreshold.
const (
	DefaultStressThreshold        = 0.8 // of MaxConnections
	DefaultCalmThreshold          = 0.6 // of MaxConnections
	DefaultStressCommandTimeout   = 10 * time.Second
	DefaultStressDataTimeout      = 30 * time.Second
	DefaultStressWriteTimeout     = 10 * time.Second
	DefaultStressMaxTarpit        = time.Second
	DefaultStressMaxErrors        = 1
	DefaultStressMaxBadRecipients = 5
	DefaultStressMaxAuthFailures  = 1
	DefaultStressMaxIdleCommands  = 4 // EHLO before and after STARTTLS, AUTH, and another

	DefaultStressMaxDeferredRecipients = 200 // an honest message for as many as there may be, and again
)

// Defaults of a Server's time-outs.
const (
	DefaultCommandTimeout = 5 * time.Minute  // RFC 5321 §4.5.3.2.7
	DefaultDataTimeout    = 3 * time.Minute  // RFC 5321 §4.5.3.2.5
	DefaultHandlerTimeout = 9 * time.Minute  // a client waits 10 minutes: RFC 5321 §4.5.3.2.6
	DefaultCheckTimeout   = 4 * time.Minute  // a client waits 5 minutes: RFC 5321 §4.5.3.2.2 and .3
	DefaultSessionTimeout = time.Hour        // ours
	DefaultWriteTimeout   = time.Minute      // ours
	DefaultTLSTimeout     = 30 * time.Second // ours
	DefaultMaxTarpit      = 30 * time.Second // ours
	DefaultShutdownGrace  = 5 * time.Second  // ours
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("smtpd: server closed")

// Server is an SMTP or submission server. The zero value refuses mail for want of a Handler and is otherwise safe. Fields
// are read when Serve is called and must not change afterwards.
//
// A limit of 0 is its default, a negative one is none. A time-out of 0 or less is its default.
type Server struct {
	// Addr is where ListenAndServe listens; empty: ":25", for LMTP ":24", and for ListenAndServeTLS ":465".
	Addr string
	// Hostname is this server's name in the greeting, in EHLO and in Received; empty: os.Hostname.
	Hostname string
	// Handler takes the messages. While it is nil every MAIL is answered by 451 4.3.5.
	Handler mailbricks.Handler
	// Checks are asked at each step, in their order.
	Checks []Check
	// Auth lets users log in. Nil: AUTH is not offered, and answered by 503 5.5.1.
	Auth Authenticator
	// TLSConfig makes STARTTLS available (RFC 3207) and is needed by ServeTLS. Certificates change while the server runs
	// through its GetCertificate or GetConfigForClient; Serve refuses one without any certificate. Nil: no TLS.
	TLSConfig *tls.Config

	// PerConnection, if not nil, is asked at each new connection for the Server whose fields hold for it; nil: this one's.
	// Only the fields of what it returns are used, and they must not change: to change limits, checks or Handler while
	// the server runs, return another (an atomic.Pointer[Server] does it). Sessions that run keep what they began with. Make each
	// as a new value (&Server{...}): a Server must not be copied. Those without a Spool share one.
	PerConnection func() *Server

	// RequireAuth refuses MAIL with 530 5.7.0 before log-in, as a submission server does (RFC 6409 §4.3). EHLO may then have any
	// printable word as its name, as people's computers do; otherwise it must look like a domain or an address literal.
	RequireAuth bool
	// AllowInsecureAuth offers AUTH on connections without TLS, too. Without it AUTH is answered by 538 5.7.11 there.
	AllowInsecureAuth bool
	// UnqualifiedSenders lets MAIL FROM:<name>, without a domain, by a user who has logged in through to the checks, one of
	// which must put an address in Envelope.From (as package submission does). Otherwise it is answered by 501.
	UnqualifiedSenders bool
	// LMTP makes this an LMTP server (RFC 2033), which has a reply for each recipient of a message: clients say LHLO, and a
	// Handler's [mailbricks.Results] reach them one by one. It must not listen on port 25 (RFC 2033 §5).
	LMTP bool
	// TrustXCLIENT says which peers may speak for others with XCLIENT, as a proxy does: what they say of a client's address, name
	// and log-in is believed, so a peer that is trusted can be anybody. The client's session begins anew with the greeting, so the
	// Connect checks and the limits of connections hold for it. peer is the peer itself; [PeerIn] makes such a function. Nil:
	// nobody may, and XCLIENT is answered by 502; by 550 to those who may not.
	TrustXCLIENT func(peer mailbricks.Peer) bool
	// HideSubmitter keeps the address and the names of peers that have logged in out of Received, which says "from localhost"
	// then: where users are is nobody's business who gets their mail. Checks, Handler and log know it all the same.
	HideSubmitter bool
	// NoSMTPUTF8 does not offer internationalised addresses (RFC 6531): for a Handler that cannot pass them on.
	NoSMTPUTF8 bool
	// BareLineEnds says what becomes of a message with a bare CR, a bare LF or a NUL; the default is to refuse it.
	BareLineEnds BareLineEnds
	// Spool is where messages are kept while they arrive; nil: a zero Spool.
	Spool *mailbricks.Spool
	// Logger gets a line for each message and each refusal, and more at debug level; nil: none.
	Logger *slog.Logger
	// Trace is told of what happens; see there.
	Trace Trace

	// MaxMessageSize is the size in octets, advertised as SIZE, above which a message gets 552 5.3.4; default
	// DefaultMaxMessageSize.
	MaxMessageSize int64
	// MaxRecipients is how many recipients a message may have; a further RCPT gets 452 4.5.3, so that the client sends the
	// message again for the rest (RFC 5321 §4.5.3.1.10). Default DefaultMaxRecipients.
	MaxRecipients int
	// MaxHops is the number of Received fields from which on a message counts as looping and gets 554 5.4.6; default
	// DefaultMaxHops.
	MaxHops int
	// MaxLineLength is the longest line of a message in octets, without its CRLF; above it the message gets 554 5.6.0.
	// Default DefaultMaxLineLength: RFC 5321 §4.5.3.1.6 asks for 998 at least, and mail in the wild has more.
	MaxLineLength int
	// MaxLocalPart is the longest local part of an address in octets; default DefaultMaxLocalPart. Rewritten sender
	// addresses (SRS) may need more.
	MaxLocalPart int
	// MaxErrors is how many commands of a session may be unknown, malformed or out of order; the last one gets 421 4.7.0.
	// Default DefaultMaxErrors.
	MaxErrors int
	// MaxBadRecipients is how many recipients of a session may be refused for good; the last one gets 421 4.7.0. Default
	// DefaultMaxBadRecipients.
	MaxBadRecipients int
	// MaxDeferredRecipients is how many recipients may be refused for now (by greylisting or a limit of rates, say) before a
	// message is taken, which begins the count anew; the last one gets 421 4.7.0. Default DefaultMaxDeferredRecipients.
	MaxDeferredRecipients int
	// MaxAuthFailures is how many log-ins of a session may fail; the last one gets 421 4.7.0. Default
	// DefaultMaxAuthFailures.
	MaxAuthFailures int
	// MaxIdleCommands is how many commands may pass before a message is taken, which begins the count anew: NOOP, RSET, EHLO, AUTH
	// and the like, BDAT without octets, and MAIL that is refused before any check is asked although nothing is wrong with it, as
	// for its SIZE. A further one gets 421 4.7.0. Default DefaultMaxIdleCommands.
	MaxIdleCommands int
	// MaxTransactions is how many MAIL commands a session may have; a further one gets 421 4.7.0. Default
	// DefaultMaxTransactions.
	MaxTransactions int
	// MaxConnections is how many connections there may be at a time; a further one gets 421 4.3.2. Default
	// DefaultMaxConnections.
	MaxConnections int
	// MaxConnectionsPerIP is how many connections one address (of IPv6: one /64 network) may have that have not logged in; a
	// further one gets 421 4.7.0. Default DefaultMaxConnectionsPerIP.
	MaxConnectionsPerIP int
	// MaxConnectionsPerNetwork is how many connections one network (of IPv4 a /24, of IPv6 a /48) may have that have not logged
	// in; a further one gets 421 4.7.0. Default DefaultMaxConnectionsPerNetwork or MaxConnectionsPerIP, whichever is more; none
	// if that is none.
	MaxConnectionsPerNetwork int
	// MinDataRate is how many octets of message must arrive a second on average, once DataTimeout has passed; below it the
	// connection is closed. Default DefaultMinDataRate.
	MinDataRate int

	// CommandTimeout is how long to wait for a whole command line, or a line of AUTH; default DefaultCommandTimeout.
	CommandTimeout time.Duration
	// DataTimeout is how long to wait for the next octets of a message; default DefaultDataTimeout.
	DataTimeout time.Duration
	// HandlerTimeout is when the context of the message checks and the Handler ends; default DefaultHandlerTimeout. The
	// server then waits for them to return.
	HandlerTimeout time.Duration
	// CheckTimeout is when the context of the checks of any other step, and of each step of a log-in, ends; default
	// DefaultCheckTimeout.
	CheckTimeout time.Duration
	// SessionTimeout is the age at which a session waiting for a command is closed with 421; default
	// DefaultSessionTimeout. A message that arrives is not cut off: MinDataRate bounds its time.
	SessionTimeout time.Duration
	// WriteTimeout is how long the peer may take to accept replies; then the connection is closed. Default DefaultWriteTimeout.
	WriteTimeout time.Duration
	// TLSTimeout is how long a TLS handshake may take; default DefaultTLSTimeout.
	TLSTimeout time.Duration
	// MaxTarpit is how long a [Tarpit] lets a peer wait at most; default DefaultMaxTarpit.
	MaxTarpit time.Duration
	// ShutdownGrace is how long, once Shutdown was called, a session within a transaction may take for its next command; a
	// message that arrives is waited for. Default DefaultShutdownGrace.
	ShutdownGrace time.Duration

	// StressThreshold is the share of MaxConnections from which on the server is under stress: time-outs and budgets become
	// those below, so that those who only hold their connections make room for others. Sessions that wait already have their
	// waiting time cut, too. Sessions that have logged in are spared, and those within a transaction have more time than the
	// rest. Default DefaultStressThreshold; negative, or without MaxConnections: the server is never under stress.
	StressThreshold float64
	// CalmThreshold is the share of MaxConnections down to which stress lasts; default DefaultCalmThreshold. It is always less
	// than StressThreshold.
	CalmThreshold float64
	// StressCommandTimeout is CommandTimeout and TLSTimeout under stress, outside of a transaction, where they are longer;
	// default DefaultStressCommandTimeout.
	StressCommandTimeout time.Duration
	// StressDataTimeout is DataTimeout under stress, and CommandTimeout within a transaction, where they are longer; default
	// DefaultStressDataTimeout.
	StressDataTimeout time.Duration
	// StressWriteTimeout is WriteTimeout under stress, where that is longer; default DefaultStressWriteTimeout.
	StressWriteTimeout time.Duration
	// StressMaxTarpit is MaxTarpit under stress, where that is longer; default DefaultStressMaxTarpit.
	StressMaxTarpit time.Duration
	// StressMaxErrors is MaxErrors under stress, where that is more; default DefaultStressMaxErrors. Only further errors count:
	// no session ends for what it did before.
	StressMaxErrors int
	// StressMaxBadRecipients is MaxBadRecipients under stress, like StressMaxErrors; default DefaultStressMaxBadRecipients.
	StressMaxBadRecipients int
	// StressMaxDeferredRecipients is MaxDeferredRecipients under stress, like StressMaxErrors; default
	// DefaultStressMaxDeferredRecipients.
	StressMaxDeferredRecipients int
	// StressMaxAuthFailures is MaxAuthFailures under stress, like StressMaxErrors; default DefaultStressMaxAuthFailures.
	StressMaxAuthFailures int
	// StressMaxIdleCommands is MaxIdleCommands under stress, like StressMaxErrors; default DefaultStressMaxIdleCommands.
	StressMaxIdleCommands int

	buffers buffers
	spool   mailbricks.Spool // while Spool is nil

	life serving.Life
}

// settings are a Server's fields with their defaults filled in, as a connection uses them.
type settings struct {
	*Server             // whose fields hold
	home        *Server // which serves
	implicitTLS bool
	Trace       Trace // that of the Server, guarded

	hostname string
	spool    *mailbricks.Spool
	logger   *slog.Logger

	maxMessageSize                               int64
	maxRecipients, maxHops, maxLine, maxLocal    int
	maxErrors, maxBadRecipients, maxAuthFailures int
	maxIdleCommands, maxTransactions             int
	maxDeferred                                  int
	maxConnections, maxPerIP, maxPerNetwork      int
	minDataRate, stressAt, calmAt                int

	commandTime, dataTime, handlerTime, checkTime time.Duration
	sessionTime, writeTime, tlsTime, maxTarpit    time.Duration
	shutdownGrace                                 time.Duration

	stress stressSettings
}

// settings fills in the defaults of s for connections of home, which is s itself or has s from PerConnection.
func (s *Server) settings(home *Server, implicitTLS bool) *settings {
	c := &settings{
		Server:           s,
		home:             home,
		implicitTLS:      implicitTLS,
		hostname:         serving.Hostname(s.Hostname),
		spool:            s.Spool,
		logger:           serving.Logger(s.Logger),
		maxMessageSize:   serving.Limit(s.MaxMessageSize, DefaultMaxMessageSize),
		maxRecipients:    serving.Limit(s.MaxRecipients, DefaultMaxRecipients),
		maxHops:          serving.Limit(s.MaxHops, DefaultMaxHops),
		maxLine:          serving.Limit(s.MaxLineLength, DefaultMaxLineLength),
		maxLocal:         serving.Limit(s.MaxLocalPart, DefaultMaxLocalPart),
		maxErrors:        serving.Limit(s.MaxErrors, DefaultMaxErrors),
		maxBadRecipients: serving.Limit(s.MaxBadRecipients, DefaultMaxBadRecipients),
		maxDeferred:      serving.Limit(s.MaxDeferredRecipients, DefaultMaxDeferredRecipients),
		maxAuthFailures:  serving.Limit(s.MaxAuthFailures, DefaultMaxAuthFailures),
		maxIdleCommands:  serving.Limit(s.MaxIdleCommands, DefaultMaxIdleCommands),
		maxTransactions:  serving.Limit(s.MaxTransactions, DefaultMaxTransactions),
		maxConnections:   serving.Limit(s.MaxConnections, DefaultMaxConnections),
		maxPerIP:         serving.Limit(s.MaxConnectionsPerIP, DefaultMaxConnectionsPerIP),
		minDataRate:      serving.Limit(s.MinDataRate, DefaultMinDataRate),
		commandTime:      serving.Timeout(s.CommandTimeout, DefaultCommandTimeout),
		dataTime:         serving.Timeout(s.DataTimeout, DefaultDataTimeout),
		handlerTime:      serving.Timeout(s.HandlerTimeout, DefaultHandlerTimeout),
		checkTime:        serving.Timeout(s.CheckTimeout, DefaultCheckTimeout),
		sessionTime:      serving.Timeout(s.SessionTimeout, DefaultSessionTimeout),
		writeTime:        serving.Timeout(s.WriteTimeout, DefaultWriteTimeout),
		tlsTime:          serving.Timeout(s.TLSTimeout, DefaultTLSTimeout),
		maxTarpit:        serving.Timeout(s.MaxTarpit, DefaultMaxTarpit),
		shutdownGrace:    serving.Timeout(s.ShutdownGrace, DefaultShutdownGrace),
	}
	c.Trace = s.Trace.guarded(c.logger)
	if c.spool == nil {
		c.spool = &home.spool // not of s, which PerConnection may make anew for each connection
	}
	c.maxPerNetwork = perNetwork(s.MaxConnectionsPerNetwork, c.maxPerIP)
	c.stressAt, c.calmAt = s.thresholds(c.maxConnections)
	c.stress = s.stressSettings()
	return c
}
