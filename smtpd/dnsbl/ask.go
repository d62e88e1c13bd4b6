package dnsbl

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// site is a zone with the lists that are made of it.
type site struct {
	zone   string
	label  string // for people
	kinds  Kind   // of all its lists
	lists  []List
	probes [classes]*probe // nil for what no list is asked about
}

// valid says whether a code can be that of an entry. Others are refusals, or come from a zone that is no list.
func (s *site) valid(code netip.Addr) bool {
	return (Codes{}).Has(code) || slices.ContainsFunc(s.lists, func(l List) bool { return l.Codes.Has(code) })
}

// outcome is what came of a question.
type outcome int

const (
	waiting    outcome = iota
	notListed          // there is no entry
	listed             // there is one
	odd                // an answer that no list should give, or a refusal
	unanswered         // a fault of the DNS, or time was over
	aborted            // the session ended before there was an answer
	skipped            // not asked: too many questions are under way
	switchedOff
	distrusted // an entry of a list that has not shown that it is one
)

// known says whether the list has said something that counts.
func (o outcome) known() bool { return o == notListed || o == listed }

// answer is what a list has said.
type answer struct {
	outcome outcome
	codes   []netip.Addr
}

// ask looks an entry up.
func (c *Checker) ask(ctx context.Context, s *site, query string) answer {
	var addrs []netip.Addr
	err := serving.Guard(c.o.Logger, "dnsbl: resolver", func() (err error) {
		addrs, err = c.o.Resolver.LookupNetIP(ctx, "ip4", query)
		return err
	})
	switch dns, _ := errors.AsType[*net.DNSError](err); {
	case dns != nil && dns.IsNotFound, err == nil && len(addrs) == 0:
		return answer{outcome: notListed}
	case err != nil:
		return answer{outcome: unanswered}
	}
	a := answer{outcome: odd}
	for _, addr := range addrs[:min(len(addrs), MaxCodes)] {
		addr = addr.Unmap()
		if addr.Is4() && refused(addr) {
			return answer{outcome: odd, codes: []netip.Addr{addr}}
		}
		a.codes = append(a.codes, addr)
		if s.valid(addr) {
			a.outcome = listed
		}
	}
	return a
}

// text asks a list why it has an entry; empty: it does not say. What it says is anybody's, and becomes one line of ASCII.
func (c *Checker) text(ctx context.Context, l Listing) string {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, TextTime)
	defer cancel()
	var texts []string
	err := serving.Guard(c.o.Logger, "dnsbl: resolver", func() (err error) {
		texts, err = c.o.Resolver.LookupTXT(ctx, l.query)
		return err
	})
	if err != nil {
		return ""
	}
	best := ""
	for _, t := range texts { // their order is not that of the zone, and a client should be told the same each time
		t = l.List.hideZone(cleanText(t))
		if t != "" && (best == "" || t < best) {
			best = t
		}
	}
	return best
}

// cleanText makes one line of printable ASCII.
func cleanText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, fieldtext.Clean(s, MaxText))
	return strings.Trim(s, " ")
}

// hideZone puts the list's name for its zone, where it has one.
func (l List) hideZone(text string) string {
	if l.Name == "" {
		return text
	}
	var b strings.Builder
	for {
		at := strings.Index(strings.ToLower(text), l.Zone) // both are ASCII: offsets are the same
		if at < 0 {
			break
		}
		b.WriteString(text[:at] + l.Name)
		text = text[at+len(l.Zone):]
	}
	b.WriteString(text)
	return b.String()
}
