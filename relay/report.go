package relay

import (
	"context"
	"time"

	"github.com/mailbricks/mailbricks"
)

// wantsFailure says whether the sender is told of a failure: not the null sender (RFC 5321 §4.5.5), nobody who has asked
// for other things only (RFC 3461 §4.1), and not an address to which nothing can be sent.
func wantsFailure(from string, n mailbricks.Notify) bool {
	return from != "" && validPath(from) && (n == 0 || n&mailbricks.NotifyFailure != 0)
}

// report tells the sender of a message of the recipients that failed and of whom it has not been told.
func (q *Queue) report(ctx context.Context, e *entry) {
	q.mu.Lock()
	var picks []int
	for i := range e.rcpts {
		if r := &e.rcpts[i]; r.failed() && !r.Told {
			picks = append(picks, i)
		}
	}
	removed := e.removed
	q.mu.Unlock()

	told, retry := true, false
	if !removed && len(picks) > 0 {
		told, retry = q.tellSender(ctx, e, picks)
	}
	now := wallNow()
	q.mu.Lock()
	e.telling = nil
	if retry {
		e.tells++
		e.tellAt = now.Add(q.patience.Load().retry.After(e.tells))
	}
	if told {
		for _, i := range picks {
			e.rcpts[i].Told = true
		}
		q.record(e, picks...)
	}
	ended := q.finish(e)
	q.schedule(e)
	q.mu.Unlock()
	q.settleDisk(e, ended, told)
}

// tellSender makes the notification and hands it over. It says whether that is done, one way or the other, or is to be
// tried again.
func (q *Queue) tellSender(ctx context.Context, e *entry, picks []int) (told, retry bool) {
	s, msg, err := q.read(e.id)
	if err != nil { // the report must do without
		q.log.Error("relay: message cannot be read", "id", e.id, "error", err)
		s, msg = q.bare(e), mailbricks.NewMessage(nil)
	}
	defer msg.Close()
	n := q.newNotice(e, s, picks)
	if len(n.rcpts) == 0 {
		q.log.Warn("relay: failure is not reported", "id", e.id, "from", e.from, "recipients", len(picks))
		return true, false
	}
	env, report, err := n.compose(&q.spool, msg)
	if err == nil {
		err = q.generated(ctx, env, report)
		_ = report.Close()
	}
	switch {
	case err == nil:
		q.log.Info("relay: failure is reported", "id", e.id, "to", e.from, "recipients", len(n.rcpts))
		return true, false
	case !mailbricks.IsTemporary(err):
		q.log.Error("relay: report of a failure is refused and given up", "id", e.id, "to", e.from, "error", err)
		return true, false
	case time.Now().After(e.expires.Add(q.patience.Load().lifetime)):
		q.log.Error("relay: report of a failure is given up", "id", e.id, "to", e.from, "error", err)
		return true, false
	}
	q.log.Warn("relay: report of a failure is put off", "id", e.id, "to", e.from, "error", err)
	return false, true
}

func (q *Queue) generated(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	if q.opts.Generated != nil {
		return q.opts.Generated.Handle(ctx, env, msg)
	}
	return q.Handle(ctx, env, msg)
}

// bare is what the index knows of a message whose file cannot be read.
func (q *Queue) bare(e *entry) *stored {
	s := &stored{ID: e.id, EnvID: e.envID, From: e.from, Created: e.created}
	for i := range e.rcpts {
		s.Rcpts = append(s.Rcpts, storedRcpt{Address: e.rcpts[i].address})
	}
	return s
}

// newNotice gathers what a notification tells.
func (q *Queue) newNotice(e *entry, s *stored, picks []int) *notice {
	n := &notice{
		hostname: q.opts.Hostname, from: q.opts.ReportFrom, to: s.From, envelopeID: s.EnvelopeID, arrival: s.Created,
		full: s.Return != mailbricks.ReturnHeaders && s.Size <= q.opts.MaxReturn, lifetime: e.expires.Sub(e.created),
		id: e.id,
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, i := range picks {
		sr := s.Rcpts[i]
		if !wantsFailure(s.From, sr.Notify) {
			continue
		}
		original := sr.Original
		if original == "" && sr.Alias != "" {
			original = "rfc822;" + sr.Alias
		}
		n.rcpts = append(n.rcpts, noticeRcpt{address: sr.Address, original: original, status: e.rcpts[i].status})
	}
	return n
}
