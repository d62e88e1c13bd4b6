package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// prepare signs what leaves: mail of this server's own with DKIM; what an alias sends on gets an ARC set.
func (a *app) prepare(c *config) func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
	own := &sign.Step{Keys: a.keys, Own: a.isOwn, Logger: a.log}
	forward := &sign.Forward{
		Keys: a.keys, Own: a.isOwn, AuthServID: c.hostname, Resolver: lookups{&a.dns}, OnNoKey: a.noKey, Logger: a.log,
	}
	return func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
		if err := own.Sign(ctx, env, msg); err != nil || !a.config().dkim.arcSeal {
			return err
		}
		return forward.Seal(ctx, env, msg)
	}
}

// lookups asks the DNS servers of the configuration in force, for what outlives a reload.
type lookups struct {
	now *atomic.Pointer[resolver.Resolver]
}

// LookupTXT implements the Resolver of packages dkim and dmarc.
func (l lookups) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return l.now.Load().LookupTXT(ctx, name)
}

// LookupNetIP implements dnsbl.Resolver.
func (l lookups) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return l.now.Load().LookupNetIP(ctx, network, host)
}

// Lookup implements dmarc.ExactResolver.
func (l lookups) Lookup(ctx context.Context, name, rrtype string) (resolver.Answer, error) {
	return l.now.Load().Lookup(ctx, name, rrtype)
}

// resolver asks the DNS servers of a configuration. All that look names up for it share one, and so its cache.
func (a *app) resolver(c *config) *resolver.Resolver {
	return &resolver.Resolver{Servers: c.dns.servers, TrustAD: c.dns.trustAD, Logger: a.log}
}

// transport is the way out that a configuration asks for.
func transport(c *config, dns relay.Resolver) relay.Transport {
	if s := c.outbound.smarthost; s.address != "" {
		return &relay.Smarthost{
			Address: s.address, User: s.user, Password: s.password, TLS: relay.TLSMode(s.tls), Bind: c.outbound.bind, Resolver: dns,
		}
	}
	return &relay.MX{Resolver: dns, Port: c.outbound.port, Bind: c.outbound.bind, Own: ownAddresses(c)}
}

// ownAddresses are those at which MX hosts would be this server itself.
func ownAddresses(c *config) []netip.Addr {
	var own []netip.Addr
	for _, at := range c.listen["smtp"] {
		host, port, err := net.SplitHostPort(at.address)
		if err != nil || port != strconv.Itoa(c.outbound.port) {
			continue
		}
		if addr, err := netip.ParseAddr(host); err == nil && !addr.IsUnspecified() {
			own = append(own, addr)
			continue
		}
		local, err := net.InterfaceAddrs()
		if err != nil {
			continue // the check is only one of several against loops
		}
		for _, l := range local {
			if prefix, err := netip.ParsePrefix(l.String()); err == nil {
				own = append(own, prefix.Addr())
			}
		}
	}
	return own
}

// switchTransport is a way out that can be replaced while mail leaves.
type switchTransport struct {
	mu  sync.RWMutex
	now relay.Transport
}

// set replaces it. The connections that the old one keeps for another message are closed.
func (t *switchTransport) set(next relay.Transport) {
	t.mu.Lock()
	old := t.now
	t.now = next
	t.mu.Unlock()
	if c, ok := old.(io.Closer); ok {
		_ = c.Close() // idle connections only: nothing can be lost
	}
}

func (t *switchTransport) get() relay.Transport {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.now
}

// Deliver implements relay.Transport.
func (t *switchTransport) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []relay.Outcome {
	return t.get().Deliver(ctx, env, msg)
}

// Destination implements relay.Destiner.
func (t *switchTransport) Destination(from, recipient string) string {
	if d, ok := t.get().(relay.Destiner); ok {
		return d.Destination(from, recipient)
	}
	return mailbricks.Recipient{Address: recipient}.Domain()
}

// Close implements io.Closer.
func (t *switchTransport) Close() error {
	if c, ok := t.get().(io.Closer); ok {
		return c.Close()
	}
	return nil
}
