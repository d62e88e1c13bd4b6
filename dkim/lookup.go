package dkim

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	err = fmt.Errorf("%w at %s", ErrNoKey, name)
	for i, txt := range records[:min(len(records), MaxKeyRecords)] {
		key, wrong := ParseKey(txt)
		if wrong == nil {
			keys = append(keys, key)
		} else if i == 0 || errors.Is(wrong, ErrKeyRevoked) {
			err = wrong
		}
	}
	if len(keys) > 0 {
		err = nil
	}
	return keys, err
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
	keys []*Key
	err  error
}

// lookupKeys asks for the keys of all signatures that are still to be evaluated, side by side. It returns when the
// resolver has answered all, which it must do when ctx ends.
func lookupKeys(ctx context.Context, resolver Resolver, sigs []*signature) {
	type place struct{ domain, selector string }
	byPlace := make(map[place]*lookup)
	var wg sync.WaitGroup
	for _, s := range sigs {
		if s.result.Status != "" {
			continue
		}
		at := place{s.result.Domain, s.result.Selector}
		l := byPlace[at]
		if l == nil {
			l = new(lookup)
			byPlace[at] = l
			wg.Go(func() { l.keys, l.err = LookupKeys(ctx, resolver, at.domain, at.selector) })
		}
		s.keys = l
	}
	wg.Wait()
}
