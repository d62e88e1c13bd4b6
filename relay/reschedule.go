package relay

import "time"

// patience is how often and how long the queue tries.
type patience struct {
	retry    Schedule
	lifetime time.Duration
}

// Reschedule changes [Options].Retry and [Options].Lifetime of a queue that may be running. Attempts that are due already
// stay due when they are; messages in the queue keep the lifetime with which they were queued or, after a restart, read.
// An empty schedule and a lifetime of 0 stand for the defaults.
//
// Destinations that rest, because nobody could be reached there, rest no more: what waits for them is tried at once, as the
// transport may have changed, too. A program calls it after a reload even if neither schedule nor lifetime is new.
func (q *Queue) Reschedule(retry Schedule, lifetime time.Duration) {
	def(&lifetime, DefaultLifetime)
	q.patience.Store(&patience{retry: retry, lifetime: lifetime})
	now := wallNow()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.dests {
		if d.misses == 0 {
			continue
		}
		d.misses = 0
		if d.shut {
			d.shut, d.rest = false, now.Add(q.opts.Pace)
		}
		q.offer(d, now)
	}
	q.poke()
}
