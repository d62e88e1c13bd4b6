package relay

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/mailbricks/mailbricks"
)

// Limits of an attempt by MX.
const (
	// DefaultPort is where mail servers take mail.
	DefaultPort = 25
	// maxHosts is how many hosts of a domain are looked up.
	maxHosts = 10
	// maxAddresses is how many addresses are tried in one attempt, those of all hosts together.
	maxAddresses = 8
)

// Resolver is what MX asks of DNS; *net.Resolver is one. Names end with a dot. Errors are *net.DNSError, whose
// IsNotFound says that there is no such name or no such record.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// MX is the Transport that brings mail to the mail servers of the recipients' domains (RFC 5321 §5.1). The zero value
// works. Its fields must not change once it is used.
//
// The hosts are tried in the order of their preferences, equal ones in random order, until one has taken the message or
// refused it for good. TLS is used where a host offers it, whatever its certificate, and without it if the handshake
// fails (RFC 7435); a message with REQUIRETLS (RFC 8689) only goes over TLS with a certificate for the host's name, to
// hosts that know REQUIRETLS; that the name itself is authentic, as RFC 8689 §4.2.1 wants too, is not checked. A message with octets above 127 goes as it is to servers without 8BITMIME, as in practice
// they take it; one that needs SMTPUTF8 is refused for good by servers without it, except that a domain has its form in
// ASCII.
type MX struct {
	// Hostname is what it says with EHLO. Empty: the calling Queue's Hostname, or the system's.
	Hostname string
	// Resolver looks up names. Nil: net.DefaultResolver.
	Resolver Resolver
	// Port is where it connects. 0: DefaultPort.
	Port int
	// Bind has the source addresses, one of each family at most. With any, families without one are not used.
	Bind []netip.Addr
	// Own has the addresses of this server: hosts with one of them, or with Hostname as their name, and those of a worse
	// preference are not tried, as the mail would come back (RFC 5321 §5.1).
	Own []netip.Addr
	// RequireTLS wants TLS for all mail, still without looking at certificates.
	RequireTLS bool
	// TLSConfig is the base for TLS. Nil: TLS 1.2 at least. The ServerName is set for each host.
	TLSConfig *tls.Config
	// Timeouts bound what the peer takes.
	Timeouts Timeouts
	// Dial connects, as net.Dialer.DialContext does; Bind does not hold for it. Nil: that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	pool pool
}

// Deliver implements Transport.
func (m *MX) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []Outcome {
	out := failAll(len(env.Recipients), Outcome{Err: errNotSent})
	groups := make(map[string][]int)
	var order []string
	for i, rcpt := range env.Recipients {
		domain := m.Destination(env.From, rcpt.Address)
		if groups[domain] == nil {
			order = append(order, domain)
		}
		groups[domain] = append(groups[domain], i)
	}
	for _, domain := range order {
		m.deliverDomain(ctx, domain, env, msg, groups[domain], out)
	}
	return out
}

// Destination implements Destiner: the domain in lower case and A-labels, or as it is if it has no such form.
func (m *MX) Destination(_, recipient string) string {
	_, domain := mailbricks.SplitAddress(recipient)
	if ascii, ok := asciiDomain(domain); ok {
		return ascii
	}
	return domain
}

// Close ends the connections that wait for another message.
func (m *MX) Close() error {
	m.pool.close()
	return nil
}

func (m *MX) sender(ctx context.Context) *sender {
	return &sender{client: client{
		hostname: m.hostname(ctx), dial: m.dialer(), tls: m.TLSConfig, times: m.Timeouts.withDefaults(),
	}, pool: &m.pool}
}

func (m *MX) hostname(ctx context.Context) string {
	if m.Hostname != "" {
		return m.Hostname
	}
	return callerHostname(ctx)
}

// deliverDomain brings the message to the servers of one domain.
func (m *MX) deliverDomain(ctx context.Context, domain string, env *mailbricks.Envelope, msg *mailbricks.Message, at []int, out []Outcome) {
	tried := 0
	reached, looked := false, false
	var failure error // for who has none of his own; looked says that it is one of DNS
	for host, err := range m.hosts(ctx, domain) {
		if err != nil {
			failure, looked = worse(failure, err), true
			continue
		}
		for _, ip := range host.addrs {
			if len(at) == 0 || tried == maxAddresses || ctx.Err() != nil {
				break
			}
			tried++
			t := target{host: host.name, address: netip.AddrPortFrom(ip, m.port()).String(), mode: m.mode(env)}
			before := pick(out, at)
			reached = m.sender(ctx).deliver(ctx, t, env, msg, at, out) || reached
			at = again(at, before, out)
		}
		if len(at) == 0 || tried == maxAddresses || ctx.Err() != nil {
			break
		}
	}
	if failure == nil {
		failure = temporary("4.4.1", "No mail server of "+domain+" was tried", context.Cause(ctx))
	}
	for _, i := range at {
		o := &out[i]
		if o.Err == errNotSent || o.Unreachable && mailbricks.IsTemporary(failure) && !mailbricks.IsTemporary(o.Err) && looked {
			*o = Outcome{Err: failure}
		}
		o.Unreachable = !reached && mailbricks.IsTemporary(o.Err)
	}
}

// pick copies some outcomes.
func pick(out []Outcome, at []int) []Outcome {
	some := make([]Outcome, len(at))
	for k, i := range at {
		some[k] = out[i]
	}
	return some
}

// again gives the recipients that the next host may be tried for: not those that were taken, refused for good in a
// transaction, or may have been taken. A host that refuses to talk is not the last word, so what another host said
// before counts then, if that was a failure for now.
func again(at []int, before, out []Outcome) (next []int) {
	for k, i := range at {
		o := &out[i]
		switch {
		case o.Err == nil || o.Unknown:
			continue
		case o.Unreachable:
			if was := before[k].Err; was != errNotSent && mailbricks.IsTemporary(was) && (!mailbricks.IsTemporary(o.Err) || !before[k].Unreachable) {
				*o = before[k]
			}
		case !mailbricks.IsTemporary(o.Err):
			continue
		}
		next = append(next, i)
	}
	return next
}

// worse keeps the failure that says more: one for now, because then it is too early to give up.
func worse(have, err error) error {
	if have == nil || !mailbricks.IsTemporary(have) && mailbricks.IsTemporary(err) {
		return err
	}
	return have
}

func (m *MX) port() uint16 {
	if m.Port <= 0 || m.Port > 65535 {
		return DefaultPort
	}
	return uint16(m.Port)
}

func (m *MX) mode(env *mailbricks.Envelope) tlsMode {
	switch {
	case env.RequireTLS:
		return tlsVerified
	case m.RequireTLS:
		return tlsMust
	}
	return tlsMay
}

// dialer connects, from the address of Bind that is of the same family.
func (m *MX) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	if m.Dial != nil {
		return m.Dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		if to, err := netip.ParseAddrPort(address); err == nil {
			if from, ok := m.source(to.Addr()); ok && from.IsValid() {
				d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
			}
		}
		return d.DialContext(ctx, network, address)
	}
}

// source is the address to speak to ip from; invalid: any. Not ok when there is none.
func (m *MX) source(ip netip.Addr) (netip.Addr, bool) {
	for _, from := range m.Bind {
		if from.Unmap().Is4() == ip.Is4() {
			return from.Unmap(), true
		}
	}
	return netip.Addr{}, len(m.Bind) == 0
}
