package reporting

import (
	"net/netip"
	"strings"
)

const (
	// partyShare is the part of a day's domains and bytes that one party may use: an eighth. So nobody keeps the domains of
	// others out of the reports alone, with all the subdomains that a wildcard gives him, or with rows of others' domains.
	partyShare = 8
	// networkV4 and networkV6 are how many bits of a client's address stand for its network.
	networkV4 = 24
	networkV6 = 48
)

// party is on whose account a domain or a row is: the network of a client, or the organization of a policy domain. The zero
// party stands for nobody.
type party struct {
	network netip.Prefix
	name    string
}

// usage is what a party takes of a day.
type usage struct {
	domains int
	bytes   int64
}

// network is the party of a client.
func network(a netip.Addr) party {
	bits := networkV6
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = networkV4
	}
	prefix, _ := a.Prefix(bits) // an address that is none has none
	return party{network: prefix}
}

// organization is the party of a policy domain: about what somebody has registered. Two labels, or three where the second
// to last looks like the "co" of co.uk: short, below a country. What DMARC calls so takes questions to the DNS, and the
// domain's owner may choose it. Where the guess is wrong, strangers share an eighth or one has several.
func organization(domain string) party {
	const longestOfSuffix = 3
	labels := strings.Split(domain, ".")
	n := 2
	if len(labels) > n && len(labels[len(labels)-1]) == 2 && len(labels[len(labels)-2]) <= longestOfSuffix {
		n = 3
	}
	return party{name: strings.Join(labels[max(0, len(labels)-n):], ".")}
}

func (p party) String() string {
	if p.name != "" {
		return p.name
	}
	return p.network.String()
}

// take uses room for two parties. It is false when there is none, or when one of them has had its share.
func (d *day) take(u usage, lim limits, a, b party) bool {
	d.denied = party{}
	if len(d.domains)+u.domains > lim.domains || d.bytes+u.bytes > lim.bytes {
		return false
	}
	for _, p := range []party{a, b} {
		has := d.parties[p]
		if has.domains+u.domains > max(1, lim.domains/partyShare) || has.bytes+u.bytes > lim.bytes/partyShare {
			d.denied = p
			return false
		}
	}
	d.charge(a, u)
	d.charge(b, u)
	d.bytes += u.bytes
	return true
}

// charge notes what a party has.
func (d *day) charge(p party, u usage) {
	if p != (party{}) {
		has := d.parties[p]
		d.parties[p] = usage{domains: has.domains + u.domains, bytes: has.bytes + u.bytes}
	}
}
