package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mailbricks/mailbricks"
)

// faultPause is how long an attempt waits that could not be noted on disk.
const faultPause = time.Minute

// attempt makes one attempt: it is noted on disk, the transport delivers, and what came of it is noted.
func (q *Queue) attempt(ctx context.Context, j *job) {
	picks := q.begin(j)
	if len(picks) == 0 {
		q.conclude(j, nil, nil)
		return
	}
	outcomes := q.deliver(ctx, j.e, picks)
	for len(outcomes) < len(picks) {
		outcomes = append(outcomes, Outcome{Err: errNoOutcome})
	}
	q.conclude(j, picks, outcomes[:len(picks)])
}

// begin notes on disk that the attempt begins, before anybody is dialled, and when the next one would be: a program that
// dies in attempts does not make one after the other. It gives the recipients that are still to be tried.
func (q *Queue) begin(j *job) []int {
	e, now := j.e, wallNow()
	var picks []int
	var events []Event
	q.mu.Lock()
	for _, i := range j.rcpts {
		r := &e.rcpts[i]
		if e.held || e.removed || r.Held || !r.pending() {
			continue
		}
		r.Attempts++
		r.Last, r.Next = now, q.retryAt(e, r, now)
		r.Open, r.Dot = true, false
		picks = append(picks, i)
		events = append(events, q.note(e, i, Attempted, now))
	}
	if len(picks) > 0 {
		q.record(e, picks...)
	}
	q.mu.Unlock()
	if len(picks) == 0 {
		return nil
	}
	if err := q.journal.commit(); err != nil {
		q.log.Error("relay: attempt cannot be noted and is put off", "id", e.id, "error", err)
		q.putOff(e, picks, err)
		return nil
	}
	q.tell(events)
	return picks
}

// putOff takes an attempt back that was not made.
func (q *Queue) putOff(e *entry, picks []int, err error) {
	now := wallNow()
	var events []Event
	q.mu.Lock()
	for _, i := range picks {
		r := &e.rcpts[i]
		if !r.pending() {
			continue
		}
		r.Attempts--
		r.Open, r.Next = false, now.Add(faultPause)
		r.setOutcome(Outcome{Err: err})
		events = append(events, q.note(e, i, Deferred, now))
	}
	q.record(e, picks...)
	q.mu.Unlock()
	q.tell(events)
}

// retryAt is when the recipient is tried again after an attempt now: the last time at the end of the lifetime.
func (q *Queue) retryAt(e *entry, r *recipient, now time.Time) time.Time {
	next := now.Add(q.patience.Load().retry.After(r.Attempts))
	if next.After(e.expires) && now.Before(e.expires) {
		return e.expires
	}
	return next
}

// deliver has the transport deliver.
func (q *Queue) deliver(ctx context.Context, e *entry, picks []int) []Outcome {
	s, msg, err := q.read(e.id)
	if err != nil {
		q.log.Error("relay: message cannot be read", "id", e.id, "error", err)
		return failAll(len(picks), Outcome{Err: fmt.Errorf("relay: read message: %w", err)})
	}
	defer msg.Close()
	ctx, cancel := context.WithTimeout(ctx, q.opts.MaxAttempt)
	defer cancel()
	if s.Unprepared && q.opts.Prepare != nil {
		if err := q.opts.Prepare(ctx, s.envelope(picks), msg); err != nil {
			return failAll(len(picks), Outcome{Err: &prepareError{err}})
		}
	}
	ctx = withCall(ctx, &call{hostname: q.opts.Hostname, beforeDot: func(recipients []int) error {
		return q.beforeDot(e, picks, recipients)
	}})
	return q.opts.Transport.Deliver(ctx, s.envelope(picks), msg)
}

// beforeDot notes on disk that the final dot is about to be sent for some of picks.
func (q *Queue) beforeDot(e *entry, picks, recipients []int) error {
	q.mu.Lock()
	at := make([]int, 0, len(recipients))
	for _, k := range recipients {
		if k < 0 || k >= len(picks) {
			q.mu.Unlock()
			return fmt.Errorf("relay: no recipient %d", k)
		}
		e.rcpts[picks[k]].Dot = true
		at = append(at, picks[k])
	}
	removed := e.removed
	q.record(e, at...)
	q.mu.Unlock()
	if removed {
		return fmt.Errorf("relay: %w", errRemoved)
	}
	return q.journal.commit()
}

var errRemoved = &mailbricks.Reply{Code: 451, Enhanced: "4.3.0", Text: "Message was removed from the queue"}

// read opens a message of the queue.
func (q *Queue) read(id string) (*stored, *mailbricks.Message, error) {
	q.mu.Lock()
	l := q.loose[id]
	q.mu.Unlock()
	if l != nil {
		s, start, err := readStored(bytes.NewReader(l.data), int64(len(l.data)))
		if err != nil {
			return nil, nil, err
		}
		return s, mailbricks.NewMessage(l.data[start:]), nil
	}
	f, err := q.fs.OpenFile(q.file(id), os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	s, start, err := readStoredFile(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	msg, err := q.spool.Open(io.NewSectionReader(f, start, s.Size), s.Size, f.Close)
	if err != nil {
		return nil, nil, err
	}
	return s, msg, nil
}

// conclude files the outcomes of an attempt for the recipients picks and ends the job.
func (q *Queue) conclude(j *job, picks []int, outcomes []Outcome) {
	e, now := j.e, wallNow()
	var events []Event
	q.mu.Lock()
	if len(picks) > 0 {
		q.judge(j.dest, outcomes, now)
	}
	for k, i := range picks {
		if e.rcpts[i].pending() { // or else it was removed meanwhile
			events = append(events, q.note(e, i, q.fileOutcome(e, i, outcomes[k], now), now))
		}
	}
	if len(picks) > 0 {
		q.record(e, picks...)
	}
	e.jobs--
	ended := q.finish(e)
	q.mu.Unlock()

	q.settleDisk(e, ended, len(picks) > 0)
	q.logOutcomes(events)
	q.tell(events)

	q.mu.Lock()
	defer q.mu.Unlock()
	for _, i := range j.rcpts { // not before the events were told, so that the next attempt's come behind them
		e.rcpts[i].job = nil
	}
	q.schedule(e)
}

// fileOutcome files one outcome and gives the kind of event that it is. q.mu is held.
func (q *Queue) fileOutcome(e *entry, i int, o Outcome, now time.Time) Kind {
	r := &e.rcpts[i]
	r.Open, r.Dot = false, false
	r.setOutcome(o)
	switch {
	case o.Err == nil:
		return Delivered
	case !o.Unknown && !mailbricks.IsTemporary(o.Err):
		return Bounced
	case o.Unknown && q.opts.HoldUnknown:
		r.Held = true
		return Unknown
	case !now.Before(e.expires):
		return Expired
	}
	r.Next = q.retryAt(e, r, now)
	if o.Unknown {
		return Unknown
	}
	return Deferred
}

// settleDisk commits what was recorded and removes the file of a message that has ended.
func (q *Queue) settleDisk(e *entry, ended, recorded bool) {
	if !ended && !recorded {
		return
	}
	if err := q.journal.commit(); err != nil {
		q.log.Error("relay: outcome cannot be noted", "id", e.id, "error", err)
		return
	}
	if ended {
		q.discard(e.id)
	}
}

func (q *Queue) logOutcomes(events []Event) {
	for _, ev := range events {
		attrs := []any{"id", ev.ID, "recipient", ev.Recipient, "attempt", ev.Attempt,
			"host", ev.Host, "status", ev.Status, "text", ev.Text, "reply", ev.Reply, "tls", ev.TLS}
		if !ev.Next.IsZero() {
			attrs = append(attrs, "next", ev.Next)
		}
		q.log.Info("relay: "+string(ev.Kind), attrs...)
	}
}
