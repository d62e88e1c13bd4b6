package smtpd

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
)

// received is the value of the trace field for a message (RFC 5321 §4.4, with the tls clause of RFC 8314 §4.3 and the
// priority clause of RFC 6710 §7). hide leaves out where users who have logged in are.
func received(tx *Transaction, hide bool) string {
	env, s := tx.Envelope, tx.Session
	var b strings.Builder
	if hide && env.Peer.Identity != nil {
		b.WriteString("from localhost") // there must be some name: RFC 5321 §4.4
	} else {
		b.WriteString("from " + env.Peer.Hello)
		if info := tcpInfo(s.ReverseName, env.Peer.Addr.Addr()); info != "" {
			b.WriteString(" (" + info + ")")
		}
	}
	b.WriteString("\r\n\tby " + clean(s.Hostname) + " with " + env.Peer.Protocol + " id " + env.ID)
	if len(env.Recipients) == 1 { // more would tell one recipient of another: RFC 5321 §7.2
		b.WriteString("\r\n\tfor <" + given(env.Recipients[0]) + ">")
	}
	if state := env.Peer.TLS; state != nil {
		b.WriteString("\r\n\ttls " + clean(tls.CipherSuiteName(state.CipherSuite)) + " (" + clean(strings.ReplaceAll(tls.VersionName(state.Version), " ", "")) + ")")
	}
	if env.Priority != nil {
		fmt.Fprintf(&b, "\r\n\tpriority %d", *env.Priority)
	}
	b.WriteString(";\r\n\t" + env.Received.Format(time.RFC1123Z))
	return b.String()
}

// given is the address that the client gave for a recipient.
func given(rcpt mailbricks.Recipient) string {
	if rcpt.Alias != "" {
		return rcpt.Alias
	}
	return rcpt.Address
}

// tcpInfo is what the connection says of the client: its confirmed name and its address.
func tcpInfo(name string, addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	literal := addr.WithZone("").String()
	if addr.Is6() {
		literal = "IPv6:" + literal
	}
	if name = clean(strings.TrimSuffix(name, ".")); name == "" {
		name = "unknown"
	}
	return name + " [" + literal + "]"
}

// clean leaves of a name what may stand in a Received field without quoting.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (isLDH(string(r)) || r == '.' || r == '_') {
			return r
		}
		return '?'
	}, name)
}
