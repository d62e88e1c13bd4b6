package dkim

import (
	"context"
	"net"
	"time"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// Limits and their defaults.
const (
	// DefaultMaxHeader is the default of Options.MaxHeader, in octets.
	DefaultMaxHeader = 1 << 20
	// DefaultMaxSignatures is the default of Options.MaxSignatures.
	DefaultMaxSignatures = 10
	// DefaultMaxSkew is the default of Options.MaxSkew.
	DefaultMaxSkew = time.Hour
	// DefaultLookupTimeout is the default of Options.LookupTimeout.
	DefaultLookupTimeout = 20 * time.Second
	// MinRSABits is the size of the smallest RSA key that is ever accepted (RFC 8301 §3.2).
	MinRSABits = 1024
	// MaxRSABits is the size of the largest RSA key that is accepted, as large ones cost time. RFC 8301 asks for 4096.
	MaxRSABits = 8192
	// MaxKeyRecords is how many TXT records under one name are tried as key. RFC 6376 §3.6.2.2 leaves the result of
	// more than one undefined.
	MaxKeyRecords = 8
	// MaxSignedNames is how many names h= may list.
	MaxSignedNames = wire.MaxSignedNames
)

// Resolver asks the DNS for key records. *net.Resolver is one. Names come with a final dot. A *net.DNSError with
// IsNotFound, anywhere in an error's chain, says that there is no such record; one that is neither temporary nor a
// time-out is permanent; any other error counts as temporary.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Options are a verifier's limits. The zero value has the defaults.
type Options struct {
	// MaxHeader is how many octets the header may have. A longer one gives a single result, a PermError. 0:
	// DefaultMaxHeader.
	MaxHeader int
	// MaxSignatures is how many valid signatures are evaluated, from the top; so it bounds the DNS look-ups. At most four
	// times as many fields are read to find them. The rest give one result together, Neutral. 0: DefaultMaxSignatures.
	MaxSignatures int
	// MinRSABits refuses smaller RSA keys with Policy. 0 and all below: MinRSABits.
	MinRSABits int
	// MaxSkew is how far t= may lie ahead and x= back, as clocks differ. 0: DefaultMaxSkew; negative: none.
	MaxSkew time.Duration
	// LookupTimeout bounds the key look-ups, which run side by side. 0: DefaultLookupTimeout.
	LookupTimeout time.Duration
	// Now is the time that x= and t= are compared with: best when the message was received. nil: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxHeader <= 0 {
		o.MaxHeader = DefaultMaxHeader
	}
	if o.MaxSignatures <= 0 {
		o.MaxSignatures = DefaultMaxSignatures
	}
	o.MinRSABits = max(o.MinRSABits, MinRSABits)
	if o.MaxSkew == 0 {
		o.MaxSkew = DefaultMaxSkew
	}
	o.MaxSkew = max(o.MaxSkew, 0)
	if o.LookupTimeout <= 0 {
		o.LookupTimeout = DefaultLookupTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func resolverOr(r Resolver) Resolver {
	if r == nil {
		return net.DefaultResolver
	}
	return r
}
