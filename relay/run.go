package relay

import (
	"context"
	"slices"
	"sync"
	"time"
)

// reports is the destination of the notifications that are to be made.
const reports = "\x00reports"

// job is one attempt that waits or runs: some recipients of a message with the same destination, or, for reports, the
// notification of its sender.
type job struct {
	e     *entry
	rcpts []int
	dest  *dest
	state jobState
	// released says that it has a recipient that was released by hand, and so gets its attempt in any case.
	released bool
}

type jobState uint8

const (
	waiting jobState = iota
	running
	withdrawn // it was waiting and is not to run
)

// dest is a destination that has something to do, or is resting.
type dest struct {
	name    string
	jobs    []*job    // that wait, in order, and those withdrawn
	dead    int       // of jobs: those withdrawn
	active  int       // that run
	misses  int       // attempts in a row that found nobody
	missed  Outcome   // of the last of them
	rest    time.Time // not before that
	shut    bool      // it rests because nobody was found
	inReady bool
}

// How long a destination rests where nobody could be reached: doubled from the first to the longest. After the rest a
// single attempt finds out.
const (
	firstRest   = 30 * time.Second
	longestRest = 10 * time.Minute
)

// longestWait is how long Run waits before it looks at the clock again, which may have been set, or have gone on while the
// machine slept.
const longestWait = 5 * time.Minute

// Run delivers what is in the queue until ctx ends or Close is called. Running attempts then have Options.Grace to come
// to an end. It returns nil then; ErrRunning or ErrClosed when it cannot run.
func (q *Queue) Run(ctx context.Context) error {
	if err := q.enter(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	defer q.leave()
	running, stop := context.WithCancel(ctx)
	defer stop()
	q.mu.Lock()
	if q.stop != nil {
		q.mu.Unlock()
		return ErrRunning
	}
	q.stop = stop
	if q.closed {
		stop()
	}
	q.mu.Unlock()

	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	for running.Err() == nil {
		q.wait(running, q.dispatch(attempts, &wg))
	}
	grace := time.AfterFunc(q.opts.Grace, cancel)
	wg.Wait()
	grace.Stop()

	q.mu.Lock()
	q.stop = nil
	q.mu.Unlock()
	return nil
}

// wait returns when something may be due.
func (q *Queue) wait(ctx context.Context, at time.Time) {
	var timer <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(min(time.Until(at), longestWait))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-q.wake:
	case <-timer:
	}
}

// dispatch starts what is due and may run, and gives when to look again; zero: when woken.
func (q *Queue) dispatch(ctx context.Context, wg *sync.WaitGroup) (next time.Time) {
	now := wallNow()
	q.mu.Lock()
	defer q.mu.Unlock()
	next = q.endRests(now) // first, as who is not shut any more gets his attempt
	var over []*job
	for len(q.due) > 0 && !q.due[0].next.After(now) {
		e := q.due[0]
		over = append(over, q.takeFutile(e, now)...)
		q.makeJobs(e, now)
		q.schedule(e)
	}
	if len(over) > 0 {
		wg.Go(func() { q.expire(over) })
	}
	if len(q.due) > 0 && (next.IsZero() || q.due[0].next.Before(next)) {
		next = q.due[0].next
	}
	for q.busy < q.opts.MaxConcurrent && len(q.ready) > 0 {
		d := q.ready[0]
		q.ready[0] = nil
		q.ready = q.ready[1:]
		d.inReady = false
		if !q.startable(d, now) {
			continue
		}
		j := d.take()
		d.active++
		q.busy++
		q.rest(d, now.Add(q.opts.Pace))
		q.offer(d, now)
		wg.Go(func() { q.runJob(ctx, j) })
	}
	return next
}

// endRests ends the rests that are over and gives when the next one is; zero: there is none. q.mu is held.
func (q *Queue) endRests(now time.Time) (next time.Time) {
	for _, d := range q.resting {
		if now.Before(d.rest) {
			if next.IsZero() || d.rest.Before(next) {
				next = d.rest
			}
			continue
		}
		delete(q.resting, d.name)
		d.shut = false
		q.offer(d, now)
		q.dropDest(d, now)
	}
	return next
}

// makeJobs gives the destinations of an entry what is due for them. q.mu is held.
func (q *Queue) makeJobs(e *entry, now time.Time) {
	if e.jobs == 0 && e.telling == nil && e.untold() && !e.tellAt.After(now) {
		e.telling = &job{e: e}
		q.addJob(e.telling, reports, now)
	}
	if e.held {
		return
	}
	groups := make(map[string]*job)
	for i := range e.rcpts {
		r := &e.rcpts[i]
		if !r.pending() || r.job != nil || r.Held || r.Next.After(now) {
			continue
		}
		j := groups[r.dest]
		if j == nil {
			j = &job{e: e}
			groups[r.dest] = j
			e.jobs++
			q.addJob(j, r.dest, now)
		}
		j.rcpts = append(j.rcpts, i)
		j.released = j.released || r.Kind == Released
		r.job = j
	}
}

func (q *Queue) addJob(j *job, name string, now time.Time) {
	d := q.dests[name]
	if d == nil {
		d = &dest{name: name}
		q.dests[name] = d
	}
	j.dest = d
	d.jobs = append(d.jobs, j)
	q.offer(d, now)
}

// withdraw takes back the jobs of an entry that wait, so that only those that run are left. q.mu is held.
func (q *Queue) withdraw(e *entry, now time.Time) {
	for i := range e.rcpts {
		r := &e.rcpts[i]
		if r.job == nil || r.job.state == running {
			continue
		}
		if j := r.job; j.state == waiting {
			e.jobs--
			j.dest.remove(j)
			q.dropDest(j.dest, now)
		}
		r.job = nil
	}
	if j := e.telling; j != nil && j.state == waiting {
		e.telling = nil
		j.dest.remove(j)
		q.dropDest(j.dest, now)
	}
}

// take gives the job whose turn it is. There is one.
func (d *dest) take() *job {
	for {
		j := d.jobs[0]
		d.jobs[0] = nil
		d.jobs = d.jobs[1:]
		if j.state == waiting {
			j.state = running
			return j
		}
		d.dead--
	}
}

// remove withdraws a job that waits. Those withdrawn are cleared away when they are most of all, so that each costs little.
func (d *dest) remove(j *job) {
	j.state = withdrawn
	d.dead++
	if 2*d.dead >= len(d.jobs) {
		d.jobs = slices.DeleteFunc(d.jobs, func(j *job) bool { return j.state != waiting })
		d.dead = 0
	}
}

// waits says whether a job waits for the destination.
func (d *dest) waits() bool { return len(d.jobs) > d.dead }

// rest keeps a destination from another attempt until a time. q.mu is held.
func (q *Queue) rest(d *dest, until time.Time) {
	if until.After(d.rest) && d.name != reports {
		d.rest = until
		q.resting[d.name] = d
	}
}

// startable says whether a destination may have another attempt now. One that was not reached gets a single one.
func (q *Queue) startable(d *dest, now time.Time) bool {
	limit := q.opts.MaxPerDestination
	if d.misses > 0 {
		limit = 1
	}
	return d.waits() && d.active < limit && !now.Before(d.rest)
}

// offer lines a destination up for another attempt if it may have one.
func (q *Queue) offer(d *dest, now time.Time) {
	if !d.inReady && q.startable(d, now) {
		d.inReady = true
		q.ready = append(q.ready, d)
	}
}

// dropDest forgets a destination with nothing to do.
func (q *Queue) dropDest(d *dest, now time.Time) {
	if !d.waits() && d.active == 0 && !now.Before(d.rest) {
		delete(q.dests, d.name)
	}
}

// judge notes whether an attempt with these outcomes has reached the destination. q.mu is held.
func (q *Queue) judge(d *dest, outcomes []Outcome, now time.Time) {
	if slices.ContainsFunc(outcomes, func(o Outcome) bool { return !o.Unreachable || o.Err == nil }) {
		d.misses = 0
		if d.shut { // by another attempt, which this one disproves
			d.shut, d.rest = false, now.Add(q.opts.Pace)
		}
		return
	}
	if d.shut && now.Before(d.rest) { // one of several attempts side by side: together they are one miss
		return
	}
	d.misses++
	d.missed = outcomes[0]
	q.rest(d, now.Add(min(firstRest<<min(d.misses-1, 10), longestRest)))
	d.shut = true
	for _, j := range d.jobs {
		if j.state == waiting { // its message may expire now
			q.schedule(j.e)
		}
	}
}

// runJob runs one job to its end.
func (q *Queue) runJob(ctx context.Context, j *job) {
	if j.rcpts == nil {
		q.report(ctx, j.e)
	} else {
		q.attempt(ctx, j)
	}
	now := wallNow()
	q.mu.Lock()
	q.busy--
	d := j.dest
	d.active--
	q.offer(d, now)
	q.dropDest(d, now)
	q.mu.Unlock()
	q.poke()
}
