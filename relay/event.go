package relay

import (
	"context"
	"iter"
	"time"
)

// Kind names what happened to a recipient.
type Kind string

// The kinds of Event.
const (
	// Queued: the message is on disk.
	Queued Kind = "queued"
	// Attempted: an attempt begins.
	Attempted Kind = "attempt"
	// Delivered: the peer has accepted the message for the recipient. This is an end.
	Delivered Kind = "delivered"
	// Deferred: it failed for now; Next says when it is tried again.
	Deferred Kind = "deferred"
	// Bounced: it failed for good. This is an end.
	Bounced Kind = "bounced"
	// Expired: it failed for now until the message's lifetime was over. This is an end.
	Expired Kind = "expired"
	// Unknown: the connection or this machine broke down after the final dot, so that the peer may have the message.
	// It is tried again at Next, or held if Next is zero.
	Unknown Kind = "unknown"
	// Held: it waits for Release.
	Held Kind = "held"
	// Released: it was held and goes on.
	Released Kind = "released"
	// Removed: somebody took it out of the queue. This is an end.
	Removed Kind = "removed"
)

// End says whether nothing happens any more after an event of this kind.
func (k Kind) End() bool {
	return k == Delivered || k == Bounced || k == Expired || k == Removed
}

// outcome says whether an event of this kind tells what came of an attempt.
func (k Kind) outcome() bool {
	return k == Delivered || k == Deferred || k == Bounced || k == Expired || k == Unknown
}

// Event is something that happened to one recipient of a message.
type Event struct {
	// Time is when it happened.
	Time time.Time `json:"time"`
	// ID is the message's name in the queue.
	ID string `json:"id"`
	// Kind is what happened.
	Kind Kind `json:"kind"`
	// Recipient is the address; Index its place in the envelope.
	Recipient string `json:"recipient"`
	Index     int    `json:"index"`
	// Attempt is the number of attempts so far.
	Attempt int `json:"attempt,omitempty"`
	// Next is when the next attempt will be; zero when none is due. Where its destination rests, because nobody could be
	// reached there, that is the end of the rest, or of the message's lifetime if that is sooner.
	Next time.Time `json:"next,omitzero"`
	// Code, Status and Text are the reply code, the enhanced status code and the text of the last outcome, the peer's or,
	// when Reply is empty, this program's own. Text may then be an internal error, with the names of files: it is for whoever
	// runs this server; a notification to the sender does not have it.
	Code   int    `json:"code,omitempty"`
	Status string `json:"status,omitempty"`
	Text   string `json:"text,omitempty"`
	// Host and Addr are the name and the address of the peer; Reply is its reply, cleaned and cut to 512 octets; TLS is
	// the protocol version and cipher suite, empty for a connection in clear.
	Host  string `json:"host,omitempty"`
	Addr  string `json:"addr,omitempty"`
	Reply string `json:"reply,omitempty"`
	TLS   string `json:"tls,omitempty"`
}

// Events gives what became of the recipients of a message: first where each stands now, then what happens, until each
// has come to its end, ctx ends or the queue is closed. Who is slower than the queue misses events in between but never
// the last one of a recipient. For a message that the queue does not know, or no longer (see [Options].Remember), there
// is none.
func (q *Queue) Events(ctx context.Context, id string) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		e := q.find(id)
		if e == nil {
			return
		}
		seen := make(map[int]int)
		for {
			events, done, changed := q.eventsSince(e, seen)
			for _, ev := range events {
				if !yield(ev) {
					return
				}
			}
			if done {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}
}

// find gives a message that is in the queue or has left it and is remembered; nil when there is none.
func (q *Queue) find(id string) *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.entries[id]; e != nil {
		return e
	}
	return q.ended[id]
}

// eventsSince gives the last event of each recipient that has a new one and remembers that in seen; done when there
// will be no more; and what is closed at the next event.
func (q *Queue) eventsSince(e *entry, seen map[int]int) (events []Event, done bool, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	done = true
	for i := range e.rcpts {
		r := &e.rcpts[i]
		if r.seq > seen[i] {
			events = append(events, q.event(e, i))
			seen[i] = r.seq
		}
		done = done && r.Kind.End()
	}
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return events, done || q.closed, e.changed
}

// event is the last event of a recipient. q.mu is held.
func (q *Queue) event(e *entry, i int) Event {
	r := &e.rcpts[i]
	ev := Event{Time: r.When, ID: e.id, Kind: r.Kind, Recipient: r.address, Index: i, Attempt: r.Attempts}
	if r.Kind.outcome() {
		ev.Code, ev.Status, ev.Text = r.Code, r.Status, r.Text
		ev.Host, ev.Addr, ev.Reply, ev.TLS = r.Host, r.Addr, r.Reply, r.TLS
	}
	ev.Next = q.nextOf(e, r)
	return ev
}

// nextOf is when a recipient is tried next, or expires; zero: neither is due. q.mu is held.
func (q *Queue) nextOf(e *entry, r *recipient) time.Time {
	if r.Kind.End() || e.held || r.Held {
		return time.Time{}
	}
	d := q.dests[r.dest]
	if d == nil || r.Open || !r.Next.Before(d.rest) {
		return r.Next
	}
	released := r.Kind == Released || r.job != nil && r.job.released
	if d.shut && !released && e.expires.Before(d.rest) { // see futile
		return later(r.Next, e.expires)
	}
	return d.rest
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// note gives a recipient an event, wakes who waits for it and returns it for tell. q.mu is held.
func (q *Queue) note(e *entry, i int, kind Kind, now time.Time) Event {
	r := &e.rcpts[i]
	r.Kind, r.When = kind, now
	r.seq++
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
	return q.event(e, i)
}

// tell hands events to OnEvent. q.mu is not held.
func (q *Queue) tell(events []Event) {
	if q.opts.OnEvent == nil {
		return
	}
	for _, ev := range events {
		q.opts.OnEvent(ev)
	}
}
