package senderauth

import (
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/mailbricks/mailbricks/spf"
)

// Field is the Authentication-Results field for what was found, with this authserv-id.
func (r *Result) Field(servID string) authres.Field {
	f := authres.Field{ServID: servID}
	if r.IPRev.Value != "" {
		f.Results = append(f.Results, r.IPRev.field())
	}
	f.Results = append(f.Results, spfField(r.SPF))
	if r.Helo != nil {
		f.Results = append(f.Results, spfField(*r.Helo))
	}
	for _, d := range r.DKIM {
		f.Results = append(f.Results, dkimField(d))
	}
	f.Results = append(f.Results, dmarcField(r.DMARC))
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

// dkimField has header.b so that the results of several signatures can be told apart (RFC 6008).
func dkimField(d dkim.Result) authres.Result {
	r := authres.Result{Method: "dkim", Value: string(d.Status), Reason: dkimReason(d.Err)}
	if d.Testing {
		r.Comment = "testing"
	}
	for _, p := range []authres.Property{
		{Name: "d", Value: d.Domain}, {Name: "s", Value: d.Selector}, {Name: "a", Value: d.Algorithm}, {Name: "b", Value: d.Prefix},
	} {
		if p.Value != "" {
			p.Type = "header"
			r.Props = append(r.Props, p)
		}
	}
	return r
}

// dmarcField has the properties that RFC 9989 §9.1 registers.
func dmarcField(v dmarc.Verdict) authres.Result {
	r := authres.Result{Method: "dmarc", Value: v.Result.String(), Reason: dmarcReason(v.Err)}
	if v.AuthorDomain != "" {
		r.Props = append(r.Props, authres.Property{Type: "header", Name: "from", Value: v.AuthorDomain})
	}
	if v.Result == dmarc.Pass || v.Result == dmarc.Fail {
		r.Props = append(r.Props, authres.Property{Type: "policy", Name: "dmarc", Value: v.Policy.String()})
	}
	return r
}
