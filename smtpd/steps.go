package smtpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// errNotTaken is the outcome of a message that a check's Around calls accepted although the Handler was not asked, or panicked.
var errNotTaken = errors.New("smtpd: a check accepted a message that the Handler has not taken")

// errTwice is what next of an Around gives when it is called again.
var errTwice = errors.New("smtpd: a check went on twice")

// errByHandler is the outcome of a message whose Handler asks for what only checks may ask for.
var errByHandler = errors.New("smtpd: a Handler cannot ask for mail to be thrown away")

// walk goes through the checks of a step.
type walk struct {
	c       *conn
	step    *Step
	given   string // the recipient of the step, before checks have changed it
	current string // the check that is asked, or ByHandler
	decided string // who had the last word; empty: the server
	failed  error  // a panic of whom decided names
	asked   bool   // the Handler was asked
	outcome error  // what it said
}

// ask asks the checks of a step one after the other until one decides. What they ask for beyond a refusal is done; at
// Rcpt the caller does what Discard asks for.
func (c *conn) ask(step Step) error {
	if !c.anyone(step.Phase) {
		return nil
	}
	asked := step
	return c.within(&asked, c.set.checkTime)
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
	w := &walk{c: c, step: step}
	if step.Recipient != nil {
		w.given = step.Recipient.Address
	}
	err := c.runStep(step.Phase.inLog(), atMost, func(ctx context.Context) error {
		if step.Phase == PhaseConnect {
			c.Pending() // what comes before the greeting counts from the start, see LineConn.Watch
		}
		err := w.from(ctx, 0)
		c.left = c.left || err != nil && step.Phase != PhaseMessage && errors.Is(context.Cause(ctx), serving.ErrPeerLeft)
		return err
	})
	w.panicked(err)
	if isDiscard(err) {
		if !w.stored() {
			return w.discard(err)
		}
		w.late(w.decided, err)
		err = nil
	}
	if err == nil && step.Phase == PhaseMessage { // whatever an Around made of it, only the Handler takes mail
		switch {
		case !w.asked:
			err = errNotTaken
		case w.outcome != nil:
			w.decided, err = ByHandler, w.outcome
		}
	}
	if err != nil {
		if w.stored() {
			c.logger.Warn("smtpd: a check refuses a message that the Handler has taken, which may come again",
				"id", step.Transaction.Envelope.ID, "check", w.decided, "err", err)
		}
		c.why = Outcome{Phase: step.Phase, Transaction: step.Transaction, Check: w.decided, Recipient: w.given, Err: err}
	}
	return err
}

// panicked notes who has panicked, if err says so.
func (w *walk) panicked(err error) {
	if p, is := errors.AsType[*serving.Panic](err); is && w.failed != p {
		w.failed, w.decided = p, w.current
	}
}

// from asks the checks from the i-th on.
func (w *walk) from(ctx context.Context, i int) error {
	for ; i < len(w.c.set.Checks); i++ {
		check := &w.c.set.Checks[i]
		if check.has(w.step.Phase) {
			w.current = w.name(i)
			over, err := w.judge(ctx, w.current, check.ask(ctx, w.step))
			if err != nil {
				return err
			}
			if over {
				break
			}
		}
		if check.Around != nil {
			return w.around(ctx, i)
		}
	}
	return w.rest(ctx)
}

// name is what the i-th check is called.
func (w *walk) name(i int) string {
	if name := w.c.set.Checks[i].Name; name != "" {
		return name
	}
	return fmt.Sprintf("check %d", i+1)
}

// around lets the i-th check go around those behind it.
func (w *walk) around(ctx context.Context, i int) error {
	name := w.name(i)
	w.current = name
	var inner error
	var called atomic.Bool
	finished := make(chan struct{})
	asked := false
	wait := func() {
		if asked = !called.CompareAndSwap(false, true); asked {
			<-finished // nothing of a step goes on behind its end
		}
	}
	err := w.goAround(ctx, i, wait, func(ctx context.Context) error {
		if !called.CompareAndSwap(false, true) {
			return errTwice
		}
		defer close(finished)
		inner = serving.Guard(w.c.logger, "smtpd: "+w.step.Phase.String(), func() error { return w.from(ctx, i+1) })
		w.panicked(inner)
		w.current = name
		return inner
	})
	if asked && same(err, inner) { // which was judged where it came from
		return err
	}
	w.decided = name
	_, err = w.judge(ctx, name, err)
	return err
}

// goAround calls Around of the i-th check, and then wait in any case: Around may have panicked while next runs elsewhere.
func (w *walk) goAround(ctx context.Context, i int, wait func(), next func(context.Context) error) error {
	defer wait()
	return w.c.set.Checks[i].Around(ctx, w.step, next)
}

// stored says whether the Handler has taken the message for all of its recipients.
func (w *walk) stored() bool { return w.asked && w.outcome == nil }

// late tells of a verdict that comes when the Handler has the message already.
func (w *walk) late(name string, verdict error) {
	w.c.logger.Warn("smtpd: a verdict comes too late, the Handler has the message", "id", w.step.Transaction.Envelope.ID,
		"check", name, "verdict", verdict)
}

// same says whether an error is another one, unchanged.
func same(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if results, ok := a.(mailbricks.Results); ok { // which do not compare
		others, ok := b.(mailbricks.Results)
		return ok && len(results) == len(others) && len(results) > 0 && &results[0] == &others[0]
	}
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// judge does what the verdict of a check asks for. over says that the checks behind it are not asked.
func (w *walk) judge(ctx context.Context, name string, err error) (over bool, _ error) {
	for err != nil {
		v, ok := verdictOf(err)
		if !ok {
			break
		}
		switch v.Action {
		case Pass:
			return false, nil
		case AcceptStep:
			w.note(name, v)
			return true, nil
		case QuarantineMail:
			if w.asked {
				w.late(name, v)
			} else {
				w.quarantine(name, v)
			}
			return false, nil
		}
		if v.Action != TarpitPeer {
			break
		}
		w.note(name, v)
		// What the Handler has said of a message stands, also when the wait ends early: it must not come twice.
		if err = w.c.tarpit(ctx, v.Delay); err == nil || w.asked {
			err = v.Err
		}
	}
	if err != nil {
		w.decided = name
	}
	return err != nil, err
}

// rest is what comes behind the checks.
func (w *walk) rest(ctx context.Context) error {
	if w.step.Phase != PhaseMessage {
		return nil
	}
	w.asked, w.current = true, ByHandler
	w.outcome = errNotTaken // as long as the Handler has not returned: it may panic
	if w.outcome = w.handle(ctx); w.outcome != nil {
		w.decided = ByHandler
	}
	return w.outcome
}

// handle gives the message to the Handler.
func (w *walk) handle(ctx context.Context) error {
	env := w.step.Transaction.Envelope
	err := w.c.set.Handler.Handle(ctx, env, w.step.Message)
	if !w.c.set.LMTP {
		err = single(err, env.Recipients)
	}
	if isDiscard(err) {
		return errByHandler
	}
	return err
}

// note tells of a verdict.
func (w *walk) note(name string, v *Verdict) Outcome {
	o := Outcome{
		Phase: w.step.Phase, Transaction: w.step.Transaction, Check: name, Action: v.Action, Recipient: w.given, Err: v,
	}
	w.c.tell(o)
	return o
}

// quarantine notes that mail is to be put aside, and why.
func (w *walk) quarantine(name string, v *Verdict) {
	reason := v.reason(name)
	if tx := w.step.Transaction; tx != nil {
		tx.Envelope.Quarantine = cmp.Or(tx.Envelope.Quarantine, reason)
	} else {
		all := w.c.session.standing(w.step.Phase)
		all.quarantine = cmp.Or(all.quarantine, reason)
	}
	w.note(name, v)
}

// discard notes that mail is to be thrown away. At Rcpt that is for the caller, who gets err.
func (w *walk) discard(err error) error {
	v, _ := verdictOf(err) // it is one
	o := w.note(w.decided, v)
	switch tx := w.step.Transaction; {
	case w.step.Phase == PhaseRcpt:
		return err
	case tx != nil:
		tx.discard = &o
	default:
		w.c.session.standing(w.step.Phase).discard = &o
	}
	return nil
}

// isDiscard says whether err asks for mail to be thrown away.
func isDiscard(err error) bool {
	v, ok := verdictOf(err)
	return ok && v.Action == DiscardMail
}

// tarpit lets the peer wait, who gets the replies to what came before: so one that has gone, with commands pending, is found.
func (c *conn) tarpit(ctx context.Context, delay time.Duration) error {
	if err := c.Flush(); err != nil {
		c.end = cmp.Or(c.end, c.unread(err))
		return c.end
	}
	began := time.Now()
	delay = min(delay, c.set.maxTarpit)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	life := &c.set.home.life
	var stress <-chan struct{}
	if c.session.Peer.Identity == nil {
		stress = life.UnderStress()
	}
	for {
		select {
		case <-timer.C:
			return nil
		case <-stress: // which may begin while the peer waits
			stress = nil
			timer.Reset(min(delay, c.set.stress.maxTarpit) - time.Since(began))
		case <-life.Draining():
			return shutdownReply(c.set.hostname)
		case <-ctx.Done():
			return &mailbricks.Reply{Code: 421, Enhanced: "4.3.2", Text: "Please try again later", Err: context.Cause(ctx)}
		}
	}
}

// inLog is what the log calls the steps of a phase.
func (p Phase) inLog() string {
	return [...]string{"smtpd: connect", "smtpd: hello", "smtpd: mail", "smtpd: rcpt", "smtpd: data", "smtpd: message"}[p]
}

// runStep runs f, which is code of the embedder's, with a context that ends when the peer leaves or time is over. A panic
// becomes an error, and so a temporary failure.
func (c *conn) runStep(name string, atMost time.Duration, f func(context.Context) error) error {
	return c.WatchFor(c.ctx, atMost, func(ctx context.Context) error {
		return serving.Guard(c.logger, name, func() error { return f(stepContext{ctx, c.session, c.tx}) })
	})
}

// disconnected tells those who want to know that the session has ended, once and if they were told that it has begun.
func (c *conn) disconnected() {
	if !c.begun {
		return
	}
	c.begun = false
	c.tellChecks()
	if t := c.set.Trace.Disconnected; t != nil {
		t(c.session, ended(c.end))
	}
}

// tellChecks tells the checks that the session has ended.
func (c *conn) tellChecks() {
	var ctx context.Context
	for i := range c.set.Checks {
		f := c.set.Checks[i].Disconnect
		if f == nil {
			continue
		}
		if ctx == nil {
			limited, cancel := context.WithTimeout(c.ctx, c.set.checkTime)
			defer cancel()
			ctx = stepContext{limited, c.session, nil}
		}
		_ = serving.Guard(c.logger, "smtpd: disconnect", func() error { f(ctx, c.session); return nil }) // it was logged
	}
}
