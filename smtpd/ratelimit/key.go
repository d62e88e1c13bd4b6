package ratelimit

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Key is by what a rule counts. The functions of this package make it. What has no value of a key, as a peer on a Unix socket
// has no address and who has not logged in no login, is not counted by its rules.
type Key struct {
	kind     kind
	v4, v6   int
	from     smtpd.Phase
	name     string
	function func(*smtpd.Step) string
}

type kind int

const (
	byNothing kind = iota
	byNetwork
	byText
)

func (k Key) String() string { return k.name }

// Address is the client's address. It is not enough against who has an IPv6 network: see [Network].
func Address() Key { return Key{kind: byNetwork, v4: 32, v6: 128, name: "address"} }

// Network is the client's network: the first v4 bits of its address, or the first v6 bits if that is of IPv6. Network(24, 64)
// is what one customer has. Several rules with networks of different sizes make a hierarchy.
func Network(v4, v6 int) Key {
	v4, v6 = min(max(v4, 0), 32), min(max(v6, 0), 128)
	return Key{kind: byNetwork, v4: v4, v6: v6, name: fmt.Sprintf("network /%d /%d", v4, v6)}
}

// Login is the name that the user has logged in with.
func Login() Key {
	return text("login", smtpd.PhaseMail, func(s *smtpd.Step) string {
		if s.Session.Peer.Identity == nil {
			return ""
		}
		return s.Session.Peer.Identity.Login
	})
}

// Sender is the reverse-path, in lower case. The null reverse-path is not counted.
func Sender() Key {
	return text("sender", smtpd.PhaseMail, func(s *smtpd.Step) string { return strings.ToLower(s.Transaction.Envelope.From) })
}

// SenderDomain is the domain of the reverse-path. Anybody can write any: it is for what SPF has proved, or for users.
func SenderDomain() Key {
	return text("sender domain", smtpd.PhaseMail, func(s *smtpd.Step) string { return domain(s.Transaction.Envelope.From) })
}

// Recipient is the recipient's address as the client gave it, in lower case.
func Recipient() Key {
	return text("recipient", smtpd.PhaseRcpt, func(s *smtpd.Step) string { return strings.ToLower(s.Recipient.Given()) })
}

// RecipientDomain is the domain of that address.
func RecipientDomain() Key {
	return text("recipient domain", smtpd.PhaseRcpt, func(s *smtpd.Step) string { return domain(s.Recipient.Given()) })
}

// Everything is one value for all: the rule is for the server as a whole.
func Everything() Key {
	return text("everything", smtpd.PhaseConnect, func(*smtpd.Step) string { return "all" })
}

// By is a key of one's own: f gives its value for a step, empty for one that is not counted. It is asked at the phase of its
// rule, by many goroutines at once. name is for the log.
func By(name string, f func(*smtpd.Step) string) Key { return text(name, smtpd.PhaseConnect, f) }

func text(name string, from smtpd.Phase, f func(*smtpd.Step) string) Key {
	return Key{kind: byText, from: from, name: name, function: f}
}

// phase is from which on the key has a value.
func (k Key) phase() smtpd.Phase { return k.from }

func domain(address string) string {
	_, d := mailbricks.SplitAddress(address)
	if form, ok := domainname.DNS(d); ok {
		return form
	}
	return strings.ToLower(d)
}

// maxText is how many octets of a text make its value.
const maxText = 320 // the longest address, RFC 5321 §4.5.3.1

// value is one value of a key: a network as its address of 16 octets, or the hash of a text.
type value struct{ hi, lo uint64 }

// of gives the value for a step, and its text if it is one; ok is false if there is none.
func (k *Key) of(s *smtpd.Step, seeds *seeds) (v value, text string, ok bool) {
	if k.kind == byText {
		text = cut(k.function(s))
		return seeds.hash(text), text, text != ""
	}
	v, ok = k.network(s.Session.Peer.Addr.Addr())
	return v, "", ok
}

func cut(text string) string { return text[:min(len(text), maxText)] }

func (k *Key) network(addr netip.Addr) (value, bool) {
	addr = ipaddr.Plain(addr)
	bits := k.v6
	if addr.Is4() {
		bits = k.v4
	}
	net, err := addr.Prefix(bits)
	if err != nil || !addr.IsValid() {
		return value{}, false
	}
	b := net.Addr().As16()
	return value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, true
}

// parse reads a value as show gives it, or an address in the network.
func (k *Key) parse(s string, seeds *seeds) (value, bool) {
	if k.kind == byText {
		return seeds.hash(cut(s)), s != ""
	}
	s, _, _ = strings.Cut(s, "/")
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return value{}, false
	}
	return k.network(addr)
}

// show is the value as people read it.
func (k *Key) show(v value, text string) string {
	if k.kind == byText {
		return text
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.hi)
	binary.BigEndian.PutUint64(b[8:], v.lo)
	addr := netip.AddrFrom16(b).Unmap()
	bits := k.v6
	if addr.Is4() {
		bits = k.v4
	}
	if bits == addr.BitLen() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, bits).String()
}

// seeds make the hashes of texts, and the choice of shards, ones that nobody outside can foresee.
type seeds struct{ a, b maphash.Seed }

func (s *seeds) hash(text string) value {
	return value{maphash.String(s.a, text), maphash.String(s.b, text)}
}
