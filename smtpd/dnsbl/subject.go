package dnsbl

import (
	"net/netip"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Class is what a list has entries for.
type Class int

// The classes. A list of addresses may have entries for both kinds.
const (
	IPv4 Class = iota
	IPv6
	Domain

	classes = 3
)

// String is the name of the class.
func (c Class) String() string {
	names := [classes]string{"IPv4", "IPv6", "domain"}
	if c < 0 || int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// MarshalText gives String, for JSON and the like.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// subject is what a list is asked about.
type subject struct {
	kind  Kind // one bit, or more for a name that stands in several places
	class Class
	text  string // for people
	entry string // what stands in front of the zone
}

// query is the name to look up, absolute; empty if the DNS has no room for it.
func (s subject) query(zone string) string {
	if len(s.entry)+1+len(zone) > domainname.MaxName {
		return ""
	}
	return s.entry + "." + zone + "."
}

// reverse is the name of an address's entry: the octets of IPv4 (RFC 5782 §2.1) or the nibbles of IPv6 (§2.4), last first.
func reverse(addr netip.Addr) string {
	if addr.Is4() {
		a := addr.As4()
		return netip.AddrFrom4([4]byte{a[3], a[2], a[1], a[0]}).String()
	}
	const hex = "0123456789abcdef"
	a := addr.As16()
	b := make([]byte, 0, 64)
	for i := len(a) - 1; i >= 0; i-- {
		b = append(b, hex[a[i]&15], '.', hex[a[i]>>4], '.')
	}
	return string(b[:len(b)-1])
}

// clientOf is the address of a session's client as a subject. One that cannot be that of a host on the Internet is none, see
// package peer.
func clientOf(s *smtpd.Session) (subject, bool) {
	addr := ipaddr.Plain(s.Peer.Addr.Addr())
	if !ipaddr.Reachable(addr) {
		return subject{}, false
	}
	class := IPv4
	if addr.Is6() {
		class = IPv6
	}
	return subject{kind: Client, class: class, text: addr.String(), entry: reverse(addr)}, true
}

// namesOf are the names of a transaction as subjects, each once.
func namesOf(tx *smtpd.Transaction) []subject {
	_, domain := mailbricks.SplitAddress(tx.Envelope.From)
	var all []subject
	for _, n := range [...]struct {
		kind Kind
		name string
	}{{Hello, tx.Session.Peer.Hello}, {ReverseName, tx.Session.ReverseName}, {Sender, domain}} {
		all = withName(all, n.kind, n.name)
	}
	return all
}

// withName adds a name if it can be in a list: a domain of two labels at least, as others are test entries, and no address,
// which lists of domains take for a mistake.
func withName(all []subject, kind Kind, name string) []subject {
	form, ok := domainname.Identity(name)
	if !ok || !strings.Contains(form, ".") || allDigits(domainname.TopLabel(form)) {
		return all
	}
	for i := range all {
		if all[i].entry == form {
			all[i].kind |= kind
			return all
		}
	}
	return append(all, subject{kind: kind, class: Domain, text: form, entry: form})
}
