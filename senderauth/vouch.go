package senderauth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/senderauth/authres"
)

// vouch looks whether trusted sealers say that a message that fails DMARC now passed it before (RFC 8617 §7.2.1). From the
// newest set on, each set counts as long as its seal and those of all newer ones are by trusted domains: behind the first
// that is not, anybody may have made up what the others then sealed in good faith.
func (c *checker) vouch(ctx context.Context, e *dmarc.Evaluator, r *Result, from []string) {
	sets := r.ARC.Sets
	if r.DMARC.Result != dmarc.Fail || len(sets) == 0 || !c.trustsSealer(newest(sets).Seal.Domain) {
		return
	}
	if r.ARC.Status != arc.Pass {
		r.mayBeVouched = r.ARC.Temporary
		return
	}
	if newest(sets).MessageSignature.BodyUnsigned > 0 && !c.AcceptPartialBody {
		return
	}
	for _, set := range slices.Backward(sets) {
		if !c.trustsSealer(set.Seal.Domain) {
			return
		}
		if m, says := told(set, r.DMARC.AuthorDomain); says || passes(ctx, e, m, from) {
			r.Vouched = set.Seal.Domain
			return
		}
	}
}

func newest(sets []arc.Set) *arc.Set { return &sets[len(sets)-1] }

func (c *checker) trustsSealer(domain string) bool {
	return domain != "" && slices.ContainsFunc(c.TrustedSealers, func(known string) bool {
		return authres.SameID(known, domain)
	})
}

// told is what a set's results say: the identifiers that passed, and whether DMARC passed for the author's domain.
func told(set arc.Set, author string) (m dmarc.Message, dmarcPassed bool) {
	f, _ := authres.Parse("x;" + set.Results) // beside an error, what could be read
	for _, r := range f.Results {
		if r.Version > 1 || !strings.EqualFold(r.Value, "pass") { // RFC 8601 §2.6
			continue
		}
		switch strings.ToLower(r.Method) {
		case "dmarc":
			domain, _ := r.Get("header", "from")
			dmarcPassed = dmarcPassed || domain != "" && authres.SameID(domain, author)
		case "dkim":
			m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: firstDomain(r, "header", "d", "i"), Pass: true})
		case "spf":
			m.SPF = dmarc.SPF{Domain: firstDomain(r, "smtp", "mailfrom", "helo"), Pass: true}
		}
	}
	return m, dmarcPassed
}

// firstDomain is the domain of the first of these properties that is there.
func firstDomain(r authres.Result, ptype string, names ...string) string {
	for _, name := range names {
		if v, _ := r.Get(ptype, name); v != "" {
			return v[strings.LastIndexByte(v, '@')+1:]
		}
	}
	return ""
}

// passes says whether the identifiers of a message make it pass.
func passes(ctx context.Context, e *dmarc.Evaluator, m dmarc.Message, from []string) bool {
	if !m.SPF.Pass && len(m.DKIM) == 0 {
		return false
	}
	m.From = from
	return e.Evaluate(ctx, m).Result == dmarc.Pass
}

// maxComment limits the comment about a chain in a report, in octets.
const maxComment = 2000

// chainComment tells of the chain as RFC 8617 §7.2.2 wants it in a report.
func chainComment(sets []arc.Set) string {
	var b strings.Builder
	b.WriteString("arc=pass")
	for _, set := range slices.Backward(sets) {
		part := fmt.Sprintf(" as[%d].d=%s as[%[1]d].s=%[3]s", set.Instance, set.Seal.Domain, set.Seal.Selector)
		if b.Len()+len(part) > maxComment {
			break
		}
		b.WriteString(part)
	}
	if ip := origin(sets[0]); ip.IsValid() {
		fmt.Fprintf(&b, " remote-ip[1]=%s", ip)
	}
	return b.String()
}

// origin is the address from which the first sealer got the message, as far as it says.
func origin(set arc.Set) netip.Addr {
	f, _ := authres.Parse("x;" + set.Results)
	for _, name := range []authres.Property{{Type: "smtp", Name: "remote-ip"}, {Type: "policy", Name: "iprev"}} {
		for _, r := range f.Results {
			v, _ := r.Get(name.Type, name.Name)
			if ip, err := netip.ParseAddr(v); err == nil {
				return ip.WithZone("")
			}
		}
	}
	return netip.Addr{}
}
