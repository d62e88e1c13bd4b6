package smtpd

import (
	"context"
	"errors"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// errNotTaken is the outcome of a message that a check's Around calls accepted although the Handler was not asked.
var errNotTaken = errors.New("smtpd: a check accepted a message that the Handler was not given")

// errTwice is what next of an Around gives when it is called again.
var errTwice = errors.New("smtpd: a check went on twice")

// walk goes through the checks of a step.
type walk struct {
	*conn
	step    *Step
	decided string // the check that had the last word; empty: the server or the Handler
	asked   bool   // the Handler was asked
	outcome error  // what it said
}

// ask asks the checks of a step one after the other until one decides. What they ask for beyond a refusal is done; at
// Rcpt the caller does what Discard asks for.
func (c *conn) ask(step *Step) error {
	if !c.anyone(step.Phase) {
		return nil
	}
	return c.within(step, c.set.checkTime)
}

// anyone says whether a check wants to be asked.
func (c *conn) anyone(p Phase) bool {
	for i := range c.set.Checks {
		if c.set.Checks[i].has(p) || c.set.Checks[i].Around != nil {
			return true
		}
	}
	return false
}

// within asks the checks of a step, and the Handler at Message, within a time.
func (c *conn) within(step *Step, atMost time.Duration) error {
	w := &walk{conn: c, step: step}
	err := c.runStep(step.Phase.String(), atMost, func(ctx context.Context) error {
		if step.Phase == PhaseConnect {
			c.Pending() // what comes before the greeting counts from the start
		}
		return w.from(ctx, 0)
	})
	if v, ok := verdictOf(err); ok && v.Action == DiscardMail && step.Phase != PhaseRcpt {
		c.discard(step, v.Reason)
		return nil
	}
	if err == nil && step.Phase == PhaseMessage { // whatever an Around made of it, only the Handler takes mail
		switch {
		case !w.asked:
			return errNotTaken
		case w.outcome != nil:
			return w.outcome
		}
	}
	return err
}

// from asks the checks from the i-th on.
func (w *walk) from(ctx context.Context, i int) error {
	for ; i < len(w.set.Checks); i++ {
		check := &w.set.Checks[i]
		if check.has(w.step.Phase) {
			over, err := w.judge(ctx, check, check.ask(ctx, w.step))
			if err != nil {
				return err
			}
			if over {
				break
			}
		}
		if check.Around != nil {
			return w.around(ctx, check, i+1)
		}
	}
	return w.rest(ctx)
}

// around lets a check go around those from the i-th on.
func (w *walk) around(ctx context.Context, check *Check, i int) error {
	called := false
	err := check.Around(ctx, w.step, func(ctx context.Context) error {
		if called {
			return errTwice
		}
		called = true
		return w.from(ctx, i)
	})
	_, err = w.judge(ctx, check, err)
	return err
}

// judge does what a check's verdict asks for. over says that the checks behind it are not asked.
func (w *walk) judge(ctx context.Context, check *Check, err error) (over bool, _ error) {
	if err == nil {
		return false, nil
	}
	v, ok := verdictOf(err)
	if !ok {
		w.decided = check.Name
		w.logger.Debug("smtpd: refused by a check", "step", w.step.Phase, "check", check.Name, "err", err)
		return true, err
	}
	switch v.Action {
	case Pass:
		return false, nil
	case AcceptStep:
		return true, nil
	case QuarantineMail:
		w.quarantine(w.step, v.Reason)
		return false, nil
	case TarpitPeer:
		if err := w.tarpit(ctx, v.Delay); err != nil {
			return true, err
		}
		return w.judge(ctx, check, v.Err)
	}
	w.decided = check.Name
	return true, err
}

// rest is what comes behind the checks.
func (w *walk) rest(ctx context.Context) error {
	if w.step.Phase != PhaseMessage {
		return nil
	}
	env := w.step.Transaction.Envelope
	w.asked = true
	w.outcome = w.set.Handler.Handle(ctx, env, w.step.Message)
	if !w.set.LMTP {
		w.outcome = single(w.outcome, env.Recipients)
	}
	return w.outcome
}

// quarantine notes why mail is to be put aside.
func (c *conn) quarantine(step *Step, reason string) {
	switch {
	case step.Transaction == nil && c.session.quarantine == "":
		c.session.quarantine = reason
	case step.Transaction != nil && step.Transaction.Envelope.Quarantine == "":
		step.Transaction.Envelope.Quarantine = reason
	}
}

// discard notes that mail is to be thrown away, and why.
func (c *conn) discard(step *Step, reason string) {
	if step.Transaction == nil {
		c.session.discard = &reason
		return
	}
	step.Transaction.discard = &reason
}

// isDiscard says whether err asks for mail to be thrown away.
func isDiscard(err error) bool {
	v, ok := verdictOf(err)
	return ok && v.Action == DiscardMail
}

// tarpit lets the peer wait.
func (c *conn) tarpit(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(min(delay, c.set.maxTarpit))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &mailbricks.Reply{Code: 421, Enhanced: "4.3.2", Text: "Please try again later", Err: context.Cause(ctx)}
	}
}

// runStep runs f, which is code of the embedder's, with a context that ends when the peer leaves or time is over. A panic
// becomes an error, and so a temporary failure.
func (c *conn) runStep(name string, atMost time.Duration, f func(context.Context) error) error {
	return c.WatchFor(c.ctx, atMost, func(ctx context.Context) error {
		return serving.Guard(c.logger, "smtpd: "+name, func() error { return f(stepContext{ctx, c.session, c.tx}) })
	})
}

// disconnected tells those who want to know that the session has ended.
func (c *conn) disconnected() {
	for i := range c.set.Checks {
		if f := c.set.Checks[i].Disconnect; f != nil {
			_ = serving.Guard(c.logger, "smtpd: disconnect", func() error { f(c.session); return nil }) // it was logged
		}
	}
	if t := c.set.Trace.Disconnected; t != nil {
		t(c.session, ended(c.end))
	}
}
