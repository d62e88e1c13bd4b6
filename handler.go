package mailbricks

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Handler takes one message for the recipients of its envelope.
//
// It returns nil when it has taken the message for all of them and answers for it from then on; one error for all; or
// [Results], an outcome for each. It must not keep env or msg after it returned, nor change env; it may edit the header
// of msg, which is its own (see [Message.Clone]). ctx ends when the peer has left or the time for it is over.
type Handler interface {
	Handle(ctx context.Context, env *Envelope, msg *Message) error
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(ctx context.Context, env *Envelope, msg *Message) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, env *Envelope, msg *Message) error {
	return f(ctx, env, msg)
}

// Results has an outcome for each recipient of an envelope, in the envelope's order; nil means taken. It is the error
// of a Handler that took a message for some recipients only.
type Results []error

// Error tells the failures, one after the other.
func (r Results) Error() string {
	var b strings.Builder
	failed := 0
	for i, err := range r {
		if err == nil {
			continue
		}
		if failed++; failed > 1 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "recipient %d: %v", i+1, err)
	}
	if failed == 0 {
		return "taken for all recipients"
	}
	return b.String()
}

// Unwrap gives the failures.
func (r Results) Unwrap() []error {
	var errs []error
	for _, err := range r {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Err is r as a Handler returns it: nil when every recipient was taken, r otherwise.
func (r Results) Err() error {
	for _, err := range r {
		if err != nil {
			return r
		}
	}
	return nil
}

// errShortResults is the outcome of a recipient that a Handler's Results leave out: such a Handler is broken, and mail
// is never accepted on a guess.
var errShortResults = errors.New("mailbricks: handler gave no result for this recipient")

// resultsIn gives the Results that err is or wraps. Those beneath a reply, or joined to another error, are not what it says: mail
// would be taken as accepted that the other error refuses.
func resultsIn(err error) (Results, bool) {
	for err != nil {
		switch e := err.(type) {
		case Results:
			return e, true
		case *Reply:
			return nil, false
		}
		err = errors.Unwrap(err)
	}
	return nil, false
}

// ResultsOf gives the outcome for each of n recipients from what a Handler returned: of Results, which may be wrapped, each its
// own, and of any other error the same for all.
func ResultsOf(err error, n int) Results {
	out := make(Results, n)
	if given, ok := resultsIn(err); ok {
		for i := range out {
			out[i] = errShortResults
		}
		copy(out, given)
		return out
	}
	for i := range out {
		out[i] = err
	}
	return out
}

// Route gives the recipients whose domain local names to here and the others to there; each gets an envelope with its
// own recipients only, and neither is called without any. The domain is as the envelope has it; a recipient without a
// domain (<postmaster>, RFC 5321 §4.5.1) goes to here.
func Route(local func(domain string) bool, here, there Handler) Handler {
	return HandlerFunc(func(ctx context.Context, env *Envelope, msg *Message) error {
		split := make([]int, len(env.Recipients)) // 0: here, 1: there
		for i, rcpt := range env.Recipients {
			if domain := rcpt.Domain(); domain != "" && !local(domain) {
				split[i] = 1
			}
		}
		results := make(Results, len(env.Recipients))
		for side, next := range []Handler{here, there} {
			handleSome(ctx, next, env, msg, results, func(i int) bool { return split[i] == side })
		}
		return results.Err()
	})
}

// handleSome calls next for the recipients that pick names and files its outcomes in results.
func handleSome(ctx context.Context, next Handler, env *Envelope, msg *Message, results Results, pick func(i int) bool) {
	var rcpts []Recipient
	var at []int
	for i, rcpt := range env.Recipients {
		if pick(i) {
			rcpts, at = append(rcpts, rcpt), append(at, i)
		}
	}
	if len(rcpts) == 0 {
		return
	}
	part := msg.Clone()
	defer part.Close()
	for i, err := range ResultsOf(next.Handle(ctx, env.WithRecipients(rcpts), part), len(rcpts)) {
		results[at[i]] = err
	}
}
