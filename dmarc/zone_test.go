package dmarc_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"
)

// zone has TXT records by name, without the final dot. The record "TIMEOUT" makes the question fail for now.
type zone map[string][]string

func (z zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	records, ok := z[strings.TrimSuffix(name, ".")]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case len(records) == 1 && records[0] == "TIMEOUT":
		return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
	}
	return records, nil
}

// spy keeps the names that were asked for.
type spy struct {
	zone
	mu    sync.Mutex
	names []string
}

func (s *spy) LookupTXT(ctx context.Context, name string) ([]string, error) {
	s.mu.Lock()
	s.names = append(s.names, name)
	s.mu.Unlock()
	return s.zone.LookupTXT(ctx, name)
}

// asked gives the names of the policy records that were asked for.
func (s *spy) asked() string { return strings.Join(s.names, " ") }

// knowing is a zone that also tells which names exist; those that are aliases lead nowhere.
type knowing struct {
	zone
	names, aliases map[string]bool
	err            error
}

func (k knowing) Lookup(_ context.Context, name, _ string) (answer struct {
	Name      string
	Records   []string
	TTL       time.Duration
	Authentic bool
	NXDomain  bool
}, err error) {
	answer.Name = name
	answer.NXDomain = !k.names[strings.TrimSuffix(name, ".")]
	if k.aliases[strings.TrimSuffix(name, ".")] {
		answer.Name = "nowhere.example."
	}
	return answer, k.err
}
