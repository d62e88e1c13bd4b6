package relay

import (
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
)

// status is what the journal keeps of one recipient. The newest one of a recipient counts.
type status struct {
	Kind     Kind      `json:"kind"`
	When     time.Time `json:"when"`
	Attempts int       `json:"attempts,omitempty"`
	Last     time.Time `json:"last,omitzero"`
	Next     time.Time `json:"next,omitzero"`
	// Open says that an attempt has begun whose outcome is not known yet, Dot that its final dot may have been sent.
	Open bool `json:"open,omitempty"`
	Dot  bool `json:"dot,omitempty"`
	Held bool `json:"held,omitempty"`
	// Told says that the sender has been told of the failure, or need not be.
	Told bool `json:"told,omitempty"`

	Code   int    `json:"code,omitempty"`
	Status string `json:"status,omitempty"`
	// Text is for whoever runs this server: the cause of a fault of ours may be in it. Public is then what others may read,
	// see public.
	Text   string `json:"text,omitempty"`
	Public string `json:"public,omitempty"`
	Host   string `json:"host,omitempty"`
	Addr   string `json:"addr,omitempty"`
	Reply  string `json:"reply,omitempty"`
	TLS    string `json:"tls,omitempty"`
}

// failed says whether the recipient has come to an end that its sender is to be told of.
func (s *status) failed() bool { return s.Kind == Bounced || s.Kind == Expired }

// setOutcome files what came of an attempt.
func (s *status) setOutcome(o Outcome) {
	s.Code, s.Status, s.Text, s.Public = 0, "", "", ""
	s.Host, s.Reply, s.TLS = clip(o.Host), clip(o.Reply), clip(o.TLS)
	s.Addr = ""
	if o.Addr.IsValid() {
		s.Addr = o.Addr.String()
	}
	if o.Err == nil {
		s.Code, s.Status = 250, "2.0.0"
		return
	}
	s.setReply(o.Err)
}

func (s *status) setReply(err error) {
	reply := mailbricks.ReplyTo(err)
	s.Code, s.Status = reply.Code, reply.EnhancedCode()
	s.Text, s.Public = clip(strings.Join(reply.Lines(), " / ")), ""
	if s.ours() {
		s.Public = s.Text
		if reply.Err != nil { // the cause helps more than the text
			s.Text = clip(reply.Err.Error())
		}
	}
}

// ours says whether the outcome is a fault of this program and not an answer of the peer.
func (s *status) ours() bool { return s.Status == "4.3.0" && s.Reply == "" }

// public is the text for others, such as the sender of the message: without internal errors and the names of files. It is
// empty for a fault of ours that was noted before there was Public.
func (s *status) public() string {
	if s.ours() {
		return s.Public
	}
	return s.Text
}

// maxText is the most octets of a text that came from outside that are kept.
const maxText = 512

// clip cleans a text for logs, files and reports and cuts it to maxText octets.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}

// recipient is one recipient of a message in the index.
type recipient struct {
	address string
	dest    string // where the transport brings it
	seq     int    // counts its events
	job     *job   // in which it waits or is being tried; nil: in none
	status
}

// pending says whether there is still something to do for the recipient.
func (r *recipient) pending() bool { return !r.Kind.End() }

// entry is one message in the index. Its immutable part is set before others see it, the rest is guarded by Queue.mu.
type entry struct {
	id       string
	envID    string
	key      string
	from     string
	size     int64 // of the message
	created  time.Time
	notUntil time.Time // zero: at once
	expires  time.Time
	remember bool // Events and Key ask for it after its end

	rcpts   []recipient
	held    bool
	removed bool
	unheard bool          // OnEvent has not been told of it yet, so nothing may begin
	jobs    int           // that run or wait
	telling *job          // the notification that waits or is being made; nil: none
	tellAt  time.Time     // not before that
	tells   int           // tries to hand it over
	changed chan struct{} // closed at the next event; nil: nobody waits
	endedAt time.Time

	next  time.Time // when something is due; the key of the heap
	index int       // in the heap; -1: not in it
}

// done says whether nothing is left to do for the message.
func (e *entry) done() bool {
	for i := range e.rcpts {
		r := &e.rcpts[i]
		if r.pending() || r.failed() && !r.Told {
			return false
		}
	}
	return true
}

// untold says whether there are failures that the sender has not been told of.
func (e *entry) untold() bool {
	for i := range e.rcpts {
		if e.rcpts[i].failed() && !e.rcpts[i].Told {
			return true
		}
	}
	return false
}

// due is when the message wants attention next; zero when only an event from outside can change that.
func (e *entry) due() time.Time {
	if e.removed || e.unheard {
		return time.Time{}
	}
	at := e.tellDue()
	if e.held {
		return at
	}
	for i := range e.rcpts {
		switch r := &e.rcpts[i]; {
		case !r.pending() || r.Held:
		case r.job == nil:
			at = sooner(at, r.Next)
		case r.job.futile():
			at = sooner(at, e.expires)
		}
	}
	return at
}

// tellDue is when the sender is to be told of failures; zero when there is nothing to tell now.
func (e *entry) tellDue() time.Time {
	if e.jobs > 0 || e.telling != nil || !e.untold() {
		return time.Time{}
	}
	return later(e.created, e.tellAt)
}

// sooner is the sooner one of two times, of which zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// dueHeap is a heap of entries by next.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}

// wallNow is the time by the clock on the wall, which is what files keep and what lasts over a restart.
func wallNow() time.Time { return time.Now().UTC().Round(0) }
