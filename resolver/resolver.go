package resolver

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Defaults and limits.
const (
	// DefaultTimeout is the default of Resolver.Timeout.
	DefaultTimeout = 3 * time.Second
	// DefaultAttempts is the default of Resolver.Attempts.
	DefaultAttempts = 2
	// DefaultMaxQueries is the default of Resolver.MaxQueries.
	DefaultMaxQueries = 256
	// DefaultCacheEntries is the default of Resolver.CacheEntries.
	DefaultCacheEntries = 10_000
	// DefaultCacheBytes is the default of Resolver.CacheBytes.
	DefaultCacheBytes = 16 << 20
	// DefaultMaxTTL is the default of Resolver.MaxTTL.
	DefaultMaxTTL = 24 * time.Hour
	// DefaultMaxNegativeTTL is the default of Resolver.MaxNegativeTTL (RFC 2308 §5 finds one to three hours to work well).
	DefaultMaxNegativeTTL = 3 * time.Hour
	// FailureTTL is how long a failure of all servers is remembered (RFC 2308 §7, RFC 9520 §3.2), so that a broken
	// domain is not asked for by every message.
	FailureTTL = 5 * time.Second
	// DeadTime is how long a server that did not answer is only asked after all others.
	DeadTime = 30 * time.Second
	// MaxLookupTime is the longest that the servers are asked for one look-up, unless Timeout and Attempts need more.
	MaxLookupTime = time.Minute
	// MaxChain is how many CNAME records are followed one after the other.
	MaxChain = 10
	// UDPSize is the size of UDP answers that is announced with EDNS: what passes without fragments (RFC 9715 §3).
	UDPSize = 1232
)

// Resolver looks up names at recursive DNS servers and caches what they say. The zero value asks the system's servers.
// Its fields are read at the first look-up and must not change afterwards. It is safe for use by several goroutines and
// must not be copied. It needs no closing: what it does ends with the look-ups that wait for it.
type Resolver struct {
	// Servers are the recursive servers to ask, in the order of preference: "192.0.2.53:53", or an address alone for
	// port 53. Empty: those of the system (/etc/resolv.conf, read again when it is a minute old).
	Servers []string
	// Dialer connects to a server, network being "udp" or "tcp". nil: a net.Dialer. What it returns for "udp" keeps
	// datagrams apart.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	// Timeout is how long one server is waited for, anew when TCP follows on UDP. 0: DefaultTimeout.
	Timeout time.Duration
	// Attempts is how often the servers that do not answer are asked in one look-up. 0: DefaultAttempts.
	Attempts int
	// MaxQueries is how many queries are under way at once, each of which holds one socket; further ones wait.
	// 0: DefaultMaxQueries.
	MaxQueries int

	// CacheEntries is how many answers are cached; those longest unused make room. 0: DefaultCacheEntries; negative:
	// nothing is cached.
	CacheEntries int
	// CacheBytes is about how many octets of memory the cache uses. 0: DefaultCacheBytes.
	CacheBytes int
	// MinTTL makes records with a shorter TTL count for so long. 0: as the zone wants it.
	MinTTL time.Duration
	// MaxTTL is the longest that an answer counts. 0: DefaultMaxTTL, which also is the most.
	MaxTTL time.Duration
	// MaxNegativeTTL is the longest that a name or record counts as missing (RFC 2308 §5). 0: DefaultMaxNegativeTTL,
	// which also is the most.
	MaxNegativeTTL time.Duration

	// TrustAD believes the servers where they say that DNSSEC proves an answer (the AD bit). Set it only when they
	// validate and when nobody can get between them and this program (RFC 6840 §5.7, RFC 7672 §2.2): best on this host.
	TrustAD bool
	// Trace is told what happens.
	Trace *Trace
	// Logger gets what fails, at level debug, and servers that do not answer, at level warn. nil: nothing is logged.
	Logger *slog.Logger

	once    sync.Once
	conf    settings
	pool    *pool
	sockets chan struct{} // one token for each query under way

	mu      sync.Mutex // cache and flights: a look-up finds what it wants in one of them or starts a flight
	cache   *cache
	flights map[question]*flight
}

// Trace has functions that are called as things happen, by the goroutine to which they happen: they must not wait. Each
// may be nil.
type Trace struct {
	// QuerySent is called before a query goes to a server.
	QuerySent func(Query)
	// QueryDone is called with what came of it: nil or an error.
	QueryDone func(q Query, elapsed time.Duration, err error)
	// CacheHit is called when a look-up is answered from the cache. The name is lower-case, without a final dot.
	CacheHit func(name, rrtype string)
}

// Query is one question to one server, for a [Trace].
type Query struct {
	// Name is what is asked for, lower-case and without a final dot.
	Name string
	// Type is the record type, such as "MX".
	Type string
	// Server is the address asked.
	Server string
	// Network is "udp" or "tcp".
	Network string
}

// settings are a Resolver's fields with the defaults put in.
type settings struct {
	dial         func(ctx context.Context, network, addr string) (net.Conn, error)
	timeout      time.Duration
	attempts     int
	flightTime   time.Duration
	minTTL       time.Duration
	maxTTL       time.Duration
	maxNegative  time.Duration
	trace        Trace
	log          *slog.Logger
	trustAD      bool
	cacheEntries int
	cacheBytes   int
}

// start reads the fields, once.
func (r *Resolver) start() {
	r.once.Do(func() {
		r.conf = settings{
			dial:         r.Dialer,
			timeout:      positive(r.Timeout, DefaultTimeout),
			attempts:     positive(r.Attempts, DefaultAttempts),
			minTTL:       max(r.MinTTL, 0),
			maxTTL:       min(positive(r.MaxTTL, DefaultMaxTTL), DefaultMaxTTL),
			maxNegative:  min(positive(r.MaxNegativeTTL, DefaultMaxNegativeTTL), DefaultMaxNegativeTTL),
			log:          r.Logger,
			trustAD:      r.TrustAD,
			cacheEntries: r.CacheEntries,
			cacheBytes:   positive(r.CacheBytes, DefaultCacheBytes),
		}
		// One server may need its time twice, over UDP and over TCP.
		r.conf.flightTime = max(MaxLookupTime, 2*r.conf.timeout*time.Duration(r.conf.attempts))
		if r.conf.cacheEntries == 0 {
			r.conf.cacheEntries = DefaultCacheEntries
		}
		if r.conf.dial == nil {
			r.conf.dial = new(net.Dialer).DialContext
		}
		if r.conf.log == nil {
			r.conf.log = slog.New(slog.DiscardHandler)
		}
		if r.Trace != nil {
			r.conf.trace = *r.Trace
		}
		r.pool = newPool(r.Servers, systemServers)
		r.sockets = make(chan struct{}, positive(r.MaxQueries, DefaultMaxQueries))
		r.cache = newCache(r.conf.cacheEntries, r.conf.cacheBytes)
		r.flights = map[question]*flight{}
	})
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}
