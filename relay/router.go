package relay

import (
	"context"
	"errors"
	"strconv"

	"github.com/mailbricks/mailbricks"
)

// Router is a Transport that chooses one of several for each recipient.
type Router struct {
	// Transports are those to choose from.
	Transports []Transport
	// Pick gives the index of the one for mail from this sender to this recipient. It is asked when a message is queued
	// and again at each attempt.
	Pick func(from, recipient string) int
}

// Split is a Router that gives the recipients whose domain local names to here and the others to there, as
// [mailbricks.Route] does with Handlers: so that what a local store could not take for now is tried there again. A
// recipient without a domain is local.
func Split(local func(domain string) bool, here, there Transport) *Router {
	return &Router{Transports: []Transport{here, there}, Pick: func(_, recipient string) int {
		if _, domain := mailbricks.SplitAddress(recipient); domain != "" && !local(domain) {
			return 1
		}
		return 0
	}}
}

var errNoTransport = errors.New("relay: router has no transport for this recipient")

// Deliver implements Transport.
func (r *Router) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []Outcome {
	out := failAll(len(env.Recipients), Outcome{Err: errNoTransport})
	groups := make([][]int, len(r.Transports))
	for i, rcpt := range env.Recipients {
		if n := r.Pick(env.From, rcpt.Address); n >= 0 && n < len(groups) {
			groups[n] = append(groups[n], i)
		}
	}
	for n, group := range groups {
		deliverSome(ctx, r.Transports[n], env, msg, group, out)
	}
	return out
}

// deliverSome has a transport deliver to the recipients at some indexes and files the outcomes there.
func deliverSome(ctx context.Context, t Transport, env *mailbricks.Envelope, msg *mailbricks.Message, at []int, out []Outcome) {
	if len(at) == 0 {
		return
	}
	rcpts := make([]mailbricks.Recipient, len(at))
	for k, i := range at {
		rcpts[k] = env.Recipients[i]
	}
	inner := withCall(ctx, &call{hostname: callerHostname(ctx), beforeDot: func(recipients []int) error {
		outer := make([]int, len(recipients))
		for k, i := range recipients {
			outer[k] = at[i]
		}
		return BeforeDot(ctx, outer)
	}})
	got := t.Deliver(inner, env.WithRecipients(rcpts), msg)
	for k, i := range at {
		if k < len(got) {
			out[i] = got[k]
		} else {
			out[i] = Outcome{Err: errNoOutcome}
		}
	}
}

// errNoOutcome is the outcome of a recipient that a transport leaves out.
var errNoOutcome = errors.New("relay: transport gave no outcome for this recipient")

// Destination implements Destiner.
func (r *Router) Destination(from, recipient string) string {
	n := r.Pick(from, recipient)
	if n < 0 || n >= len(r.Transports) {
		return ""
	}
	return strconv.Itoa(n) + " " + destination(r.Transports[n], from, recipient)
}

// Validate checks the transports that can be checked.
func (r *Router) Validate() error {
	var errs []error
	for _, t := range r.Transports {
		if v, ok := t.(interface{ Validate() error }); ok {
			errs = append(errs, v.Validate())
		}
	}
	return errors.Join(errs...)
}

// Close closes the transports that can be closed.
func (r *Router) Close() error {
	var errs []error
	for _, t := range r.Transports {
		if c, ok := t.(interface{ Close() error }); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// ToHandler makes a Handler, such as a local mail store, a Transport. All its recipients are one destination.
func ToHandler(h mailbricks.Handler) Transport { return toHandler{h} }

type toHandler struct{ handler mailbricks.Handler }

// Deliver implements Transport.
func (t toHandler) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []Outcome {
	n := len(env.Recipients)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if err := BeforeDot(ctx, all); err != nil {
		return failAll(n, Outcome{Err: err})
	}
	own := msg.Clone()
	defer own.Close()
	out := make([]Outcome, n)
	for i, err := range mailbricks.ResultsOf(t.handler.Handle(ctx, env, own), n) {
		if err != nil { // the outcome must not be lost as ResultsOf has it
			err = mailbricks.ReplyTo(err)
		}
		out[i] = Outcome{Err: err}
	}
	return out
}

// Destination implements Destiner.
func (t toHandler) Destination(_, _ string) string { return "handler" }
