package dkim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// lookup is the question for one key name; signatures with the same key share it.
type lookup struct {
	name   string
	status Status // empty when keys were found
	err    error
	keys   []*Key
}

// lookupKeys asks for the keys of all signatures that are still to be evaluated, side by side. It returns when the
// resolver has answered all, which it must do when ctx ends.
func lookupKeys(ctx context.Context, resolver Resolver, sigs []*signature) {
	byName := make(map[string]*lookup)
	for _, s := range sigs {
		if s.result.Status != "" {
			continue
		}
		name := keyName(s.result.Selector, s.result.Domain)
		if byName[name] == nil {
			byName[name] = &lookup{name: name}
		}
		s.keys = byName[name]
	}
	var wg sync.WaitGroup
	for _, l := range byName {
		wg.Go(func() { l.run(ctx, resolver) })
	}
	wg.Wait()
}

func (l *lookup) run(ctx context.Context, resolver Resolver) {
	records, err := resolver.LookupTXT(ctx, l.name)
	if err != nil {
		l.status, l.err = lookupStatus(err)
		return
	}
	l.status, l.err = PermError, fmt.Errorf("%w at %s", ErrNoKey, l.name)
	// More than one record is undefined (RFC 6376 §3.6.2.2); §6.1.2 step 4 lets one try them in turn. What is no key is
	// ignored, as a wildcard record may be there too.
	for i, txt := range records[:min(len(records), MaxKeyRecords)] {
		key, err := ParseKey(txt)
		if err == nil {
			l.keys = append(l.keys, key)
		} else if i == 0 || errors.Is(err, ErrKeyRevoked) {
			l.err = err
		}
	}
	if len(l.keys) > 0 {
		l.status, l.err = "", nil
	}
}

// lookupStatus tells what another try might mend from what it will not.
func lookupStatus(err error) (Status, error) {
	var dns *net.DNSError
	if !errors.As(err, &dns) || dns.Temporary() {
		return TempError, fmt.Errorf("%w: %w", ErrLookup, err)
	}
	if dns.IsNotFound {
		return PermError, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return PermError, fmt.Errorf("%w: %w", ErrLookup, err)
}
