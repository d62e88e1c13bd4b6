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
func (q *Queue) Reschedule(retry Schedule, lifetime time.Duration) {
	def(&lifetime, DefaultLifetime)
	q.patience.Store(&patience{retry: retry, lifetime: lifetime})
}
