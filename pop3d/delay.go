package pop3d

import (
	"errors"
	"time"
)

// errTooSoon: the last log-in was less than LoginDelay ago.
var errTooSoon = errors.New("pop3d: log-in too soon after the last one")

// firstSweep is how many log-ins are remembered before those that no longer matter are looked for.
const firstSweep = 1024

// logins remembers when users logged in last, for as long as LoginDelay asks for it: its size is at most twice the number
// of users who logged in during that time, and firstSweep.
type logins struct {
	last  map[string]time.Time
	sweep int // the size at which to look for what can go
}

// tooSoon says whether a user may not log in yet. It is called with the locks' mu held, as the others are.
func (l *logins) tooSoon(user string, delay time.Duration) bool {
	last, ok := l.last[user]
	return ok && time.Since(last) < delay
}

// note remembers a log-in.
func (l *logins) note(user string, delay time.Duration) {
	if delay <= 0 {
		return
	}
	if l.last == nil {
		l.last, l.sweep = make(map[string]time.Time), firstSweep
	}
	if len(l.last) >= l.sweep {
		for name, at := range l.last {
			if time.Since(at) >= delay {
				delete(l.last, name)
			}
		}
		l.sweep = max(firstSweep, 2*len(l.last))
	}
	l.last[user] = time.Now()
}
