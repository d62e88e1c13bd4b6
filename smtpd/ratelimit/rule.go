package ratelimit

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/mailbricks/mailbricks/smtpd"
)

// What is what a rule counts.
type What int

// What a rule can count.
const (
	Connections What = iota // at the greeting
	Messages                // at MAIL
	Recipients              // at RCPT
)

// String is the plural of what is counted.
func (w What) String() string {
	names := [...]string{"connections", "messages", "recipients"}
	if w < 0 || int(w) >= len(names) {
		return fmt.Sprintf("What(%d)", int(w))
	}
	return names[w]
}

// MarshalText gives String, for JSON and the like.
func (w What) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// Rule is one limit: a token bucket for each value of its key, which holds Burst tokens and gets Count new ones each Per.
type Rule struct {
	// Name is what the log, the peer and the administrator call the rule; empty: what it counts and by which key. Rules of a
	// Limiter have different names.
	Name string
	// What is counted.
	What What
	// Key says by what: each value of the key has a bucket of its own.
	Key Key
	// Count is how many there may be in the time Per, in the long run: one at least.
	Count int
	// Per is the time for Count. There is no default: without it the rule is an error.
	Per time.Duration
	// Burst is how many there may be at once after a rest; 0: Count.
	Burst int
	// Weight, if not nil, is how many tokens one costs: 0 or less is for free, and what costs more than Burst costs Burst. The
	// step is that of PhaseConnect, PhaseMail or PhaseRcpt.
	Weight func(*smtpd.Step) int
	// Refund gives the tokens back for what comes to nothing: a recipient that a check behind this one refuses, a message that
	// is given up or refused for all its recipients, and each recipient for which it is refused. Without it attempts count. For
	// Connections it means nothing.
	Refund bool
}

// ErrRule says that a rule makes no sense.
var ErrRule = errors.New("invalid rule")

// complete fills in the defaults and says what is wrong.
func (r *Rule) complete() error {
	if r.Name == "" {
		r.Name = r.What.String() + " by " + r.Key.String()
	}
	if r.Burst == 0 {
		r.Burst = r.Count
	}
	wrong := ""
	switch {
	case r.What < Connections || r.What > Recipients:
		wrong = "counts nothing"
	case r.Key.kind == byNothing:
		wrong = "has no key"
	case r.Key.phase() > r.phase():
		wrong = fmt.Sprintf("counts %s by what is known later", r.What)
	case r.Count < 1 || r.Burst < 1 || r.Per <= 0:
		wrong = "has a limit that is not positive"
	case int64(r.Per)/int64(r.Count) < 1:
		wrong = "allows more than one a nanosecond"
	case int64(r.Per)/int64(r.Count) > math.MaxInt64/4/int64(r.Burst):
		wrong = "takes longer than can be counted"
	default:
		return nil
	}
	return fmt.Errorf("ratelimit: rule %q %s: %w", r.Name, wrong, ErrRule)
}

// phase is the step at which the rule counts.
func (r *Rule) phase() smtpd.Phase {
	switch r.What {
	case Messages:
		return smtpd.PhaseMail
	case Recipients:
		return smtpd.PhaseRcpt
	}
	return smtpd.PhaseConnect
}

// Inbound are rules for a server that takes mail from anybody: generous for mail servers, and for IPv6 by the /64 of a customer
// and the /48 of a site.
func Inbound() []Rule {
	return []Rule{
		{What: Connections, Key: Network(32, 64), Count: 60, Per: time.Minute, Burst: 120},
		{What: Connections, Key: Network(24, 48), Count: 240, Per: time.Minute, Burst: 480},
		{What: Messages, Key: Network(32, 64), Count: 120, Per: time.Minute, Burst: 500},
		{What: Messages, Key: Network(24, 48), Count: 480, Per: time.Minute, Burst: 2000},
		{What: Recipients, Key: Network(32, 64), Count: 600, Per: time.Minute, Burst: 2000},
	}
}

// Outbound are rules for a submission server: what a person sends, and not what somebody does with a stolen password.
func Outbound() []Rule {
	return []Rule{
		{Name: "user", What: Messages, Key: Login(), Count: 300, Per: time.Hour, Burst: 150, Refund: true},
		{Name: "user recipients", What: Recipients, Key: Login(), Count: 2000, Per: 24 * time.Hour, Burst: 1000, Refund: true},
	}
}
