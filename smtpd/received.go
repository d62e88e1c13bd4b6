package smtpd

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
)

// received is the value of the trace field for a message (RFC 5321 §4.4, with the tls clause of RFC 8314 §4.3 and the
// priority clause of RFC 6710 §7). hide leaves out where users who have logged in are.
func received(tx *Transaction, hide bool) string {
	env, s := tx.Envelope, tx.Session
	var room [256]byte // mostly enough
	b := room[:0]
	if hide && env.Peer.Identity != nil {
		b = append(b, "from localhost"...) // there must be some name: RFC 5321 §4.4
	} else {
		b = append(append(b, "from "...), helloIn(env.Peer.Hello)...)
		b = appendTCPInfo(b, s.ReverseName, env.Peer.Addr.Addr())
	}
	b = append(append(b, "\r\n\tby "...), clean(s.Hostname)...)
	b = append(append(b, " with "...), env.Peer.Protocol...)
	b = append(append(b, " id "...), env.ID...)
	if len(env.Recipients) == 1 { // more would tell one recipient of another: RFC 5321 §7.2
		b = append(append(append(b, "\r\n\tfor <"...), env.Recipients[0].Given()...), '>')
	}
	if state := env.Peer.TLS; state != nil {
		b = append(append(b, "\r\n\ttls "...), clean(tls.CipherSuiteName(state.CipherSuite))...)
		b = append(append(append(b, " ("...), clean(strings.ReplaceAll(tls.VersionName(state.Version), " ", ""))...), ')')
	}
	if env.Priority != nil {
		b = fmt.Appendf(b, "\r\n\tpriority %d", *env.Priority)
	}
	b = append(b, ";\r\n\t"...)
	return string(appendDate(b, env.Received))
}

// helloIn is the name of EHLO as it stands in the field.
func helloIn(name string) string {
	name = strings.TrimSuffix(name, ".")
	switch {
	case name == "":
		return "unknown"
	case name[0] == '[' && validHello(name):
		return name
	}
	return clean(name)
}

// appendTCPInfo puts behind b what the connection says of the client: its confirmed name and its address.
func appendTCPInfo(b []byte, name string, addr netip.Addr) []byte {
	if !addr.IsValid() {
		return b
	}
	if name = clean(strings.TrimSuffix(name, ".")); name == "" {
		name = "unknown"
	}
	b = append(append(append(b, " ("...), name...), " ["...)
	if addr.Is6() {
		b = append(b, "IPv6:"...)
	}
	return append(addr.WithZone("").AppendTo(b), "])"...)
}

// clean leaves of a name what may stand in a Received field without quoting.
func clean(name string) string {
	if isHostname(name) { // as all names should be
		return name
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isHostname(string(r)) {
			return r
		}
		return '?'
	}, name)
}

// isHostname says whether name has nothing but letters, digits, hyphens, dots and underscores.
func isHostname(name string) bool {
	for i := range len(name) {
		if b := name[i]; b != '.' && b != '_' && !isLDH(name[i:i+1]) {
			return false
		}
	}
	return true
}
