package arc

import (
	"time"

	"github.com/mailbricks/mailbricks/dkim"
)

// Limits and their defaults.
const (
	// MaxSets is how many sets a chain may have (RFC 8617 §4.2.1).
	MaxSets = 50
	// DefaultMaxHeader is the default of Options.MaxHeader and Sealer.MaxHeader, in octets.
	DefaultMaxHeader = dkim.DefaultMaxHeader
	// DefaultMaxSkew is the default of Options.MaxSkew.
	DefaultMaxSkew = dkim.DefaultMaxSkew
	// DefaultLookupTimeout is the default of Options.LookupTimeout.
	DefaultLookupTimeout = dkim.DefaultLookupTimeout
)

// Options are a verifier's limits. The zero value has the defaults.
type Options struct {
	// MaxHeader is how many octets the header may have. With a longer one the chain fails. 0: DefaultMaxHeader.
	MaxHeader int
	// MinRSABits refuses smaller RSA keys. 0 and all below: dkim.MinRSABits.
	MinRSABits int
	// MaxSkew is how far t= may lie ahead and x= back, as clocks differ. 0: DefaultMaxSkew; negative: none.
	MaxSkew time.Duration
	// LookupTimeout bounds all key look-ups together; they are made one after the other. 0: DefaultLookupTimeout.
	LookupTimeout time.Duration
	// Now is the time that x= and t= are compared with: best when the message was received. nil: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxHeader <= 0 {
		o.MaxHeader = DefaultMaxHeader
	}
	o.MinRSABits = max(o.MinRSABits, dkim.MinRSABits)
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
