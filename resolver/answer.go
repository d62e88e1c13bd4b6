package resolver

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Answer is what the DNS says about a name and a type. It is an unnamed struct, so that a package can declare an
// interface with the method Lookup without importing this one.
type Answer = struct {
	// Name is the name at the end of the CNAME records, lower-case with a final dot: the one asked for if there are none.
	Name string
	// Records are the data of the records in presentation form (RFC 1035 §5.1), such as "10 mail.example.com." for MX;
	// for TXT they are the octets of the record's strings, joined. None: there is no such record.
	Records []string
	// TTL is how long the answer still counts.
	TTL time.Duration
	// Authentic says that the server vouches for the answer by DNSSEC, also for one that there is nothing. It needs
	// Resolver.TrustAD.
	Authentic bool
	// NXDomain says that Name has no records of any type, and neither has any name below it (RFC 8020).
	NXDomain bool
}

// Lookup gives the records of a type ("TXT", "MX", "A", "AAAA", "TLSA", "CNAME", "PTR", "SRV", or any other that holds
// data) and all that is known about them.
//
// That there are none is no error but an Answer without Records. Errors are of type *net.DNSError: IsTemporary when
// servers fail, IsTimeout too when they do not answer or ctx ends, IsNotFound for a name that cannot exist, because it
// is too long or no name at all.
func (r *Resolver) Lookup(ctx context.Context, name, rrtype string) (Answer, error) {
	typ, ok := dataType(rrtype)
	if !ok {
		return Answer{}, &net.DNSError{Err: "unknown record type", Name: name}
	}
	a, err := r.lookup(ctx, name, typ)
	a.Records = slices.Clone(a.Records) // the cache has the others
	return a, err
}

// dataType finds a type that records can have. Types only for queries and transport (RFC 6895 §3.1) are none.
func dataType(rrtype string) (uint16, bool) {
	typ, ok := dns.StringToType[strings.ToUpper(rrtype)]
	meta := typ == dns.TypeOPT || (typ >= 128 && typ <= 255)
	return typ, ok && typ != dns.TypeNone && typ != dns.TypeReserved && !meta
}

// lookup is Lookup with the cache's own records in the answer.
func (r *Resolver) lookup(ctx context.Context, name string, typ uint16) (Answer, error) {
	p, err := r.prepare(ctx, name, typ)
	if err != nil {
		return Answer{}, err
	}
	return r.finish(ctx, name, p)
}

// prepare checks a name and begins its look-up, which finish must end.
func (r *Resolver) prepare(ctx context.Context, name string, typ uint16) (pending, error) {
	r.start()
	if err := ctx.Err(); err != nil {
		return pending{}, contextError(name, err)
	}
	ascii, ok := canonical(name)
	if !ok {
		return pending{}, notFound(name)
	}
	q := question{ascii, typ}
	if a, ok := reserved(q); ok {
		return pending{q: q, entry: entry{answer: a}}, nil
	}
	return r.begin(q), nil
}

// finish waits for a look-up that was prepared.
func (r *Resolver) finish(ctx context.Context, name string, p pending) (Answer, error) {
	e, err := r.wait(ctx, p)
	if err != nil {
		return Answer{}, contextError(name, err)
	}
	if f := e.err; f != nil {
		return Answer{}, &net.DNSError{
			UnwrapErr: f.cause, Err: f.text, Name: name, Server: f.server, IsTimeout: f.timeout, IsTemporary: true,
		}
	}
	return e.answer, nil
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func contextError(name string, err error) error {
	e := &net.DNSError{UnwrapErr: err, Err: "operation was canceled", Name: name, IsTemporary: true}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Err, e.IsTimeout = "i/o timeout", true
	}
	return e
}
