package sign

import (
	"context"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/senderauth/authres"
)

// Forward adds this server's set to the ARC chain (RFC 8617) of mail that it sends on: what an alias leads to another host.
// There SPF fails, as the mail comes from here; the set tells what was found when the message came in.
type Forward struct {
	// Keys must be set. A set is made with the first RSA key of a domain, as not all verifiers know Ed25519 and a chain
	// that one cannot verify counts as broken. A domain without such a key does not seal.
	Keys Keys
	// AuthServID is the authserv-id of this server's own Authentication-Results fields: senderauth's, the server's Hostname.
	// The topmost field with it has the results that the set hands on. There must be nobody else who can write such a field:
	// package senderauth takes out the forged ones. A message without one is not sealed.
	AuthServID string
	// Own says which mail is this server's own, which is not sealed; that is signed instead. nil: the function Own.
	Own func(env *mailbricks.Envelope) bool
	// Domains are the domains that may answer for a message, the best first. nil: ForwardedBy.
	Domains func(env *mailbricks.Envelope) []string
	// Resolver asks the DNS for the keys of a chain that failed when it came in, to know whether that is for good.
	// nil: net.DefaultResolver.
	Resolver Resolver
	// Options are those of that verification.
	Options arc.Options
	// OnNoKey, if not nil, is told of mail that leaves without a set because none of these domains, at least one, has an
	// RSA key.
	OnNoKey func(ctx context.Context, domains []string)
	// Logger is told, at debug level, what is not sealed and why. nil: nobody.
	Logger *slog.Logger
}

// ForwardedBy are the domains of the aliases that led to the recipients, each once. For mail that no alias sends on there
// are none.
func ForwardedBy(env *mailbricks.Envelope) []string {
	var domains []string
	seen := make(map[string]bool)
	for _, r := range env.Recipients {
		_, domain := mailbricks.SplitAddress(r.Alias)
		if domain, err := canonical(domain); err == nil && !seen[domain] {
			seen[domain] = true
			domains = append(domains, domain)
		}
	}
	return domains
}

// Seal puts a set in front of msg: ARC-Seal, ARC-Message-Signature and ARC-Authentication-Results, by the first of the
// Domains that has a key. A chain that came in broken is sealed as such, once; one that has as many sets as can be, or
// that cannot be verified for now, is left as it is, and so is mail that is put aside as junk.
//
// It stands behind all that changes the message. An error of Keys comes back as it is and so counts as temporary; other
// reasons not to seal are none to keep mail back.
func (f *Forward) Seal(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	own := f.Own
	if own == nil {
		own = Own
	}
	if own(env) {
		return nil
	}
	if env.Quarantine != "" {
		f.leave(ctx, env, "it is put aside")
		return nil
	}
	domains := f.domains(env)
	sealer, err := f.sealer(ctx, domains)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if sealer == nil {
		f.leave(ctx, env, "there is no RSA key")
		if f.OnNoKey != nil && len(domains) > 0 {
			f.OnNoKey(ctx, domains)
		}
		return nil
	}
	results, said, ok := f.found(msg)
	if !ok {
		f.leave(ctx, env, "it was not checked")
		return nil
	}
	status, ok := f.status(ctx, msg, said)
	if !ok {
		f.leave(ctx, env, "its chain cannot be verified for now")
		return nil
	}
	set, err := sealer.Seal(msg.Reader(), status, results)
	switch {
	case err != nil:
		f.leave(ctx, env, err.Error())
	case set == "":
		f.leave(ctx, env, "its chain is at its end")
	default:
		prependAll(msg, set)
	}
	return nil
}

func (f *Forward) leave(ctx context.Context, env *mailbricks.Envelope, why string) {
	if f.Logger != nil {
		f.Logger.DebugContext(ctx, "sign: not sealed", "envelope", env.ID, "reason", why)
	}
}

func (f *Forward) domains(env *mailbricks.Envelope) []string {
	if f.Domains == nil {
		return ForwardedBy(env)
	}
	return f.Domains(env)
}

// sealer is that of the first domain with a key that will do; nil if there is none.
func (f *Forward) sealer(ctx context.Context, domains []string) (*arc.Sealer, error) {
	for _, domain := range domains {
		signers, err := f.Keys.Signers(ctx, domain)
		if err != nil {
			return nil, err
		}
		for _, s := range signers {
			if s.Key == nil {
				continue
			}
			if _, ok := s.Key.Public().(*rsa.PublicKey); ok {
				return &arc.Sealer{Domain: s.Domain, Selector: s.Selector, Key: s.Key, AuthServID: f.AuthServID}, nil
			}
		}
	}
	return nil, nil
}

// found is what this server's Authentication-Results field has: its text behind the authserv-id, and the status of the
// chain, which is empty where it does not say.
func (f *Forward) found(msg *mailbricks.Message) (results string, said arc.Status, ok bool) {
	for _, value := range msg.Values(authres.Name) {
		field, err := authres.Parse(value)
		if err != nil || !authres.SameID(field.ServID, f.AuthServID) {
			continue
		}
		_, results, _ = strings.Cut(value, ";")
		for _, r := range field.Results {
			if strings.EqualFold(r.Method, "arc") {
				said = arc.Status(strings.ToLower(r.Value))
			}
		}
		return strings.TrimSpace(results), said, true
	}
	return "", "", false
}

// status is that of the chain. One that is said to have failed must do so again: if the DNS was to blame, a set that says
// so would break for good what the next server may find to be right.
func (f *Forward) status(ctx context.Context, msg *mailbricks.Message, said arc.Status) (arc.Status, bool) {
	if said == arc.None || said == arc.Pass {
		return said, true
	}
	result, err := arc.Verify(ctx, msg.Reader(), f.Resolver, f.Options)
	if err != nil || result.Temporary || said == arc.Fail && result.Status != arc.Fail {
		return "", false
	}
	return result.Status, true
}

// prependAll puts header fields, which are folded and end with CRLF, in front of msg in their order.
func prependAll(msg *mailbricks.Message, text string) {
	fields := mailbricks.NewMessage([]byte(text + "\r\n")).Fields()
	var all []mailbricks.Field
	for field := range fields {
		all = append(all, field)
	}
	for i := len(all) - 1; i >= 0; i-- {
		_, value, _ := strings.Cut(string(all[i].Raw()), ":")
		msg.Prepend(all[i].Name, strings.TrimSuffix(strings.TrimPrefix(value, " "), "\r\n"))
	}
}
