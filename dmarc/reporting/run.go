package reporting

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// closeDelay is how long after its end a day is closed, so that a clock which is put right by seconds at midnight does
	// not move messages to the next.
	closeDelay = 5 * time.Minute
	// spreadDelay is how long after its end the first reports of a day leave, and slot what their times are a multiple of,
	// so that the rows are read from the disk once for many reports.
	spreadDelay = 15 * time.Minute
	slot        = 5 * time.Minute
	// firstRetry is how long after a failure a report is tried again. That is doubled with each failure, up to longestRetry.
	firstRetry   = time.Hour
	longestRetry = 8 * time.Hour
	// longestWait is how long Run waits before it looks at the clock again, which may have been set, or have gone on while
	// the machine slept.
	longestWait = 5 * time.Minute
	// maxSending is how many reports are made and sent at once.
	maxSending = 4
	// maxLogged is how much of an error is kept for Pending.
	maxLogged = 500
)

// Run writes what is recorded to the disk and sends the reports when they are due, until ctx ends or Close is called. Then
// it writes the rest and returns nil. ErrRunning or ErrClosed say that it cannot run. What fails is logged and tried
// again.
func (r *Reporter) Run(ctx context.Context) error {
	if err := r.enter(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	defer r.users.Done()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r.mu.Lock()
	if r.running != nil {
		r.mu.Unlock()
		return ErrRunning
	}
	r.running = stop
	if !r.open { // Close came in between
		stop()
	}
	r.mu.Unlock()

	var wg sync.WaitGroup
	wg.Go(func() { r.keepFlushing(ctx) })
	wg.Go(func() { r.keepSending(ctx) })
	wg.Go(func() { r.sendFailures(ctx) })
	wg.Wait()
	r.flushAndLog()
	r.mu.Lock()
	r.running = nil
	r.mu.Unlock()
	return nil
}

// sleep waits; it is false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// keepFlushing writes Flush after the first evaluation that waits, so that many share one sync.
func (r *Reporter) keepFlushing(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		if !sleep(ctx, orDefault(r.Flush, DefaultFlush)) {
			return
		}
		for !r.flushAndLog() {
			if !sleep(ctx, longestWait) {
				return
			}
		}
	}
}

func (r *Reporter) flushAndLog() bool {
	err := r.flush()
	if err != nil {
		r.log().Error("reporting: what was recorded cannot be written", "error", err)
	}
	return err == nil
}

func (r *Reporter) keepSending(ctx context.Context) {
	for ctx.Err() == nil {
		next := r.pass(ctx)
		if !sleep(ctx, min(longestWait, max(time.Second, next.Sub(r.time())))) {
			return
		}
	}
}

// pass does what is to be done now, and says when there may be more.
func (r *Reporter) pass(ctx context.Context) (next time.Time) {
	now := r.time()
	next = now.Add(longestWait)
	for _, d := range r.sortedDays() {
		if now.Sub(d.date.end()) > orDefault(r.Keep, DefaultKeep) {
			r.discard(d)
			continue
		}
		if now.Sub(d.date.end()) < closeDelay {
			continue
		}
		if err := r.closeDay(d); err != nil {
			r.log().Error("reporting: day cannot be closed", "day", d.date.String(), "error", err)
			continue
		}
		names, later := r.due(d, now)
		if len(names) > 0 {
			r.sendDay(ctx, d, names)
		}
		if !later.IsZero() && later.Before(next) {
			next = later
		}
		r.finish(d)
	}
	return next
}

// sortedDays gives the days, the earliest first.
func (r *Reporter) sortedDays() []*day {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Collect(maps.Values(r.days))
	slices.SortFunc(out, func(a, b *day) int { return int(a.date) - int(b.date) })
	return out
}

// closeDay makes a day final, so that all tries of a report are the same. When it returns nil, that is on disk.
func (r *Reporter) closeDay(d *day) error {
	r.mu.Lock()
	if d.closeStored {
		r.mu.Unlock()
		return nil
	}
	d.closed, d.changed = true, true
	r.mu.Unlock()
	r.files.Lock()
	defer r.files.Unlock()
	return r.save(d)
}

// due gives the domains whose reports are to be sent now, and when the next ones are.
func (r *Reporter) due(d *day, now time.Time) (names []string, later time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, dom := range d.domains {
		if !dom.wanted || dom.done {
			continue
		}
		switch at := r.dueAt(d, dom, now); {
		case !at.After(now):
			names = append(names, name)
		case later.IsZero() || at.Before(later):
			later = at
		}
	}
	slices.Sort(names)
	return names, later
}

// dueAt is when the report about a domain is to be sent: the same time of the day for each domain, but another one at
// each receiver, so that neither all reports leave at midnight nor all arrive then.
func (r *Reporter) dueAt(d *day, dom *domain, now time.Time) time.Time {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s", r.Hostname, dom.name)
	slots := max(1, uint64(orDefault(r.Spread, DefaultSpread)/slot))
	at := d.date.end().Add(spreadDelay + time.Duration(mix(h.Sum64())%slots)*slot)
	if dom.retry.After(at) && dom.retry.Sub(now) <= longestRetry { // else the clock was set back
		return dom.retry
	}
	return at
}

// mix spreads what FNV does not: names that differ in their last letter alone.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

// sendDay makes and sends the reports about some domains.
func (r *Reporter) sendDay(ctx context.Context, d *day, names []string) {
	r.files.Lock()
	full, _, err := r.readDay(d.date)
	r.files.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		r.log().Error("reporting: file is gone; its reports cannot be made", "day", d.date.String())
		r.discard(d)
		return
	}
	if err != nil {
		r.log().Error("reporting: file cannot be read", "error", err)
		r.postpone(d, names, err)
		return
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, maxSending)
	for _, name := range names {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-free }()
			r.sendReport(ctx, d, full.domains[name], name)
		})
	}
	wg.Wait()
}

// postpone notes a failure.
func (r *Reporter) postpone(d *day, names []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		if dom := d.domains[name]; dom != nil {
			dom.retry, dom.err = r.time().Add(min(firstRetry<<min(dom.tries, 10), longestRetry)), cut(err.Error(), maxLogged)
			dom.tries++
		}
	}
}

// note keeps what became of a report. It need not be on disk when it returns: then the report is offered again after a
// restart, under the same key.
func (r *Reporter) note(d *day, name string, sent []string, done bool) {
	r.mu.Lock()
	dom := d.domains[name]
	if dom == nil {
		r.mu.Unlock()
		return
	}
	for _, to := range sent {
		if !slices.Contains(dom.sent, to) {
			dom.sent = append(dom.sent, to)
		}
	}
	dom.done = dom.done || done
	if done {
		dom.err = ""
	}
	d.touch(dom)
	r.mu.Unlock()
	r.files.Lock()
	defer r.files.Unlock()
	if err := r.save(d); err != nil {
		r.log().Error("reporting: it cannot be noted that a report was sent", "domain", name, "error", err)
	}
}

// finish takes the rows of a day away when all reports were sent. The rest of the file stays until the day is old, so that
// a clock which is set back does not lead to a second report.
func (r *Reporter) finish(d *day) {
	r.files.Lock()
	defer r.files.Unlock()
	r.mu.Lock()
	if d.finished() && len(d.domains) > 0 {
		d.domains, d.newDomains, d.bytes, d.changed = map[string]*domain{}, nil, 0, true
		d.file.drop() // so that it is written anew
	}
	empty := len(d.domains) == 0
	r.mu.Unlock()
	if err := r.save(d); err != nil {
		r.log().Error("reporting: file cannot be written", "error", err)
		return
	}
	if empty {
		d.file.drop()
	}
}

// discard forgets a day.
func (r *Reporter) discard(d *day) {
	r.files.Lock()
	defer r.files.Unlock()
	d.file.drop()
	if err := r.fs.Remove(r.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log().Error("reporting: file cannot be removed", "error", err)
		return // the next pass tries again
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.days, d.date)
	lost := 0
	for _, dom := range d.domains {
		if dom.wanted && !dom.done {
			lost++
		}
	}
	if lost > 0 {
		r.log().Warn("reporting: reports could not be sent in time and are given up", "day", d.date.String(), "reports", lost)
	}
}
