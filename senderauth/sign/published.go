package sign

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
)

// Resolver asks the DNS; *net.Resolver is one. Names end with a dot. Errors are of type *net.DNSError, with IsNotFound
// where the DNS says that there is nothing. One without a cache sees a new record first.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// ErrUnpublished says that the DNS answers, and that verifiers cannot use what it shows at the name of a key.
var ErrUnpublished = errors.New("not published")

// publishedTime is how long the DNS may take to answer about one record.
const publishedTime = 20 * time.Second

// Published says whether the DNS shows a key record as it should be: one TXT record with the same key, of which mail may
// be verified with SHA-256. The error wraps ErrUnpublished, and says in words what is wrong, where the DNS shows something
// else or nothing; other errors are that it did not answer. nil stands for net.DefaultResolver.
func Published(ctx context.Context, resolver Resolver, record dkim.Record) error {
	want, err := dkim.ParseKey(record.Value)
	if err != nil {
		return fmt.Errorf("sign: record %s: %w", record.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishedTime)
	defer cancel()
	texts, err := resolverOr(resolver).LookupTXT(ctx, record.Name+".")
	if dns, ok := errors.AsType[*net.DNSError](err); (ok && dns.IsNotFound) || (err == nil && len(texts) == 0) {
		return fmt.Errorf("%s: %w: there is no TXT record", record.Name, ErrUnpublished)
	}
	if err != nil {
		return fmt.Errorf("%s: the DNS did not answer: %w", record.Name, err)
	}
	if len(texts) > 1 { // RFC 6376 §3.6.2.2: it must be the only one
		return fmt.Errorf("%s: %w: there are %d TXT records, and only one may be", record.Name, ErrUnpublished, len(texts))
	}
	if err := sameKey(texts[0], want); err != nil {
		return fmt.Errorf("%s: %w: %w", record.Name, ErrUnpublished, err)
	}
	return nil
}

// resolverOr is resolver, and net.DefaultResolver where that is nil.
func resolverOr(resolver Resolver) Resolver {
	if resolver == nil {
		return net.DefaultResolver
	}
	return resolver
}

var errOtherKey = errors.New("the record has another key")

// sameKey compares what a record says with a key of ours.
func sameKey(text string, want *dkim.Key) error {
	is, err := dkim.ParseKey(text)
	if err != nil {
		return err
	}
	public, ok := want.Public.(interface{ Equal(crypto.PublicKey) bool }) // as all public keys of the standard library
	if !ok || !public.Equal(is.Public) {
		return errOtherKey
	}
	return is.Check(want.Type+"-sha256", dkim.MinRSABits)
}
