package greylist

import (
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/smtpd/internal/expiring"
)

// Times are seconds since 1970.

// touchEvery is how far the time of the last mail moves before that is written to the file.
const touchEvery = 24 * 60 * 60

// expireBatch is how many entries that are out of date go at each mail.
const expireBatch = 4

// shard is what is known of some of the clients.
type shard struct {
	o *Options

	mu      sync.Mutex
	waiting *expiring.Table[key, int64]  // triplets that wait: since when
	queues  map[key]*queue               // of clients that have some: see there
	known   *expiring.Table[key, int64]  // triplets that came back: their last mail as it was written
	coming  *expiring.Table[key, client] // clients with too few successes
	good    *expiring.Table[key, client] // clients with enough
	note    func(record)                 // for the file
}

// client is what is known of a client.
type client struct {
	Successes int
	Counted   int64 // the last one
	Written   int64 // the last mail as it was written
}

// queue has a client's triplets that wait, in their order, and some that do no more.
type queue struct {
	turns []turn
	live  int
}

// turn is when a triplet began to wait.
type turn struct {
	key   key
	first int64
}

func newShard(o *Options, n int, note func(record)) *shard {
	s := &shard{o: o, note: note, queues: map[key]*queue{}}
	share := func(limit int) int { return (limit + n - 1) / n }
	s.waiting = expiring.New(share(o.MaxWaiting), func(k key, _ int64) { s.gone(k) })
	s.known = expiring.New[key, int64](share(o.MaxKnown), nil)
	s.coming = expiring.New[key, client](share(o.MaxClients), nil)
	s.good = expiring.New[key, client](share(o.MaxClients), nil)
	return s
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// clean drops what is out of date.
func (s *shard) clean(now int64) {
	s.waiting.Expire(now, expireBatch)
	s.known.Expire(now, expireBatch)
	s.coming.Expire(now, expireBatch)
	s.good.Expire(now, expireBatch)
}

// isGood says whether the client of k is known, and notes its mail.
func (s *shard) isGood(k key, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clean(now)
	e := s.good.Get(k.client())
	if e == nil || e.Until() <= now {
		return false
	}
	s.good.Reschedule(e, now+seconds(s.o.MaxAge))
	if now-e.Value.Written >= touchEvery {
		e.Value.Written = now
		s.noteClient(e)
	}
	return true
}

// ask says whether a triplet has waited, and otherwise for how long it still has to.
func (s *shard) ask(k key, now int64) (wait int64, reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.known.Get(k); e != nil && e.Until() > now {
		s.known.Reschedule(e, now+seconds(s.o.MaxAge))
		if now-e.Value >= touchEvery {
			e.Value = now
			s.note(record{Key: k, Last: now})
		}
		s.success(k.client(), now)
		return 0, Known
	}
	delay := seconds(s.o.Delay)
	e := s.waiting.Get(k)
	if e == nil || e.Until() <= now {
		s.begin(k, now)
		s.note(record{Key: k, First: now})
		return delay, New
	}
	if wait := e.Value + delay - now; wait > 0 {
		return wait, Early
	}
	s.done(k)
	s.known.Put(k, now, now+seconds(s.o.MaxAge))
	s.note(record{Key: k, Last: now})
	s.success(k.client(), now)
	return 0, Returned
}

// success counts one for a client.
func (s *shard) success(c key, now int64) {
	if s.o.AutoWhitelist < 0 {
		return
	}
	var state client
	e := s.coming.Get(c)
	switch {
	case e != nil && e.Until() > now && now-e.Value.Counted < seconds(s.o.SuccessEvery):
		s.coming.Reschedule(e, now+seconds(s.o.MaxAge))
		return
	case e != nil && e.Until() > now:
		state = e.Value
	}
	state.Successes++
	state.Counted, state.Written = now, now
	s.putClient(c, state, now)
	s.note(record{Key: c, Successes: state.Successes, Counted: now, Last: now})
}

// putClient sets what is known of a client whose last mail was at a time.
func (s *shard) putClient(c key, state client, last int64) {
	until := last + seconds(s.o.MaxAge)
	if state.Successes < s.o.AutoWhitelist {
		s.coming.Put(c, state, until)
		return
	}
	s.coming.Delete(c)
	s.good.Put(c, state, until)
}

func (s *shard) noteClient(e *expiring.Entry[key, client]) {
	s.note(record{Key: e.Key, Successes: e.Value.Successes, Counted: e.Value.Counted, Last: e.Value.Written})
}

// begin lets a triplet wait from a time on.
func (s *shard) begin(k key, first int64) {
	s.done(k)
	c := k.client()
	q := s.queues[c]
	for q != nil && q.live >= s.o.MaxPerClient { // then those are dropped, and so perhaps is the queue
		s.dropOldest(q)
		q = s.queues[c]
	}
	s.waiting.Put(k, first, first+seconds(s.o.Window)) // may drop any, and tells gone
	if q = s.queues[c]; q == nil {
		q = new(queue)
		s.queues[c] = q
	}
	q.live++
	q.turns = append(q.turns, turn{k, first})
	s.compact(q)
}

// compact drops the turns of those that wait no more when they are too many.
func (s *shard) compact(q *queue) {
	if len(q.turns) > 2*q.live+8 {
		q.turns = slices.DeleteFunc(q.turns, func(t turn) bool { return !s.waits(t) })
	}
}

// waits says whether a triplet still waits since then.
func (s *shard) waits(t turn) bool {
	e := s.waiting.Get(t.key)
	return e != nil && e.Value == t.first
}

// done ends the waiting of a triplet.
func (s *shard) done(k key) {
	if s.waiting.Delete(k) {
		s.gone(k)
	}
}

// gone counts a triplet that waits no more.
func (s *shard) gone(k key) {
	c := k.client()
	if q := s.queues[c]; q != nil {
		if q.live--; q.live <= 0 {
			delete(s.queues, c)
			return
		}
		s.compact(q)
	}
}

// dropOldest drops the first triplet of a queue that still waits.
func (s *shard) dropOldest(q *queue) {
	for len(q.turns) > 0 {
		t := q.turns[0]
		if q.turns = q.turns[1:]; s.waits(t) {
			s.done(t.key)
			return
		}
	}
	q.live = 0 // cannot be: what waits is in the queue
}
