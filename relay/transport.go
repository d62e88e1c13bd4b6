package relay

import (
	"context"
	"net/netip"
	"strings"

	"github.com/mailbricks/mailbricks"
)

// Transport brings a message to its recipients, once: the queue decides about trying again.
//
// Deliver gives an outcome for each recipient of env, in its order; one that it leaves out failed for now. It must not
// keep env or msg after it returned, nor change env. It ends early when ctx ends. A Transport that knows the moment
// after which the recipients may have the message calls [BeforeDot] right before it.
//
// Two optional methods are called by the Queue: Validate() error by [Open], and Close() error by [Queue.Close].
type Transport interface {
	Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []Outcome
}

// Destiner is an optional ability of a Transport: it names where a message from this sender to this recipient goes.
// Recipients of one message with the same destination are delivered to in one call of Deliver, and
// [Options].MaxPerDestination counts these calls. Without it, the destination is the recipient's domain in lower case.
type Destiner interface {
	Destination(from, recipient string) string
}

// Outcome is what came of an attempt for one recipient.
type Outcome struct {
	// Err is nil when the peer has taken the message. A *mailbricks.Reply of class 5 in its chain is a failure for
	// good, every other error one for now.
	Err error
	// Unknown says, with Err, that the peer may have taken the message: the connection broke after the final dot.
	Unknown bool
	// Unreachable says, with Err, that no peer could be spoken to at all. The queue then gives the destination a rest.
	Unreachable bool
	// Host and Addr are the peer's name and address.
	Host string
	Addr netip.AddrPort
	// Reply is the peer's reply to which the outcome is due, with its code, on one line; empty when there was none.
	Reply string
	// TLS is the protocol version and the cipher suite of the connection; empty for one in clear.
	TLS string
}

// failAll gives all recipients the same outcome.
func failAll(n int, o Outcome) []Outcome {
	out := make([]Outcome, n)
	for i := range out {
		out[i] = o
	}
	return out
}

// destination asks a transport where a recipient is.
func destination(t Transport, from, recipient string) string {
	if d, ok := t.(Destiner); ok {
		return d.Destination(from, recipient)
	}
	_, domain := mailbricks.SplitAddress(recipient)
	return strings.ToLower(domain)
}

// call is what the queue tells a transport through the context.
type call struct {
	hostname  string
	beforeDot func(recipients []int) error
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// BeforeDot tells the queue that calls Deliver with this ctx that from now on these recipients, by their index in the
// envelope of that call, may have the message. When it returns nil, that is on disk; on an error the transport must not
// send the final dot. Without a queue it does nothing.
func BeforeDot(ctx context.Context, recipients []int) error {
	if c, ok := ctx.Value(callKey{}).(*call); ok && c.beforeDot != nil {
		return c.beforeDot(recipients)
	}
	return nil
}

// callerHostname is the name of the queue that calls.
func callerHostname(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*call); ok && c.hostname != "" {
		return c.hostname
	}
	return systemHostname()
}
