package ban

import (
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// Defaults of Options. By these six failed log-ins in quick succession ban, or 34 recipients that do not exist, or 50
// commands that make no sense.
const (
	DefaultThreshold    = 100.0
	DefaultHalfLife     = 12 * time.Hour
	DefaultFirstBan     = time.Hour
	DefaultMaxBan       = 7 * 24 * time.Hour
	DefaultForgetAfter  = 30 * 24 * time.Hour
	DefaultIPv6Bits     = 64
	DefaultMaxOffenders = 100_000
	DefaultMaxBans      = 100_000

	DefaultAuthFailure  = 18.0
	DefaultBadRecipient = 3.0
	DefaultError        = 2.0
)

// Options are who is banned, and for how long. The zero value is a good default.
type Options struct {
	// Never are networks that are not banned, whatever comes from them.
	Never []netip.Prefix
	// Own gives addresses of this machine, which are not banned either, nor are networks with one of them. It is asked once a
	// minute at most. Nil: those of its interfaces and, on Linux, its default gateways, from which clients seem to come when
	// addresses are translated, as by Docker. Loopback is never banned.
	Own func() []netip.Addr

	// Threshold is how many points ban; default DefaultThreshold. One in twenty may be missing, so that points which have
	// become a little fewer meanwhile do.
	Threshold float64
	// HalfLife is the time in which points become half as many; default DefaultHalfLife.
	HalfLife time.Duration
	// FirstBan is how long the first ban lasts; each further one lasts twice as long as the one before, and MaxBan at most.
	// Default DefaultFirstBan and DefaultMaxBan.
	FirstBan, MaxBan time.Duration
	// ForgetAfter is how long after the end of its last ban a peer is as new; default DefaultForgetAfter.
	ForgetAfter time.Duration
	// IPv6Bits is the length of the networks that are banned for one of their IPv6 addresses; default DefaultIPv6Bits.
	IPv6Bits int

	// AuthFailure, BadRecipient and Error are the points for what the check sees in a session: a log-in that failed, a
	// recipient that was refused for good, a command that was unknown, malformed or out of order. 0: DefaultAuthFailure,
	// DefaultBadRecipient, DefaultError; negative: none.
	AuthFailure, BadRecipient, Error float64
	// Checks are the points for a refusal by the check with that name: see [Bans.Outcome]. Nil: 25 for "earlytalker". A check
	// that refuses for now, such as a limit of rates or greylisting, is no good reason: what it asks for is to try again, which
	// an honest server with much to send does soon and often.
	Checks map[string]float64

	// MaxOffenders is how many peers with points are kept; beyond, the one with the fewest points is forgotten. Default
	// DefaultMaxOffenders.
	MaxOffenders int
	// MaxBans is how many bans are kept; beyond, the one that ends first is lifted. Default DefaultMaxBans.
	MaxBans int

	// OnBan, if not nil, is told of each ban: for metrics and messages. It should return at once.
	OnBan func(Ban)
	// Logger gets a line for each ban and each that is lifted, and what is wrong with the file; nil: none.
	Logger *slog.Logger
}

// points is v, the default for 0, or none for what is negative.
func points(v, def float64) float64 {
	if v == 0 {
		return def
	}
	return max(v, 0)
}

// complete fills in the defaults.
func (o *Options) complete() {
	o.Threshold = serving.Positive(o.Threshold, DefaultThreshold)
	o.HalfLife = max(serving.Positive(o.HalfLife, DefaultHalfLife), time.Second)
	o.FirstBan = max(serving.Positive(o.FirstBan, DefaultFirstBan), time.Second)
	o.MaxBan = max(serving.Positive(o.MaxBan, DefaultMaxBan), o.FirstBan)
	o.ForgetAfter = serving.Positive(o.ForgetAfter, DefaultForgetAfter)
	o.IPv6Bits = min(serving.Positive(o.IPv6Bits, DefaultIPv6Bits), 128)
	o.AuthFailure = points(o.AuthFailure, DefaultAuthFailure)
	o.BadRecipient = points(o.BadRecipient, DefaultBadRecipient)
	o.Error = points(o.Error, DefaultError)
	if o.Checks == nil {
		o.Checks = map[string]float64{"earlytalker": 25}
	}
	o.Checks = maps.Clone(o.Checks) // the caller may change his own while sessions run
	o.MaxOffenders = serving.Positive(o.MaxOffenders, DefaultMaxOffenders)
	o.MaxBans = serving.Positive(o.MaxBans, DefaultMaxBans)
	if o.Own == nil {
		o.Own = machine
	}
	o.Logger = serving.Logger(o.Logger)
}
