package sign

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// status puts together where a rotation stands. found has what the DNS was just found to be wrong about, by selector;
// nil: it was not asked.
func (r *Rotation) status(domain string, found map[string]error) (Status, error) {
	keys, err := r.Keys.List(domain)
	if err != nil {
		return Status{}, err
	}
	state, err := r.Keys.read()
	if err != nil {
		return Status{}, fmt.Errorf("sign: keys of %s: %w", domain, err)
	}
	s := Status{Domain: domain, Phase: Idle, Active: state.signingOr(domain, selectorsOf(keys))}
	for _, k := range keys {
		switch k.Use {
		case ForNext:
			s.Publish = append(s.Publish, k.Record)
		case ForOld:
			s.Keep = append(s.Keep, k.Record)
		}
	}
	gone, old, next := state.rotating(lineGone, domain), state.rotating(lineOld, domain), state.rotating(lineNext, domain)
	// What comes later in a rotation is said first, so that the earliest phase is the one that stays.
	var texts []string
	if len(gone) > 0 {
		texts = append(texts, s.withdrawing(gone))
	}
	if len(old) > 0 {
		texts = append(texts, s.retiring(old, or(r.Grace, DefaultGrace)))
	}
	if len(next) > 0 {
		texts = append(texts, s.publishing(next, found, or(r.Settle, DefaultSettle)))
	}
	if len(texts) == 0 {
		texts = []string{"no rotation is under way"}
		if len(s.Active) == 0 {
			texts = []string{"no key signs"}
		}
	}
	slices.Reverse(texts)
	s.Text = strings.Join(texts, "; ")
	return s, nil
}

// publishing tells of keys that do not sign yet.
func (s *Status) publishing(next []stateLine, found map[string]error, settle time.Duration) string {
	s.Phase, s.Until = Settling, time.Time{}
	var wrong []string
	var made, since time.Time
	for _, line := range next {
		selector := line.selectors[0]
		if err := found[selector]; err != nil {
			wrong = append(wrong, err.Error())
		} else if line.seen.IsZero() {
			wrong = append(wrong, recordName(selector, s.Domain)+" was not seen yet")
		}
		made = line.at
		if line.seen.After(since) {
			since = line.seen
		}
	}
	if len(wrong) > 0 {
		s.Phase = Publish
		s.sooner(time.Now().Add(backOff(made, MaxCheck)))
		return "waits until the DNS shows the new keys: " + strings.Join(wrong, "; ")
	}
	s.Until = since.Add(settle)
	s.sooner(s.Until)
	return fmt.Sprintf("the DNS shows the new keys since %s; they sign from %s on if it still does then",
		stamp(since), stamp(s.Until))
}

// retiring tells of keys that do not sign any more.
func (s *Status) retiring(old []stateLine, grace time.Duration) string {
	s.Phase = Retire
	var parts []string
	for i, line := range old {
		end := line.at.Add(grace)
		parts = append(parts, fmt.Sprintf("the record of the old key %s must stay until %s", line.selectors[0], stamp(end)))
		if i == 0 || end.Before(s.Until) {
			s.Until = end
		}
	}
	s.sooner(s.Until)
	return strings.Join(parts, "; ")
}

// withdrawing tells of keys that are deleted.
func (s *Status) withdrawing(gone []stateLine) string {
	s.Phase = Withdraw
	var parts []string
	for _, line := range gone {
		name := recordName(line.selectors[0], s.Domain)
		s.Withdraw = append(s.Withdraw, name)
		parts = append(parts, fmt.Sprintf("the key of %s is deleted: take the record out of the DNS, or give it the value %q",
			name, Revoked))
		s.sooner(time.Now().Add(backOff(line.at, MaxWithdrawCheck)))
	}
	return strings.Join(parts, "; ")
}

// sooner lowers Next.
func (s *Status) sooner(t time.Time) {
	if s.Next.IsZero() || t.Before(s.Next) {
		s.Next = t
	}
}

// backOff is how long to wait before the next look at the DNS, for a record that has been waited for since a time.
func backOff(since time.Time, most time.Duration) time.Duration {
	return min(max(time.Since(since)/4, MinCheck), most)
}
