package senderauth

import (
	"fmt"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dmarc"
)

// maxExplanation is how many octets of an SPF explanation a reply line has room for besides a domain name of the
// greatest length (RFC 5321 §4.5.3.1.5).
const maxExplanation = 200

// act does what the options want done: DMARC first, then SPF unless DMARC passes (RFC 9989 §7.1).
func (c *checker) act(r *Result, env *mailbricks.Envelope) error {
	switch v := r.DMARC; {
	case v.Result == dmarc.TempError && c.DeferTempError:
		return &mailbricks.Reply{
			Code: 451, Enhanced: "4.7.0", Text: "The DMARC policy of the author's domain cannot be checked now, please try again later", Err: v.Err,
		}
	case v.Disposition == dmarc.PolicyReject && c.EnforceDMARC: // RFC 9989 §7.2
		return &mailbricks.Reply{Code: 550, Enhanced: "5.7.1", Text: "Email rejected per DMARC policy for " + v.AuthorDomain, Err: v.Err}
	case v.Disposition == dmarc.PolicyQuarantine && c.EnforceDMARC:
		quarantine(env, "DMARC policy for "+v.AuthorDomain)
	case v.Result == dmarc.Pass:
		return nil
	}
	return c.actOnSPF(r, env)
}

func (c *checker) actOnSPF(r *Result, env *mailbricks.Envelope) error {
	v := r.failedSPF()
	if v == nil {
		return nil
	}
	action := c.SPFFail
	if action == Reject && r.DMARC.Result == dmarc.TempError {
		action = Junk
	}
	switch action {
	case Junk:
		quarantine(env, "SPF fails for "+v.Domain)
	case Reject:
		text := fmt.Sprintf("SPF: %s does not permit %s to send its mail", v.Domain, v.Client.IP)
		if why := v.Explanation; why != "" { // a third party's words (RFC 7208 §8.4)
			text += fmt.Sprintf("\n%s explains: %s", v.Domain, why[:min(len(why), maxExplanation)])
		}
		return &mailbricks.Reply{Code: 550, Enhanced: "5.7.23", Text: text}
	}
	return nil
}

// quarantine marks the envelope; the first reason stays.
func quarantine(env *mailbricks.Envelope, reason string) {
	if env.Quarantine == "" {
		env.Quarantine = reason
	}
}
