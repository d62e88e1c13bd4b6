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
// The message is stored as Settle was given it, without what next did to its header and without Options.Prepare. Where
// Prepare is what failed for now, each attempt begins with it, and it fails while Prepare does: nothing leaves that is not
// prepared.
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

// failedIn says whether one of the failures is that of this queue, so that it would not take what Settle puts aside.
func (q *Queue) failedIn(results mailbricks.Results) bool {
	return slices.ContainsFunc(results, func(err error) bool {
		return q.isOwn(err) && !isPrepare(err) && mailbricks.IsTemporary(err)
	})
}

// isOwn says whether a failure is that of this queue to take a message.
func (q *Queue) isOwn(err error) bool {
	own, ok := errors.AsType[*storeError](err)
	return ok && own.queue == q
}

func isPrepare(err error) bool {
	_, ok := errors.AsType[*prepareError](err)
	return ok
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

// settle stores what is left to do: apart from the rest the recipients for which the message has to be prepared.
func (q *Queue) settle(env *mailbricks.Envelope, msg *mailbricks.Message, results mailbricks.Results) error {
	rest, unprepared := newStored(env), newStored(env)
	all := rest.Rcpts
	rest.Rcpts, unprepared.Rcpts, unprepared.Unprepared = nil, nil, true
	now := wallNow()
	for i, err := range results {
		if err == nil {
			continue
		}
		s := rest
		st := status{When: now, Last: now, Attempts: 1}
		st.setReply(err)
		if mailbricks.IsTemporary(err) {
			st.Kind, st.Next = Deferred, now.Add(q.patience.Load().retry.After(1))
			if q.isOwn(err) && isPrepare(err) {
				s = unprepared
			}
		} else if st.Kind = Bounced; !wantsFailure(env.From, all[i].Notify) {
			q.log.Warn("relay: failure is not reported", "envelope", env.ID, "recipient", all[i].Address, "status", st.Status, "text", st.Text)
			continue
		}
		all[i].Status = &st
		s.Rcpts = append(s.Rcpts, all[i])
	}
	if len(rest.Rcpts)+len(unprepared.Rcpts) == 0 {
		return nil
	}
	if err := q.enter(context.Background()); err != nil {
		return err
	}
	defer q.leave()
	if len(unprepared.Rcpts) > 0 {
		if err := q.storeUnprepared(unprepared, msg); err != nil {
			return err
		}
	}
	if len(rest.Rcpts) > 0 {
		_, err := q.store(rest, msg)
		return err
	}
	return nil
}

// storeUnprepared stores a message as take does, for attempts that begin with Options.Prepare.
func (q *Queue) storeUnprepared(s *stored, msg *mailbricks.Message) error {
	own, err := q.withCRLF(msg)
	if err != nil {
		return storing(err)
	}
	defer own.Close()
	_, err = q.store(s, own)
	return err
}
