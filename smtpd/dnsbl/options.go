package dnsbl

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Defaults of Options.
const (
	DefaultRefuseAt      = 1
	DefaultGoodAt        = -1
	DefaultMaxTime       = 4 * time.Second
	DefaultStressTime    = time.Second
	DefaultTestInterval  = time.Hour
	DefaultMaxUnanswered = 5
	DefaultMaxLookups    = 128
)

// Limits that no option changes.
const (
	// RetryTime is how long after a self-test that a list has not passed the next one is made; it doubles with each up to
	// Options.TestInterval.
	RetryTime = 30 * time.Second
	// MaxInRow is after how many listings in a row, with nothing between that is not listed, a list must show that it does not
	// list everything: by a self-test, unless the last is younger than RetryTime.
	MaxInRow = 16
	// AnswerTime is how long a session goes by what lists said of its client before a further transaction asks again.
	AnswerTime = 5 * time.Minute
	// MaxCodes is how many return codes of an answer are looked at.
	MaxCodes = 32
	// MaxText is how many octets of a list's text go into a reply.
	MaxText = 200
	// TextTime is how long that text is waited for.
	TextTime = 2 * time.Second
)

// Resolver asks the DNS: *net.Resolver and *resolver.Resolver do. One with a cache is wanted, as nothing is kept here. Names
// end with a dot, and the network is "ip4". A name that does not exist is a *net.DNSError with IsNotFound, and any other error
// means that nothing is known. When ctx ends the methods return, which the end of a session waits for.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Options say which lists to ask and what to do about it. The zero value asks none.
type Options struct {
	// Lists are asked all at the same time, each zone once for a subject however many of them have it.
	Lists []List
	// Resolver asks the DNS; nil: net.DefaultResolver.
	Resolver Resolver

	// RefuseAt is the score from which on recipients are refused for good, by 554 5.7.1. 0: DefaultRefuseAt; negative: never.
	RefuseAt int
	// TemporaryAt is the score from which on recipients are refused for now, by 451 4.7.1. 0 or less: never.
	TemporaryAt int
	// QuarantineAt is the score from which on mail is put aside. 0 or less: never. Of what applies the strictest is done.
	QuarantineAt int
	// GoodAt is the score, a negative one, at and below which Result.Good tells later checks that the client has a good
	// name. 0: DefaultGoodAt; positive: never.
	GoodAt int

	// MaxTime is how long lists may take to answer, from when they are asked. One that takes longer does not count.
	// 0: DefaultMaxTime.
	MaxTime time.Duration
	// StressTime is how long of MaxTime a session waits when the server is under stress. 0: DefaultStressTime.
	StressTime time.Duration
	// TestInterval is how long a list is trusted after a self-test. 0: DefaultTestInterval.
	TestInterval time.Duration
	// MaxUnanswered is how many queries in a row a list may leave unanswered; after the last one it is switched off unless it
	// answers a self-test. 0: DefaultMaxUnanswered.
	MaxUnanswered int
	// MaxLookups is how many queries may be under way, of all sessions together; what is above is not asked and does not
	// count. Self-tests come on top, two for a list and class. 0: DefaultMaxLookups.
	MaxLookups int

	// Skip names sessions for which nobody is asked, such as those from one's own networks; nil: none. Private and loopback
	// addresses and users who have logged in never are.
	Skip func(s *smtpd.Session) bool
	// Exempt names recipients who get mail from listed clients all the same; nil: [Postmaster].
	Exempt func(rcpt mailbricks.Recipient) bool
	// OnResult is told of the outcome for each transaction when its first recipient is there; nil: nobody. It may be called
	// by several sessions at once and must not change the result.
	OnResult func(ctx context.Context, tx *smtpd.Transaction, r Result)
	// Logger gets a line each time that a list is switched off or comes back; nil: none.
	Logger *slog.Logger
}

// Postmaster says whether the recipient is a postmaster: whoever is listed by mistake can write there (RFC 5321 §4.5.1).
func Postmaster(rcpt mailbricks.Recipient) bool {
	local, _ := mailbricks.SplitAddress(rcpt.Given())
	return strings.EqualFold(local, "postmaster")
}

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Exempt == nil {
		o.Exempt = Postmaster
	}
	o.Logger = serving.Logger(o.Logger)
	o.RefuseAt = cmp.Or(o.RefuseAt, DefaultRefuseAt)
	o.GoodAt = cmp.Or(o.GoodAt, DefaultGoodAt)
	o.MaxTime = serving.Timeout(o.MaxTime, DefaultMaxTime)
	o.StressTime = serving.Timeout(o.StressTime, DefaultStressTime)
	o.TestInterval = serving.Timeout(o.TestInterval, DefaultTestInterval)
	if o.MaxUnanswered <= 0 {
		o.MaxUnanswered = DefaultMaxUnanswered
	}
	if o.MaxLookups <= 0 {
		o.MaxLookups = DefaultMaxLookups
	}
	return o
}
