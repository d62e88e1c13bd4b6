package relay

import (
	"slices"
	"time"
)

// A message expires with the attempt at the end of its lifetime. Where its destination rests, because nobody could be
// reached there, that attempt would be futile and come late, since after a rest there is only one attempt: what waits
// then expires in time, without it.

// expireBatch is how many jobs expire with one sync, and without letting others at the index.
const expireBatch = 1000

// futile says whether the job is not worth an attempt if the lifetime of its message is over. Queue.mu is held.
func (j *job) futile() bool { return j.state == waiting && j.dest.shut && !j.released }

// takeFutile takes the jobs of an entry that is over from their destinations, for expire. q.mu is held.
func (q *Queue) takeFutile(e *entry, now time.Time) (over []*job) {
	if e.held || e.removed || e.unheard || now.Before(e.expires) {
		return nil
	}
	for i := range e.rcpts {
		if j := e.rcpts[i].job; j != nil && j.futile() {
			j.dest.remove(j)
			j.state = running
			over = append(over, j)
		}
	}
	return over
}

// expire ends jobs of takeFutile: their recipients expire with the last outcome that is known.
func (q *Queue) expire(jobs []*job) {
	for batch := range slices.Chunk(jobs, expireBatch) {
		q.expireBatch(batch)
	}
}

func (q *Queue) expireBatch(jobs []*job) {
	now := wallNow()
	var events []Event
	var ended []string
	q.mu.Lock()
	for _, j := range jobs {
		e := j.e
		var picks []int
		for _, i := range j.rcpts {
			r := &e.rcpts[i]
			if e.held || e.removed || r.Held || !r.pending() {
				continue // meanwhile
			}
			if r.Code == 0 { // it never had its turn: others have found that nobody is there
				r.setOutcome(j.dest.missed)
			}
			picks = append(picks, i)
			events = append(events, q.note(e, i, Expired, now))
		}
		if len(picks) > 0 {
			q.record(e, picks...)
		}
		e.jobs--
		if q.finish(e) {
			ended = append(ended, e.id)
		}
	}
	q.mu.Unlock()

	if err := q.journal.commit(); err != nil {
		q.log.Error("relay: ends of lifetimes cannot be noted", "messages", len(jobs), "error", err)
	} else {
		for _, id := range ended {
			q.discard(id)
		}
	}
	q.logOutcomes(events)
	q.tell(events)

	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range jobs {
		for _, i := range j.rcpts {
			j.e.rcpts[i].job = nil
		}
		q.schedule(j.e)
		q.dropDest(j.dest, now)
	}
}
