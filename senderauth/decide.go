package senderauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
	"github.com/mailbricks/mailbricks/spf"
)

// maxExplanation is how many octets of an SPF explanation a reply line has room for besides a domain name of the
// greatest length (RFC 5321 §4.5.3.1.5).
const maxExplanation = 200

// Decision is what is done about a message for what was found.
type Decision struct {
	// Action is what is done: never Reject for an outcome that another try may mend.
	Action Action
	// Reason says why in a few words, such as "DMARC policy for example.com"; empty for Tag.
	Reason string

	reply *mailbricks.Reply // of Defer and Reject
}

// opinion is what the policy asks for because of one outcome.
type opinion struct {
	action Action
	reason string
	detail string // the enhanced status code without its class
	text   string // for the peer
	err    error  // for the log
}

// decide takes the strictest of all opinions, of equal ones the first.
func (p Policy) decide(r *Result) {
	all := append(make([]opinion, 0, 5), p.onDMARC(r))
	if !r.authentic() { // RFC 9989 §7.1
		all = append(all, p.onSPF(r).unlessUnknown(r), p.onDKIM(r.DKIM).unlessUnknown(r))
	}
	if r.mayBeVouched {
		for i := range all {
			all[i].action = all[i].action.forNow()
		}
	}
	all = append(all, p.onFrom(r.DMARC), p.onIPRev(r.IPRev))
	strictest := all[0]
	for _, o := range all[1:] {
		if o.action > strictest.action {
			strictest = o
		}
	}
	r.Decision = strictest.decision(all)
	if r.DMARC.Result == dmarc.Fail {
		r.applied(all[0].action)
	}
}

// applied notes what is done because DMARC fails and why it is not what the domain's record has (RFC 9990 §3.1.6).
func (r *Result) applied(a Action) {
	switch a {
	case Junk:
		r.Disposition = dmarc.PolicyQuarantine
	case Reject:
		r.Disposition = dmarc.PolicyReject
	}
	if r.DMARC.TestMode {
		r.Overrides = append(r.Overrides, dmarc.ReportOverride{Type: dmarc.OverridePolicyTestMode})
	}
	if r.DMARC.SampledOut {
		// RFC 7489 had a type for it, RFC 9990 has not.
		r.Overrides = append(r.Overrides, dmarc.ReportOverride{Type: dmarc.OverrideOther, Comment: "sampled_out"})
	}
	if r.Disposition == r.DMARC.Disposition {
		return
	}
	local := dmarc.ReportOverride{Type: dmarc.OverrideLocalPolicy}
	if r.Vouched != "" {
		local.Comment = chainComment(r.ARC.Sets)
	}
	r.Overrides = append(r.Overrides, local)
}

func (o opinion) decision(all []opinion) Decision {
	d := Decision{Action: o.action}
	if o.action == Tag {
		return d
	}
	d.Reason = o.reason
	switch o.action {
	case Defer:
		d.reply = &mailbricks.Reply{Code: 451, Enhanced: "4." + o.detail, Text: o.text, Err: o.err}
	case Reject:
		d.reply = &mailbricks.Reply{Code: 550, Enhanced: "5." + o.detail, Text: o.text, Err: o.err}
		if all[0].action < Reject { // DMARC's refusals have a form of their own: RFC 9989 §7.2
			severalFailed(d.reply, all)
		}
	}
	return d
}

// severalFailed tells all reasons when more than one check refuses a message (RFC 7372 §3.4).
func severalFailed(reply *mailbricks.Reply, all []opinion) {
	var texts []string
	for _, o := range all {
		if o.action == Reject {
			texts = append(texts, o.text)
		}
	}
	if len(texts) > 1 {
		reply.Enhanced, reply.Text = "5.7.26", strings.Join(texts, "\n")
	}
}

// forNow is an action because of what another try may mend.
func (a Action) forNow() Action { return min(a, Defer) }

// unlessUnknown is an opinion that counts only where DMARC does not pass: as long as nobody knows whether it does, it is
// no reason to refuse a message for good.
func (o opinion) unlessUnknown(r *Result) opinion {
	if o.action == Reject && r.DMARC.Result == dmarc.TempError {
		o.action = Junk
	}
	return o
}

func (p Policy) onDMARC(r *Result) opinion {
	v := r.DMARC
	o := opinion{reason: "DMARC policy for " + v.AuthorDomain, detail: "7.1", err: v.Err}
	switch {
	case r.Vouched != "":
		return opinion{}
	case v.Result == dmarc.TempError:
		o.action, o.detail = p.DMARCTempError.forNow(), "7.0"
		o.reason = "DMARC cannot be checked for " + v.AuthorDomain
		o.text = "The DMARC policy of the author's domain cannot be checked now, please try again later"
		return o
	case v.Result == dmarc.PermError && v.AuthorDomain != "" && !badFrom(v):
		o.action = p.DMARCPermError
		o.text = "The DMARC policy record of " + v.AuthorDomain + " cannot be used"
		o.reason = o.text
		return o
	case v.Disposition == dmarc.PolicyReject:
		o.action = p.DMARCReject
	case v.Disposition == dmarc.PolicyQuarantine:
		o.action = p.DMARCQuarantine
	}
	o.text = "Email rejected per DMARC policy for " + v.AuthorDomain // RFC 9989 §7.2
	if o.action == Defer || r.mayBeVouched {
		o.text = "Email deferred per DMARC policy for " + v.AuthorDomain
	}
	return o
}

func (p Policy) onFrom(v dmarc.Verdict) opinion {
	switch {
	case v.Err == nil:
	case v.AuthorDomain == "":
		return opinion{action: p.NoFrom, reason: "no From field with an address", detail: "7.1", err: v.Err,
			text: "A message must have a From field with an address"}
	case badFrom(v):
		return opinion{action: p.BadFrom, reason: "From field is not clear", detail: "7.1", err: v.Err,
			text: "A message must have one From field that can be read in one way (RFC 5322 section 3.6.2)"}
	}
	return opinion{}
}

// badFrom says whether the From field is not what RFC 5322 §3.6.2 wants.
func badFrom(v dmarc.Verdict) bool {
	return errors.Is(v.Err, dmarc.ErrManyFrom) || errors.Is(v.Err, dmarc.ErrMalformedFrom) ||
		errors.Is(v.Err, dmarc.ErrTooManyAuthors)
}

// onSPF is about the reverse-path and, where it was checked too, the EHLO name.
func (p Policy) onSPF(r *Result) opinion {
	o := p.onVerdict(r.SPF)
	if r.Helo != nil && r.Helo.Result != spf.None {
		if helo := p.onVerdict(*r.Helo); helo.action > o.action {
			o = helo
		}
	}
	return o
}

func (p Policy) onVerdict(v spf.Verdict) opinion {
	o := opinion{detail: "7.23", err: v.Err} // RFC 7372 §3.2
	ip, domain := v.Client.IP, v.Domain
	switch v.Result {
	case spf.Fail:
		o.action, o.reason = p.SPFFail, "SPF fails for "+domain
		o.text = fmt.Sprintf("SPF: %s does not permit %s to send its mail", domain, ip)
		if why := v.Explanation; why != "" { // a third party's words (RFC 7208 §8.4)
			o.text += fmt.Sprintf("\n%s explains: %s", domain, why[:min(len(why), maxExplanation)])
		}
	case spf.SoftFail:
		o.action, o.reason = p.SPFSoftFail, "SPF softly fails for "+domain
		o.text = fmt.Sprintf("SPF: %s probably does not permit %s to send its mail", domain, ip)
	case spf.Neutral:
		o.action, o.reason = p.SPFNeutral, "SPF is neutral for "+domain
		o.text = fmt.Sprintf("SPF: %s does not say whether %s may send its mail", domain, ip)
	case spf.None:
		o.action, o.reason = p.SPFNone, "no SPF record"
		o.text = "SPF: the sender's domain does not say who may send its mail"
	case spf.TempError:
		o.action, o.reason, o.detail = p.SPFTempError.forNow(), "SPF cannot be checked for "+domain, "7.24"
		o.text = fmt.Sprintf("SPF: the record of %s cannot be checked now, please try again later", domain)
	case spf.PermError:
		o.action, o.reason, o.detail = p.SPFPermError, "SPF record cannot be used: "+domain, "7.24"
		o.text = fmt.Sprintf("SPF: the record of %s cannot be used", domain)
	}
	return o
}

// onDKIM leaves signatures aside whose domain is trying DKIM out (RFC 6376 §3.6.1, t=y).
func (p Policy) onDKIM(results []dkim.Result) opinion {
	var failed, unknown *dkim.Result
	for i := range results {
		switch d := &results[i]; {
		case d.Status == dkim.Pass:
			return opinion{}
		case d.Testing || d.Status == dkim.None || d.Status == dkim.Neutral:
		case d.Status == dkim.TempError:
			unknown = d
		case failed == nil || d.Status == dkim.Policy:
			failed = d
		}
	}
	o := opinion{detail: "7.20"} // RFC 7372 §3.1
	switch {
	case unknown != nil:
		o.action, o.reason, o.err = p.DKIMTempError.forNow(), "DKIM cannot be checked", unknown.Err
		o.text = "DKIM: a signature cannot be checked now, please try again later"
	case failed != nil && failed.Status == dkim.Policy:
		o.action, o.reason, o.detail, o.err = p.DKIMFail, "DKIM is not acceptable", "7.21", failed.Err
		o.text = "DKIM: no signature is acceptable"
	case failed != nil:
		o.action, o.reason, o.err = p.DKIMFail, "DKIM fails", failed.Err
		o.text = "DKIM: no signature passes"
	default:
		o.action, o.reason, o.text = p.DKIMNone, "no DKIM signature", "DKIM: the message has no signature"
	}
	return o
}

func (p Policy) onIPRev(r iprev.Result) opinion {
	o := opinion{detail: "7.25"} // RFC 7372 §3.3
	switch r.Value {
	case iprev.Fail:
		o.action, o.reason = p.IPRevFail, "the client's names do not lead back to it"
		o.text = fmt.Sprintf("The names of %s do not lead back to it", r.Addr)
	case iprev.PermError:
		o.action, o.reason = p.IPRevNone, "the client has no name"
		o.text = fmt.Sprintf("%s has no name (PTR record)", r.Addr)
	case iprev.TempError:
		o.action, o.reason = p.IPRevTempError.forNow(), "the client's name cannot be checked"
		o.text = fmt.Sprintf("The name of %s cannot be checked now, please try again later", r.Addr)
	}
	return o
}

// act does what was decided.
func act(d Decision, env *mailbricks.Envelope) error {
	switch d.Action {
	case Junk:
		if env.Quarantine == "" { // the first reason stays
			env.Quarantine = d.Reason
		}
	case Defer, Reject:
		return d.reply
	}
	return nil
}
