package mailtest

import (
	"sync"
	"time"
)

// deadline is a point in time after which a wait on cond ends. The lock of cond guards it.
type deadline struct {
	cond   *sync.Cond
	timer  *time.Timer
	passed bool
}

// set changes the deadline, also for who waits now; the zero time is none.
func (d *deadline) set(t time.Time) {
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		d.cond.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.cond.L.Lock()
		defer d.cond.L.Unlock()
		if d.timer == timer { // not changed meanwhile
			d.passed = true
			d.cond.Broadcast()
		}
	})
	d.timer = timer
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
