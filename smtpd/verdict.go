package smtpd

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/mailbricks/mailbricks"
)

// Action is what becomes of a step.
type Action int

// The actions. A hook's nil is Pass; a hook asks for Refuse with any error that is no [Verdict] and for the others with the
// functions of their names.
const (
	Pass           Action = iota // the next check is asked
	AcceptStep                   // the step is over, with success: later checks are not asked
	Refuse                       // the peer gets the refusal
	QuarantineMail               // the mail is put aside when it is stored; the next check is asked
	DiscardMail                  // the peer is told that all is well, and the mail is thrown away
	TarpitPeer                   // the peer waits for what comes of the step
	ClosePeer                    // the session ends with the refusal
)

func (a Action) String() string {
	names := [...]string{"pass", "accept", "refuse", "quarantine", "discard", "tarpit", "close"}
	if a < 0 || int(a) >= len(names) {
		return fmt.Sprintf("Action(%d)", int(a))
	}
	return names[a]
}

// Verdict is what a check says of a step when nil and a refusal do not do. It is an error, so that a hook returns it as it
// returns a refusal; [Accept], [Quarantine], [Discard], [Tarpit] and [Close] make it. It may be wrapped. Of several errors
// that are joined the strictest is what the check says: Close, a refusal (any error that is no Verdict), Discard, Quarantine,
// Tarpit, Pass, Accept; a Tarpit is as strict as what it goes on with.
type Verdict struct {
	// Action is what is to become of the step.
	Action Action
	// Reason is for the log, and for Quarantine in the envelope: one line of text.
	Reason string
	// Delay is how long the peer waits: TarpitPeer.
	Delay time.Duration
	// Err is the outcome after the wait of TarpitPeer (nil: the next check is asked), and the refusal of ClosePeer.
	Err error
}

// Error tells the action and its reason.
func (v *Verdict) Error() string {
	text := "smtpd: " + v.Action.String()
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	if v.Err != nil {
		text += ": " + v.Err.Error()
	}
	return text
}

// Unwrap gives Err.
func (v *Verdict) Unwrap() error { return v.Err }

// Accept ends a step with success: later checks are not asked at it, nor is the check's own Around. At Message the Handler is.
func Accept(reason string) error { return &Verdict{Action: AcceptStep, Reason: reason} }

// Temporary is a refusal that may pass: 451 with the enhanced code 4.7.1. More is said by a [mailbricks.Reply].
func Temporary(text string) error {
	return &mailbricks.Reply{Code: 451, Enhanced: "4.7.1", Text: text}
}

// Permanent is a refusal for good: 550 with the enhanced code 5.7.1. More is said by a [mailbricks.Reply].
func Permanent(text string) error {
	return &mailbricks.Reply{Code: 550, Enhanced: "5.7.1", Text: text}
}

// Quarantine asks the store to put the mail aside (see [mailbricks.Envelope].Quarantine) and goes on: said at Mail or later
// that message, also when it is said at Rcpt of one recipient; said at Connect all messages of the session; said at Hello
// those until the next EHLO, HELO or STARTTLS. The first reason stands.
func Quarantine(reason string) error { return &Verdict{Action: QuarantineMail, Reason: reason} }

// Discard accepts and throws away: said at Rcpt the mail for that recipient, said at another step of a transaction the
// message, said at Connect all messages of the session, said at Hello those until the next EHLO, HELO or STARTTLS. Later
// checks of the step are not asked, nor are for such a message the Message checks and the Handler.
func Discard(reason string) error { return &Verdict{Action: DiscardMail, Reason: reason} }

// Tarpit lets the peer wait for delay, of which the server may cut off what is above its MaxTarpit, and goes on with err: nil,
// a refusal, or another Verdict. The wait is cut short when stress begins (see Server.StressMaxTarpit). It ends early when the
// peer leaves, the time for the step is over or the server shuts down: in a refusal for now, unless the Handler has been
// asked, whose answer then stands.
func Tarpit(delay time.Duration, err error) error {
	return &Verdict{Action: TarpitPeer, Delay: delay, Err: err}
}

// Close ends the session with the reply for err, whatever its code: 421 if err is no [mailbricks.Reply].
func Close(err error) error { return &Verdict{Action: ClosePeer, Err: err} }

// verdictOf is the verdict that err comes to; false: a refusal. Nothing that is beneath a reply is a verdict. Of several errors
// in one (errors.Join, or fmt.Errorf with more than one %w) the strictest holds, and one that is no verdict is a refusal.
func verdictOf(err error) (*Verdict, bool) {
	v, _ := strictest(err)
	return v, v != nil
}

// strictest gives the verdict that err comes to, nil for a refusal, and how strict it is.
func strictest(err error) (*Verdict, int) {
	const refusal = 5
	switch e := err.(type) {
	case *Verdict:
		return e, e.strictness()
	case *mailbricks.Reply:
		return nil, refusal
	case interface{ Unwrap() error }:
		return strictest(e.Unwrap())
	case interface{ Unwrap() []error }:
		var most *Verdict
		strict := -1
		for _, err := range e.Unwrap() {
			if v, n := strictest(err); n > strict {
				most, strict = v, n
			}
		}
		if strict >= 0 {
			return most, strict
		}
	}
	return nil, refusal
}

// strictness puts verdicts in an order, of which strictest has the refusal.
func (v *Verdict) strictness() int {
	switch v.Action {
	case AcceptStep:
		return 0
	case Pass:
		return 1
	case TarpitPeer:
		if v.Err != nil {
			_, then := strictest(v.Err)
			return max(2, then)
		}
		return 2
	case QuarantineMail:
		return 3
	case DiscardMail:
		return 4
	case ClosePeer:
		return 6
	}
	return 5
}

// maxReason is how many octets of a verdict's reason are kept.
const maxReason = 200

// reason is why, in one line of text; otherwise stands for none.
func (v *Verdict) reason(otherwise string) string {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(v.Reason, "?"))
	text = strings.TrimSpace(text)
	if text == "" {
		return otherwise
	}
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") // nothing of a rune that was cut
	}
	return text
}
