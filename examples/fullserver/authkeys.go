package main

import (
	"github.com/mailbricks/mailbricks/senderauth"
)

// authKeys are the keys under policy that say what becomes of a message by one outcome of its authentication, beside
// spf_fail and dmarc.
func (c *config) authKeys() map[string]setter {
	p := &c.policy.auth
	keys := map[string]setter{}
	for key, to := range map[string]*senderauth.Action{
		"dmarc_reject": &p.DMARCReject, "dmarc_quarantine": &p.DMARCQuarantine, "dmarc_permerror": &p.DMARCPermError,
		"no_from": &p.NoFrom, "bad_from": &p.BadFrom,
		"spf_softfail": &p.SPFSoftFail, "spf_neutral": &p.SPFNeutral, "spf_none": &p.SPFNone, "spf_permerror": &p.SPFPermError,
		"dkim_none": &p.DKIMNone, "dkim_fail": &p.DKIMFail, "iprev_fail": &p.IPRevFail, "iprev_none": &p.IPRevNone,
	} {
		keys["policy."+key] = action(to, "reject", "defer", "junk", "tag")
	}
	// What a DNS that does not answer leaves open is no reason to refuse mail for good.
	for key, to := range map[string]*senderauth.Action{
		"dmarc_temperror": &p.DMARCTempError, "spf_temperror": &p.SPFTempError, "dkim_temperror": &p.DKIMTempError, "iprev_temperror": &p.IPRevTempError,
	} {
		keys["policy."+key] = action(to, "defer", "junk", "tag")
	}
	return keys
}

// action takes one of the names of an action.
func action(to *senderauth.Action, names ...string) setter {
	var name string
	set := text(&name, oneOf(names...))
	return func(value any) error {
		if err := set(value); err != nil {
			return err
		}
		return to.UnmarshalText([]byte(name))
	}
}

// authPolicy is what becomes of mail by what senderauth finds.
func authPolicy(c *config) senderauth.Policy {
	p := c.policy.auth
	if c.policy.dmarc == "tag" {
		p.DMARCReject, p.DMARCQuarantine = senderauth.Tag, senderauth.Tag
	}
	if err := p.SPFFail.UnmarshalText([]byte(c.policy.spfFail)); err != nil {
		panic(err) // a bug: the configuration was checked
	}
	return p
}
