package senderauth

import "time"

// patience is how long look-ups are waited for before others are begun beside them. A cache answers sooner, and then there
// is no need for another goroutine, which costs more than the answer.
const patience = time.Millisecond

// later is a function that begins when patience ends, unless it is joined before.
type later struct {
	timer *time.Timer
	done  chan struct{}
}

func soon(f func()) later {
	done := make(chan struct{})
	return later{done: done, timer: time.AfterFunc(patience, func() {
		defer close(done)
		f()
	})}
}

// join waits for the function if it has begun; otherwise it never will, and join says so.
func (l later) join() (ran bool) {
	if l.timer.Stop() {
		return false
	}
	<-l.done
	return true
}

// sideBySide calls all functions and waits for them. Each begins when those before it have returned or, at the latest, when
// patience ends.
func sideBySide(first func(), others ...func()) {
	begun := make([]later, len(others))
	for i, f := range others {
		begun[i] = soon(f)
	}
	first()
	for i, f := range others {
		if !begun[i].join() {
			f()
		}
	}
}
