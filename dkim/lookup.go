package dkim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// LookupKeys asks the DNS for the keys that a domain publishes under a selector; a nil resolver stands for
// net.DefaultResolver. There is at least one key when the error is nil, and more than one only where the domain has more
// than one record, which RFC 6376 §3.6.2.2 leaves undefined: the signature may be any one's. What is no key is ignored
// beside one that is. The error wraps ErrLookup when another try may mend it; else ErrNoKey, ErrKeyRevoked or
// ErrKeySyntax.
func LookupKeys(ctx context.Context, r Resolver, domain, selector string) ([]*Key, error) {
	domain, err := wire.ASCII(domain)
	if err != nil {
		return nil, fmt.Errorf("%w: domain %w", ErrNoKey, err)
	}
	if selector, err = wire.ASCII(selector); err != nil {
		return nil, fmt.Errorf("%w: selector %w", ErrNoKey, err)
	}
	name, err := wire.KeyName(selector, domain)
	if err != nil {
		return nil, fmt.Errorf("%w: selector and domain %w", ErrNoKey, err)
	}
	records, err := resolverOr(r).LookupTXT(ctx, name)
	if err != nil {
		return nil, lookupError(err)
	}
	var keys []*Key
	var wrong error
	for i, txt := range records[:min(len(records), MaxKeyRecords)] {
		key, err := ParseKey(txt)
		if err == nil {
			keys = append(keys, key)
		} else if i == 0 || errors.Is(err, ErrKeyRevoked) {
			wrong = err
		}
	}
	switch {
	case len(keys) > 0:
		return keys, nil
	case wrong != nil:
		return nil, wrong
	}
	return nil, fmt.Errorf("%w at %s", ErrNoKey, name)
}

// lookupError tells what another try might mend from what it will not.
func lookupError(err error) error {
	var dns *net.DNSError
	if !errors.As(err, &dns) || dns.Temporary() {
		return fmt.Errorf("%w: %w", ErrLookup, err)
	}
	return fmt.Errorf("%w: %w", ErrNoKey, err)
}

// lookup is the question for one key; signatures with the same key share it.
type lookup struct {
	domain, selector string
	keys             []*Key
	err              error
}

// lookupKeys asks for the keys of all signatures that are still to be evaluated, side by side. It returns when the
// resolver has answered all, which it must do when ctx ends.
func lookupKeys(ctx context.Context, resolver Resolver, sigs []*signature) {
	var lookups []*lookup
	for _, s := range sigs {
		if s.result.Status != "" {
			continue
		}
		i := slices.IndexFunc(lookups, func(l *lookup) bool { return l.domain == s.Domain && l.selector == s.Selector })
		if i < 0 {
			i = len(lookups)
			lookups = append(lookups, &lookup{domain: s.Domain, selector: s.Selector})
		}
		s.keys = lookups[i]
	}
	var wg sync.WaitGroup
	for i, l := range lookups {
		ask := func() { l.keys, l.err = LookupKeys(ctx, resolver, l.domain, l.selector) }
		if i < len(lookups)-1 {
			wg.Go(ask)
		} else {
			ask()
		}
	}
	wg.Wait()
}
