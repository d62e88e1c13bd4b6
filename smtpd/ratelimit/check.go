package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Check is the check: what is over a limit gets 421 4.7.0 at the greeting and 451 4.7.1 at MAIL and RCPT. What the checks in
// front of it refuse is not counted.
func (l *Limiter) Check() smtpd.Check {
	c := smtpd.Check{
		Name: "ratelimit",
		Connect: func(_ context.Context, s *smtpd.Session) error {
			return l.step(&smtpd.Step{Phase: smtpd.PhaseConnect, Session: s})
		},
		Mail: func(_ context.Context, tx *smtpd.Transaction) error {
			l.settle(tx.Session, true) // what the transaction before has left
			return l.step(&smtpd.Step{Phase: smtpd.PhaseMail, Session: tx.Session, Transaction: tx})
		},
		Rcpt: func(_ context.Context, tx *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
			return l.step(&smtpd.Step{Phase: smtpd.PhaseRcpt, Session: tx.Session, Transaction: tx, Recipient: rcpt})
		},
	}
	if l.refunds {
		c.Around = l.around
		c.Disconnect = func(_ context.Context, s *smtpd.Session) { l.settle(s, true) }
	}
	return c
}

// step charges a step.
func (l *Limiter) step(s *smtpd.Step) error {
	if len(l.phases[s.Phase]) == 0 || l.o.Skip != nil && l.o.Skip(s.Session) {
		return nil
	}
	var few [4]charge // enough for most, without allocation
	charges, over, wait := l.take(s, few[:0])
	if over == nil {
		l.remember(s, charges)
		return nil
	}
	if l.o.OnLimit != nil {
		l.o.OnLimit(s, l.describe(over, wait))
	}
	return refuse(s.Phase, over.from.rule.Name, wait)
}

// take takes from all buckets that a step concerns, or from none: then over is the one with the longest wait.
func (l *Limiter) take(s *smtpd.Step, charges []charge) (_ []charge, over *charge, wait int64) {
	for _, b := range l.phases[s.Phase] {
		cost := 1
		if b.rule.Weight != nil {
			cost = min(b.rule.Weight(s), b.rule.Burst)
		}
		if cost <= 0 {
			continue
		}
		if v, text, ok := b.rule.Key.of(s, &l.seeds); ok {
			charges = append(charges, charge{from: b, in: b.shard(v), value: v, text: text, cost: int64(cost) * b.interval})
		}
	}
	for i := range charges { // one shard of each rule, always in the order of the rules: nobody waits in a circle
		charges[i].in.mu.Lock()
	}
	now := l.now()
	for i := range charges {
		if w := charges[i].wait(now); w > wait {
			over, wait = &charges[i], w
		}
	}
	if over == nil {
		for i := range charges {
			charges[i].take(now)
		}
	}
	for i := range charges {
		charges[i].in.mu.Unlock()
	}
	return charges, over, wait
}

func (l *Limiter) describe(c *charge, wait int64) Bucket {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	now, until := l.now(), int64(0)
	if e := c.in.table.Get(c.value); e != nil {
		until = e.Until()
	}
	is := c.from.bucket(c.value, c.text, until, now)
	is.Wait = time.Duration(wait)
	return is
}

// refuse is the reply for what is over a limit. RCPT does not get 452 4.5.3, as that lets a client send the rest at once (RFC
// 5321 §4.5.3.1.10).
func refuse(p smtpd.Phase, rule string, wait int64) error {
	in := (wait + int64(time.Second) - 1) / int64(time.Second)
	r := &mailbricks.Reply{Code: 451, Enhanced: "4.7.1",
		Text: fmt.Sprintf("Ratelimit %q exceeded, please try again in %d seconds", rule, in)}
	if p == smtpd.PhaseConnect {
		r.Code, r.Enhanced = 421, "4.7.0"
	}
	return r
}

// ledger is what a session may get back.
type ledger struct {
	recipient  []charge // of the RCPT that is asked about
	message    []charge // of the MAIL
	recipients []paid   // of the RCPTs that were taken
}

// paid is a charge for a recipient.
type paid struct {
	charge
	address string
}

type ledgerKey struct{ l *Limiter }

// remember keeps what may have to be given back.
func (l *Limiter) remember(s *smtpd.Step, charges []charge) {
	if !l.refunds || s.Phase == smtpd.PhaseConnect {
		return
	}
	led, ok := s.Session.Value(ledgerKey{l}).(*ledger)
	if !ok {
		led = new(ledger)
		s.Session.Set(ledgerKey{l}, led)
	}
	led.recipient = led.recipient[:0]
	for _, c := range charges {
		switch {
		case !c.from.rule.Refund:
		case s.Phase == smtpd.PhaseRcpt:
			led.recipient = append(led.recipient, c)
		default:
			led.message = append(led.message, c)
		}
	}
}

// settle ends what may have to be given back for a transaction.
func (l *Limiter) settle(s *smtpd.Session, refund bool) {
	led, ok := s.Value(ledgerKey{l}).(*ledger)
	if !ok {
		return
	}
	if refund {
		giveBack(led.recipient)
		giveBack(led.message)
		for i := range led.recipients {
			led.recipients[i].refund()
		}
	}
	clear(led.recipients) // addresses need not stay in memory
	led.recipient, led.message, led.recipients = led.recipient[:0], led.message[:0], led.recipients[:0]
}

// settleMessage ends a transaction with the outcome of its message. One that was taken for some recipients only counts, and
// gives back what the others cost: otherwise a recipient that always fails would lift the limit.
func (l *Limiter) settleMessage(s *smtpd.Step, led *ledger, err error) {
	if !refused(err) {
		l.settle(s.Session, false)
		return
	}
	rcpts := s.Transaction.Envelope.Recipients
	failed, some := map[string]bool{}, false // a recipient that comes twice has failed when both have
	for i, err := range mailbricks.ResultsOf(err, len(rcpts)) {
		no, address := refused(err), rcpts[i].Address
		before, known := failed[address]
		failed[address] = no && (before || !known)
		some = some || !no
	}
	if !some {
		l.settle(s.Session, true)
		return
	}
	for i := range led.recipients {
		if p := &led.recipients[i]; failed[p.address] {
			p.refund()
		}
	}
	l.settle(s.Session, false)
}

func giveBack(charges []charge) {
	for i := range charges {
		charges[i].refund()
	}
}

// around sees what comes of a step.
func (l *Limiter) around(ctx context.Context, s *smtpd.Step, next func(context.Context) error) error {
	err := next(ctx)
	led, ok := s.Session.Value(ledgerKey{l}).(*ledger)
	if !ok {
		return err
	}
	switch no := refused(err); {
	case s.Phase == smtpd.PhaseMessage:
		l.settleMessage(s, led, err)
	case s.Phase == smtpd.PhaseMail && no:
		l.settle(s.Session, true)
	case s.Phase == smtpd.PhaseRcpt:
		if no {
			giveBack(led.recipient)
		} else {
			for _, c := range led.recipient { // its address is what checks behind have made of it
				led.recipients = append(led.recipients, paid{c, s.Recipient.Address})
			}
		}
		led.recipient = led.recipient[:0]
	}
	return err
}

// refused says whether an outcome is a refusal: what is discarded is not.
func refused(err error) bool {
	v, ok := errors.AsType[*smtpd.Verdict](err)
	return err != nil && (!ok || v.Action != smtpd.DiscardMail)
}
