package relay

import (
	"context"
	"errors"
	"slices"

	"github.com/mailbricks/mailbricks"
)

// Settle makes the outcomes of next one, for SMTP, which has a single reply for all recipients. If next has taken the
// message for one recipient at least, Settle puts those that failed for now into the queue, whose Transport tries them
// again, has the queue tell the sender of those that failed for good, and returns nil. If next has taken it for none,
// Settle returns one failure: one for now if there is any, so that the peer tries again.
//
// If the queue itself is what failed, or cannot store these recipients now, Settle returns that failure for all: the
// peer sends the message again, which may double it for those that were taken.
//
// The message is stored as Settle was given it, without what next did to its header and without Options.Prepare.
func (q *Queue) Settle(next mailbricks.Handler) mailbricks.Handler {
	return mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
		own := msg.Clone()
		defer own.Close()
		results := mailbricks.ResultsOf(next.Handle(ctx, env, own), len(env.Recipients))
		if results.Err() == nil {
			return nil
		}
		taken := slices.ContainsFunc(results, func(err error) bool { return err == nil })
		if !taken || q.failedIn(results) {
			return oneFailure(results)
		}
		return q.settle(env, msg, results)
	})
}

// failedIn says whether one of the failures is that of this queue.
func (q *Queue) failedIn(results mailbricks.Results) bool {
	return slices.ContainsFunc(results, func(err error) bool {
		own, ok := errors.AsType[*storeError](err)
		return ok && own.queue == q && mailbricks.IsTemporary(err)
	})
}

// oneFailure is the failure that stands for all.
func oneFailure(results mailbricks.Results) error {
	var first error
	for _, err := range results {
		if mailbricks.IsTemporary(err) {
			return mailbricks.ReplyTo(err)
		}
		if first == nil && err != nil {
			first = mailbricks.ReplyTo(err)
		}
	}
	return first
}

func (q *Queue) settle(env *mailbricks.Envelope, msg *mailbricks.Message, results mailbricks.Results) error {
	s := newStored(env)
	s.Rcpts = s.Rcpts[:0]
	all := newStored(env).Rcpts
	now := wallNow()
	for i, err := range results {
		if err == nil {
			continue
		}
		st := status{When: now, Last: now, Attempts: 1}
		st.setReply(err)
		if mailbricks.IsTemporary(err) {
			st.Kind, st.Next = Deferred, now.Add(q.patience.Load().retry.After(1))
		} else if st.Kind = Bounced; !wantsFailure(env.From, all[i].Notify) {
			q.log.Warn("relay: failure is not reported", "envelope", env.ID, "recipient", all[i].Address, "status", st.Status, "text", st.Text)
			continue
		}
		all[i].Status = &st
		s.Rcpts = append(s.Rcpts, all[i])
	}
	if len(s.Rcpts) == 0 {
		return nil
	}
	if err := q.enter(context.Background()); err != nil {
		return err
	}
	defer q.leave()
	_, err := q.store(s, msg)
	return err
}
