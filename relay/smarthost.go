package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mailbricks/mailbricks"
)

// TLSMode says how a Smarthost uses TLS. The server's certificate is always verified.
type TLSMode string

// The modes of TLS.
const (
	// StartTLS turns TLS on with the STARTTLS command, usually on port 587. It is the default.
	StartTLS TLSMode = "starttls"
	// ImplicitTLS has TLS from the start, usually on port 465 (RFC 8314 §3).
	ImplicitTLS TLSMode = "implicit"
	// NoTLS is a connection in clear. No password goes over it.
	NoTLS TLSMode = "none"
)

// Smarthost is the Transport that gives all mail to one server, which brings it further. Its fields must not change
// once it is used. Whatever keeps it from being spoken to, wrong credentials too, is a failure for now.
type Smarthost struct {
	// Address is "host:port".
	Address string
	// User and Password are for AUTH PLAIN or LOGIN. Empty: no AUTH.
	User, Password string
	// TLS is how the connection is protected. Empty: StartTLS.
	TLS TLSMode
	// Hostname is what it says with EHLO. Empty: the calling Queue's Hostname, or the system's.
	Hostname string
	// Bind has the source addresses, one of each family at most.
	Bind []netip.Addr
	// Resolver looks up the server's addresses. Nil: the system does.
	Resolver HostResolver
	// TLSConfig is the base for TLS. Nil: TLS 1.2 at least, and the system's roots.
	TLSConfig *tls.Config
	// Timeouts bound what the server takes.
	Timeouts Timeouts
	// Dial connects, as net.Dialer.DialContext does; Bind does not hold for it. Nil: that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	pool pool
}

// Validate says what is wrong with the fields: no address, an unknown TLS, a password without TLS.
func (s *Smarthost) Validate() error {
	host, _, err := net.SplitHostPort(s.Address)
	switch {
	case err != nil:
		return fmt.Errorf("relay: smarthost: %w", err)
	case host == "":
		return errors.New("relay: smarthost: no host")
	case s.TLS != "" && s.TLS != StartTLS && s.TLS != ImplicitTLS && s.TLS != NoTLS:
		return fmt.Errorf("relay: smarthost: unknown TLS mode %q", s.TLS)
	case s.TLS == NoTLS && (s.Password != "" || s.User != ""):
		return errors.New("relay: smarthost: a password is not sent without TLS")
	case s.User == "" && s.Password != "":
		return errors.New("relay: smarthost: a password without a user")
	}
	return nil
}

// Deliver implements Transport.
func (s *Smarthost) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []Outcome {
	out := failAll(len(env.Recipients), Outcome{Err: errNotSent})
	if err := s.Validate(); err != nil {
		return failAll(len(out), Outcome{Err: err})
	}
	host, _, _ := net.SplitHostPort(s.Address)
	t := target{host: host, address: s.Address, mode: tlsVerified, user: s.User, password: s.Password}
	switch s.TLS {
	case ImplicitTLS:
		t.mode = tlsImplicit
	case NoTLS:
		t.mode = tlsNever
		if env.RequireTLS {
			return failAll(len(out), Outcome{Err: permanent(550, "5.7.10", "Message must not be sent without TLS"), Host: host})
		}
	}
	hostname := s.Hostname
	if hostname == "" {
		hostname = callerHostname(ctx)
	}
	all := make([]int, len(out))
	for i := range all {
		all[i] = i
	}
	snd := &sender{client: client{hostname: hostname, dial: s.dialer(), tls: s.TLSConfig, times: s.Timeouts.withDefaults()}, pool: &s.pool}
	snd.deliver(ctx, t, env, msg, all, out)
	for i := range out {
		if o := &out[i]; o.Unreachable && !mailbricks.IsTemporary(o.Err) {
			o.Err = temporary("4.4.0", mailbricks.ReplyTo(o.Err).Text, o.Err)
		}
	}
	return out
}

// HostResolver is what a Smarthost asks of DNS; *net.Resolver is one.
type HostResolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to one of the server's addresses.
func (s *Smarthost) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := s.dialAddress()
	if s.Resolver == nil {
		return dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		addrs, err := s.Resolver.LookupNetIP(ctx, "ip", host)
		errs := []error{err}
		for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
			conn, err := dial(ctx, network, net.JoinHostPort(addr.Unmap().String(), port))
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// dialAddress connects to an address, or to a name that the system looks up.
func (s *Smarthost) dialAddress() func(ctx context.Context, network, address string) (net.Conn, error) {
	if s.Dial != nil {
		return s.Dial
	}
	if len(s.Bind) == 0 {
		return new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var errs []error
		for _, from := range s.Bind {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from.Unmap(), 0))}
			conn, err := d.DialContext(ctx, network, address)
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// Destination implements Destiner: all mail goes to the same place.
func (s *Smarthost) Destination(_, _ string) string { return s.Address }

// Close ends the connections that wait for another message.
func (s *Smarthost) Close() error {
	s.pool.close()
	return nil
}
