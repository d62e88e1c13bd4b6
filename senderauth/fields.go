package senderauth

import (
	"fmt"
	"strconv"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
	"github.com/mailbricks/mailbricks/spf"
)

// Field is the Authentication-Results field for what was found, with this authserv-id.
func (r *Result) Field(servID string) authres.Field {
	f := authres.Field{ServID: servID, Results: make([]authres.Result, 0, 5+len(r.DKIM))}
	if r.IPRev.Value != "" {
		f.Results = append(f.Results, iprevField(r.IPRev))
	}
	f.Results = append(f.Results, spfField(r.SPF))
	if r.Helo != nil {
		f.Results = append(f.Results, spfField(*r.Helo))
	}
	for _, d := range r.DKIM {
		f.Results = append(f.Results, dkimField(d))
	}
	if r.ARC.Status != "" {
		f.Results = append(f.Results, r.arcField())
	}
	f.Results = append(f.Results, r.dmarcField())
	return f
}

// spfField leaves the local part out: SPF says nothing about it (RFC 8601 §2.7.2).
func spfField(v spf.Verdict) authres.Result {
	r := authres.Result{Method: "spf", Value: v.Result.String(), Reason: spfReason(v)}
	if v.Domain != "" {
		name := "mailfrom"
		if v.Identity == spf.Helo {
			name = "helo"
		}
		r.Props = []authres.Property{{Type: "smtp", Name: name, Value: v.Domain}}
	}
	return r
}

// dkimField has header.b so that the results of several signatures can be told apart (RFC 6008), and header.i where it says
// more than header.d.
func dkimField(d dkim.Result) authres.Result {
	r := authres.Result{Method: "dkim", Value: string(d.Status), Reason: dkimReason(d.Err)}
	if d.Testing {
		r.Comment = "testing"
	}
	identifier := d.Identifier
	if identifier == "@"+d.Domain {
		identifier = ""
	}
	for _, p := range [...]authres.Property{
		{Name: "d", Value: d.Domain}, {Name: "i", Value: identifier}, {Name: "s", Value: d.Selector},
		{Name: "a", Value: d.Algorithm}, {Name: "b", Value: d.Prefix},
	} {
		if p.Value != "" {
			p.Type = "header"
			r.Props = append(r.Props, p)
		}
	}
	return r
}

// arcField has the properties that RFC 8617 §6 wants.
func (r *Result) arcField() authres.Result {
	out := authres.Result{Method: "arc", Value: string(r.ARC.Status), Reason: arcReason(r.ARC.Err)}
	if sets := r.ARC.Sets; r.ARC.Status == arc.Pass {
		out.Comment = fmt.Sprintf("i=%d %s", len(sets), newest(sets).Seal.Domain)
		oldest := strconv.Itoa(r.ARC.OldestPass)
		out.Props = append(out.Props, authres.Property{Type: "header", Name: "oldest-pass", Value: oldest})
	}
	if ip := r.IPRev.Addr; ip.IsValid() {
		out.Props = append(out.Props, authres.Property{Type: "smtp", Name: "remote-ip", Value: ip.String()})
	}
	return out
}

// iprevField has the property that RFC 8601 §2.7.3 registers.
func iprevField(r iprev.Result) authres.Result {
	return authres.Result{Method: "iprev", Value: r.Value, Comment: r.Name, Props: []authres.Property{
		{Type: "policy", Name: "iprev", Value: r.Addr.String()},
	}}
}

// dmarcField has the properties that RFC 9989 §9.1 registers.
func (r *Result) dmarcField() authres.Result {
	v := &r.DMARC
	out := authres.Result{Method: "dmarc", Value: v.Result.String(), Reason: dmarcReason(v.Err)}
	if r.Vouched != "" {
		out.Comment = "passed before, says " + r.Vouched
	}
	if v.AuthorDomain != "" {
		out.Props = append(out.Props, authres.Property{Type: "header", Name: "from", Value: v.AuthorDomain})
	}
	if v.Result == dmarc.Pass || v.Result == dmarc.Fail {
		out.Props = append(out.Props, authres.Property{Type: "policy", Name: "dmarc", Value: v.Policy.String()})
	}
	return out
}
