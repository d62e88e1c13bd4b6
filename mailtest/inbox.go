package mailtest

import (
	"context"
	"io"
	"sync"

	"github.com/mailbricks/mailbricks"
)

// Inbox is a [mailbricks.Handler] that keeps every message it is given, without a limit. The zero value is ready.
type Inbox struct {
	mu       sync.Mutex
	messages []Received
	arrived  chan struct{} // closed by the next message; nil while nobody waits
	fail     func(*mailbricks.Envelope, *mailbricks.Message) error
}

// Received is one message in an [Inbox]. It belongs to the test and needs no Close.
type Received struct {
	// Envelope is a copy of the one that came with the message.
	Envelope *mailbricks.Envelope
	// Message can be read and edited.
	Message *mailbricks.Message
	// Raw is the message as it came.
	Raw []byte
}

// Handle keeps the message for the recipients that Fail lets pass.
func (in *Inbox) Handle(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	in.mu.Lock()
	fail := in.fail
	in.mu.Unlock()
	var failed error
	if fail != nil {
		failed = fail(env, msg)
	}
	var taken []mailbricks.Recipient
	for i, err := range mailbricks.ResultsOf(failed, len(env.Recipients)) {
		if err == nil {
			taken = append(taken, env.Recipients[i])
		}
	}
	if failed != nil && len(taken) == 0 {
		return failed
	}
	raw, err := io.ReadAll(msg.Reader())
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.messages = append(in.messages, Received{Envelope: env.WithRecipients(taken), Message: mailbricks.NewMessage(raw), Raw: raw})
	if in.arrived != nil {
		close(in.arrived)
		in.arrived = nil
	}
	return failed
}

// Fail has f decide about each message from now on: nil keeps it, an error becomes the outcome, and with
// [mailbricks.Results] it is kept for the recipients without an error. A nil f keeps all.
func (in *Inbox) Fail(f func(env *mailbricks.Envelope, msg *mailbricks.Message) error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.fail = f
}

// Messages gives what was kept, in the order of arrival.
func (in *Inbox) Messages() []Received {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]Received(nil), in.messages...)
}

// Wait waits until n messages or more were kept and gives them all. When ctx ends before, it gives those there are and
// the context's error.
func (in *Inbox) Wait(ctx context.Context, n int) ([]Received, error) {
	for {
		in.mu.Lock()
		have := append([]Received(nil), in.messages...)
		if len(have) >= n {
			in.mu.Unlock()
			return have, nil
		}
		if in.arrived == nil {
			in.arrived = make(chan struct{})
		}
		arrived := in.arrived
		in.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return have, ctx.Err()
		}
	}
}
