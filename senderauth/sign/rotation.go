package sign

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
)

// Defaults and limits of a Rotation.
const (
	// DefaultSettle is how long the DNS must have shown the new keys: its servers do not all get them at once.
	DefaultSettle = time.Hour
	// DefaultGrace is how long the old keys' records stay: as long as mail is on its way (RFC 5321 §4.5.4.1: four to five
	// days) and a little more.
	DefaultGrace = 7 * 24 * time.Hour
	// MinCheck and MaxCheck bound how long Run waits between two looks at the DNS for the records of new keys: a quarter of
	// the time that it has waited for them.
	MinCheck, MaxCheck = time.Minute, time.Hour
	// MaxWithdrawCheck stands in the place of MaxCheck when the record of a deleted key is to go, which is not urgent.
	MaxWithdrawCheck = 24 * time.Hour
	// MaxGone is how long Run looks whether the record of a deleted key has gone from the DNS; then it is forgotten.
	MaxGone = 90 * 24 * time.Hour
)

// ErrNoKey says that a domain has no key that signs, and so none to replace.
var ErrNoKey = errors.New("no key signs for the domain")

// ErrNothingNew says that no new key waits to be published, so that there is nothing to cancel.
var ErrNothingNew = errors.New("no new key waits to be published")

// Rotation replaces the keys with which a domain's mail is signed, one for each type that is in use. It can take days and
// is made of steps:
//
//   - Start names and makes the new keys. Their records are to be published; somebody has to.
//   - When the DNS has shown them for the time Settle, they sign, and the old ones do no more.
//   - The old keys' records stay for the time Grace. Then the keys are deleted, and their records may be taken out of the
//     DNS or revoked (p= empty, RFC 6376 §3.6.1). The rotation is over when they are.
//
// How far it is stands in Dir.State, on disk before anything relies on it: after a crash at any point it goes on. At no
// time is mail unsigned, or signed with a key that the DNS was not seen to show just before. A next rotation may be
// started while old keys wait for their end. Times are kept in whole seconds.
//
// Its fields must not change while a method runs. Only one process at a time may use it.
type Rotation struct {
	// Keys has the domain's keys; its State must name a file.
	Keys *Dir
	// Domain is the signing domain.
	Domain string
	// Resolver asks the DNS; nil: net.DefaultResolver.
	Resolver Resolver
	// Settle is how long the DNS must have shown the new keys before they sign. Twice the TTL that the zone's servers give
	// for what is not there is good. 0: DefaultSettle; negative: not at all.
	Settle time.Duration
	// Grace is how long the old keys' records stay. 0: DefaultGrace; negative: not at all.
	Grace time.Duration
	// Bits is the size of a new RSA key, from 1024 to 4096, or Start fails. 0: that of the old one, and at least 2048.
	Bits int
	// Logger is told of what is done. nil: nobody.
	Logger *slog.Logger
}

// Phase is how far a rotation is.
type Phase string

// The phases.
const (
	// Idle: no rotation is under way.
	Idle Phase = "idle"
	// Publish: the DNS does not show the new keys yet, or not all.
	Publish Phase = "publish"
	// Settling: the DNS shows them, for not long enough yet.
	Settling Phase = "settle"
	// Retire: the new keys sign; the old ones' records must stay.
	Retire Phase = "retire"
	// Withdraw: old keys are deleted, and their records may go.
	Withdraw Phase = "withdraw"
)

// Status is where a domain's rotation stands.
type Status struct {
	Domain string
	Phase  Phase
	// Text says in words what was found, and what the rotation waits for.
	Text string
	// Active are the selectors that sign.
	Active []string
	// Publish are the records of new keys, which the DNS must show before they sign.
	Publish []dkim.Record
	// Keep are the records of old keys, which must stay in the DNS until the time Until.
	Keep []dkim.Record
	// Withdraw are the names of records to take out of the DNS, or to give the value [Revoked].
	Withdraw []string
	// Until is when the phase ends by itself; zero where somebody must do something.
	Until time.Time
	// Next is when Step should be called next; zero: not before the next Start.
	Next time.Time
}

// Revoked is the value of a key record that says that the key is revoked (RFC 6376 §3.6.1).
const Revoked = "v=DKIM1; p="

// Start begins a rotation, unless one is under way whose new keys do not sign yet, and gives what is to be published.
// It does not ask the DNS: what it does not show at once, its servers may remember as missing.
func (r *Rotation) Start(ctx context.Context) (Status, error) {
	if err := ctx.Err(); err != nil {
		return Status{}, err
	}
	domain, err := r.begin()
	if err != nil {
		return Status{}, err
	}
	return r.status(domain, nil)
}

// begin names the new keys and makes them.
func (r *Rotation) begin() (domain string, err error) {
	if domain, err = canonical(r.Domain); err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	made, err := r.Keys.nameNext(domain, r.Bits)
	if err == nil {
		err = r.Keys.makeNext(domain)
	}
	if err != nil {
		return "", fmt.Errorf("sign: rotating the keys of %s: %w", domain, err)
	}
	if len(made) > 0 {
		r.log("sign: new DKIM keys wait to be published", domain, "selectors", made)
	}
	return domain, nil
}

// Status says where the rotation stands, without doing or asking anything.
func (r *Rotation) Status() (Status, error) {
	domain, err := canonical(r.Domain)
	if err != nil {
		return Status{}, fmt.Errorf("sign: %w", err)
	}
	return r.status(domain, nil)
}

// Step asks the DNS and does what can be done now. A DNS that does not answer, or shows something else, is no error: the
// Status tells. It can be called at any time; without a rotation under way it does nothing.
func (r *Rotation) Step(ctx context.Context) (Status, error) {
	domain, err := canonical(r.Domain)
	if err != nil {
		return Status{}, fmt.Errorf("sign: %w", err)
	}
	found := make(map[string]error)
	for _, step := range []func(context.Context, string, map[string]error) error{r.publish, r.retire, r.withdraw} {
		if err := step(ctx, domain, found); err != nil {
			return Status{}, fmt.Errorf("sign: rotating the keys of %s: %w", domain, err)
		}
	}
	return r.status(domain, found)
}

// Run makes steps, as far apart as makes sense, until the rotation is over or ctx ends. tell, which may be nil, gets each
// new Status: whoever is to publish or withdraw records learns it there.
func (r *Rotation) Run(ctx context.Context, tell func(Status)) error {
	var last string
	for {
		status, err := r.Step(ctx)
		if err != nil {
			return err
		}
		if tell != nil && status.Text != last {
			tell(status)
		}
		last = status.Text
		if status.Phase == Idle {
			return nil
		}
		timer := time.NewTimer(time.Until(status.Next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// Cancel gives up new keys that do not sign yet, and deletes them. It fails with ErrNothingNew if there are none.
func (r *Rotation) Cancel() error {
	domain, err := canonical(r.Domain)
	if err == nil {
		err = r.Keys.dropNext(domain)
	}
	if err != nil {
		return fmt.Errorf("sign: cancelling the rotation of %.80q: %w", r.Domain, err)
	}
	r.log("sign: the rotation of DKIM keys was cancelled", domain)
	return nil
}

// publish looks for the new keys' records, and has the keys sign when it is time.
func (r *Rotation) publish(ctx context.Context, domain string, found map[string]error) error {
	if err := r.Keys.makeNext(domain); err != nil {
		return err
	}
	keys, err := r.Keys.List(domain)
	if err != nil {
		return err
	}
	shown := make(map[string]bool)
	for _, k := range keys {
		if k.Use != ForNext {
			continue
		}
		if err := Published(ctx, r.Resolver, k.Record); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			found[k.Selector] = err
		}
		shown[k.Selector] = found[k.Selector] == nil
	}
	if len(shown) == 0 {
		return nil
	}
	switched, err := r.Keys.noteShown(domain, shown, or(r.Settle, DefaultSettle))
	if len(switched) > 0 {
		r.log("sign: new DKIM keys sign from now on", domain, "selectors", switched)
	}
	return err
}

// retire deletes old keys whose time is over.
func (r *Rotation) retire(_ context.Context, domain string, _ map[string]error) error {
	dropped, err := r.Keys.deleteOld(domain, or(r.Grace, DefaultGrace))
	for _, selector := range dropped {
		r.log("sign: an old DKIM key was deleted, its record may be taken out of the DNS", domain,
			"record", recordName(selector, domain))
	}
	return err
}

// withdraw forgets deleted keys whose records are gone.
func (r *Rotation) withdraw(ctx context.Context, domain string, found map[string]error) error {
	s, err := r.Keys.read()
	if err != nil {
		return err
	}
	for _, line := range s.rotating(lineGone, domain) {
		selector := line.selectors[0]
		err := withdrawn(ctx, r.Resolver, recordName(selector, domain))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && time.Since(line.at) < MaxGone {
			found[selector] = err
			continue
		}
		if err := r.Keys.forget(domain, selector); err != nil {
			return err
		}
	}
	return nil
}

// errStillThere says that a record that may go is still there.
var errStillThere = errors.New("the DNS still shows it")

// withdrawn is nil when no key stands at a name of the DNS.
func withdrawn(ctx context.Context, resolver Resolver, name string) error {
	ctx, cancel := context.WithTimeout(ctx, publishedTime)
	defer cancel()
	texts, err := resolverOr(resolver).LookupTXT(ctx, name+".")
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: the DNS did not answer: %w", name, err)
	}
	for _, text := range texts {
		if _, err := dkim.ParseKey(text); err == nil {
			return fmt.Errorf("%s: %w", name, errStillThere)
		}
	}
	return nil
}

func recordName(selector, domain string) string { return selector + "._domainkey." + domain }

// or is a duration of which 0 stands for a default and what is negative for none.
func or(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return max(d, 0)
}

func (r *Rotation) log(text, domain string, args ...any) {
	if r.Logger != nil {
		r.Logger.Info(text, append([]any{"domain", domain}, args...)...)
	}
}
