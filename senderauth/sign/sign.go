package sign

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
)

// Keys knows which signatures a domain's mail gets. The domain is in lower case with A-labels. No signers and no error
// says that the domain's mail is not signed; an error keeps the mail back as a temporary failure. Selectors differ.
type Keys interface {
	Signers(ctx context.Context, domain string) ([]dkim.Signer, error)
}

// Step signs messages.
type Step struct {
	// Keys must be set.
	Keys Keys
	// Own says which mail is this server's own and so to be signed. nil: the function Own.
	Own func(env *mailbricks.Envelope) bool
	// Logger is told, at debug level, what is not signed and why. nil: nobody.
	Logger *slog.Logger
}

// With is the Sign method of a Step with these keys, as relay.Options.Prepare wants it.
func With(keys Keys) func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	return (&Step{Keys: keys}).Sign
}

// Own says whether a message is of somebody who logged in or was made by this program. What trusted networks hand in
// without a log-in is to be added where there are such.
func Own(env *mailbricks.Envelope) bool {
	return env.Peer.Identity != nil || env.Peer == mailbricks.Peer{}
}

// Sign puts a DKIM-Signature field in front of msg for each signer of the domain of the header From; where that has
// no key, of the domain of the envelope's From. The domain must be the very one, not one above it. A signature that msg
// already has, valid and with the same domain and selector, is not made again.
//
// A message without exactly one From field goes out unsigned, as its signature would tell of no author (dkim.ErrFrom).
//
// An error of Keys comes back as it is and so counts as temporary. A message that nobody could sign, because it begins
// with white space or its header is too large, is refused for good.
func (s *Step) Sign(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	own := s.Own
	if own == nil {
		own = Own
	}
	if !own(env) {
		s.logger().DebugContext(ctx, "sign: not signed, as it is not of this server", "envelope", env.ID, "peer", env.Peer.Addr)
		return nil
	}
	signers, err := s.signers(ctx, env, msg)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if signers, err = missing(ctx, signers, msg); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	fields, err := dkim.Sign(msg.Reader(), signers...)
	switch {
	case errors.Is(err, dkim.ErrFrom):
		s.logger().DebugContext(ctx, "sign: not signed", "envelope", env.ID, "reason", err)
		return nil
	case errors.Is(err, dkim.ErrMessage):
		return &mailbricks.Reply{Code: 554, Enhanced: "5.6.0", Text: "Message begins with white space and cannot be signed", Err: err}
	case errors.Is(err, dkim.ErrHeaderTooLarge):
		return &mailbricks.Reply{Code: 552, Enhanced: "5.3.4", Text: "Message header is too large", Err: err}
	case err != nil:
		return fmt.Errorf("sign: %w", err)
	}
	prependAll(msg, fields)
	return nil
}

// signers are those of the first of the sender's domains that has any.
func (s *Step) signers(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) ([]*dkim.Signer, error) {
	_, bounceDomain := mailbricks.SplitAddress(env.From)
	domains := []string{authorDomain(msg), bounceDomain}
	for _, name := range domains {
		domain, err := canonical(name)
		if err != nil {
			continue // no domain that could have a key
		}
		list, err := s.Keys.Signers(ctx, domain)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			continue
		}
		signers := make([]*dkim.Signer, len(list))
		for i := range list {
			signers[i] = &list[i]
		}
		return signers, nil
	}
	s.logger().DebugContext(ctx, "sign: not signed, as there is no key", "envelope", env.ID, "domains", domains)
	return nil, nil
}

func (s *Step) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// missing takes out the signers whose valid signature msg has. One that does not verify, left by whoever wrote the
// message, must not keep it from being signed.
func missing(ctx context.Context, signers []*dkim.Signer, msg *mailbricks.Message) ([]*dkim.Signer, error) {
	if len(signers) == 0 || len(msg.Values("DKIM-Signature")) == 0 {
		return signers, nil
	}
	published := make(records)
	for _, s := range signers {
		if s.Key == nil {
			continue // dkim.Sign will say so
		}
		r, err := dkim.NewRecord(s.Key.Public(), dkim.RecordOptions{Domain: s.Domain, Selector: s.Selector})
		if err != nil {
			return nil, err
		}
		published[r.Name+"."] = r.Value
	}
	results, err := dkim.Verify(ctx, msg.Reader(), published, dkim.Options{})
	if err != nil {
		return nil, err
	}
	made := make(map[string]bool)
	for _, r := range results {
		if r.Status == dkim.Pass {
			made[r.Selector+"/"+r.Domain] = true
		}
	}
	var rest []*dkim.Signer
	for _, s := range signers {
		if !made[canonicalOr(s.Selector)+"/"+canonicalOr(s.Domain)] {
			rest = append(rest, s)
		}
	}
	return rest, nil
}

// records answers for the signers' own key records, without the DNS.
type records map[string]string

// LookupTXT gives a signer's record.
func (r records) LookupTXT(_ context.Context, name string) ([]string, error) {
	if value, ok := r[name]; ok {
		return []string{value}, nil
	}
	return nil, &net.DNSError{Err: "not a key of this server", Name: name, IsNotFound: true}
}
