package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Decision is what becomes of a transaction's recipients.
type Decision int

// The decisions, each stricter than those before it.
const (
	Pass       Decision = iota // nothing
	Quarantine                 // the mail is put aside
	Temporary                  // they are refused for now
	Refuse                     // they are refused for good
)

// String is the name of the decision.
func (d Decision) String() string {
	names := [...]string{"pass", "quarantine", "temporary", "refuse"}
	if d < 0 || int(d) >= len(names) {
		return "unknown"
	}
	return names[d]
}

// MarshalText gives String, for JSON and the like.
func (d Decision) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Result is what the lists say of a transaction.
type Result struct {
	// Client is the client's address.
	Client netip.Addr
	// Score is the sum of the weights of Listings.
	Score int
	// Good says that Score is at or below Options.GoodAt: the client has a good name.
	Good bool
	// Decision is what becomes of the recipients that are not exempt.
	Decision Decision
	// Listings are the lists that count, in their order in Options.
	Listings []Listing
	// Unknown names the lists that were not asked, are not trusted at the time or did not answer in time.
	Unknown []string
}

// Listing is an entry in a list.
type Listing struct {
	// List is the list.
	List List
	// Kind is what of the transaction is listed; Subject is it: an address or a name in lower case.
	Kind    Kind
	Subject string
	// Codes are the return codes that count.
	Codes []netip.Addr

	query string
}

// String is one line for people: what is listed, and where.
func (l Listing) String() string {
	return l.subject() + " listed by " + l.List.label()
}

// subject says what is listed.
func (l Listing) subject() string {
	what := "client"
	switch l.Kind {
	case Hello:
		what = "HELO name"
	case ReverseName:
		what = "client name"
	case Sender:
		what = "sender domain"
	}
	return what + " [" + l.Subject + "]"
}

type resultKey struct{}

// From gives what the lists say of a session's transaction. It is there once a Checker has decided, which it does at the first
// recipient that is not exempt; false means that it is not there, or that this client is not asked about.
func From(s *smtpd.Session) (Result, bool) {
	r, ok := s.Value(resultKey{}).(*Result)
	if !ok || r == nil {
		return Result{}, false
	}
	return *r, true
}

// evaluate adds up what the rounds have come to.
func (c *Checker) evaluate(client netip.Addr, rounds ...*round) *Result {
	for _, r := range rounds {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	res := &Result{Client: client}
	for i := range c.o.Lists {
		c.evaluateList(res, &c.o.Lists[i], rounds)
	}
	res.Good = c.o.GoodAt < 0 && res.Score <= c.o.GoodAt
	switch at := func(limit int) bool { return limit > 0 && res.Score >= limit }; {
	case at(c.o.RefuseAt):
		res.Decision = Refuse
	case at(c.o.TemporaryAt):
		res.Decision = Temporary
	case at(c.o.QuarantineAt):
		res.Decision = Quarantine
	}
	return res
}

// evaluateList adds one list, once however often it lists something. The locks of the rounds are held.
func (c *Checker) evaluateList(res *Result, list *List, rounds []*round) {
	unknown := false
	for _, r := range rounds {
		for i := range r.lookups {
			l := &r.lookups[i]
			if l.site.zone != list.Zone || l.subject.kind&list.For == 0 {
				continue
			}
			unknown = unknown || !l.answer.outcome.known()
			if l.answer.outcome != listed {
				continue
			}
			if codes := l.codesFor(list, l.answer); codes != nil {
				kind := l.subject.kind & list.For
				res.Score += list.Weight
				res.Listings = append(res.Listings, Listing{
					List: *list, Kind: kind & -kind, Subject: l.subject.text, Codes: codes, query: l.query,
				})
				return
			}
		}
	}
	if unknown {
		res.Unknown = append(res.Unknown, list.label())
	}
}

// codesFor are the codes that count for a list, if it is asked about this.
func (l *lookup) codesFor(list *List, a answer) (codes []netip.Addr) {
	if l.subject.kind&list.For == 0 {
		return nil
	}
	for _, code := range a.codes {
		if list.Codes.Has(code) {
			codes = append(codes, code)
		}
	}
	return codes
}

// heaviest is the listing that a refusal names.
func (r *Result) heaviest() Listing {
	best := r.Listings[0]
	for _, l := range r.Listings[1:] {
		if l.List.Weight > best.List.Weight {
			best = l
		}
	}
	return best
}

// verdict is what a check returns for the result.
func (c *Checker) verdict(ctx context.Context, s *smtpd.Session, r *Result) error {
	reply := mailbricks.Reply{Code: 554, Enhanced: "5.7.1"}
	switch r.Decision {
	case Pass:
		return nil
	case Quarantine:
		return smtpd.Quarantine(r.heaviest().String())
	case Temporary:
		reply.Code, reply.Enhanced = 451, "4.7.1"
	}
	worst := r.heaviest()
	reply.Text = fmt.Sprintf("Service unavailable; %s blocked using %s", worst.subject(), worst.List.label())
	if !s.Stressed() {
		if text := c.text(ctx, worst); text != "" {
			reply.Text += "; " + text
		}
	}
	reply.Err = errors.New(r.reason())
	return &reply
}

// reason is for the log: all that counts.
func (r *Result) reason() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dnsbl: score %d:", r.Score)
	for i, l := range r.Listings {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s (%+d, %v)", l, l.List.Weight, l.Codes[0])
	}
	return b.String()
}
