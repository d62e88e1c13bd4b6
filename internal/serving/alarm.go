package serving

import "time"

// To set a deadline costs more than to read a line. So one that is set stays while the next would be later by no more than a
// 64th of the time that it gave, and by maxSlack at most.
const (
	slackPart = 64
	maxSlack  = time.Second
)

// alarm is a deadline that is set. The zero value is none that is known.
type alarm struct {
	at    time.Time
	slack time.Duration
}

// covers says whether the alarm does for a deadline.
func (a *alarm) covers(due time.Time) bool {
	return !a.at.IsZero() && !due.Before(a.at) && due.Sub(a.at) <= a.slack
}

// set notes that a deadline, which is zero for none, is set now.
func (a *alarm) set(due, now time.Time) {
	*a = alarm{at: due}
	if !due.IsZero() {
		a.slack = min(max(due.Sub(now)/slackPart, 0), maxSlack)
	}
}
