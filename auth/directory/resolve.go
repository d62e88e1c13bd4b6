package directory

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks"
)

// Bounds of what one address may become.
const (
	// MaxDepth is how many aliases may follow one another.
	MaxDepth = 10
	// MaxTargets is how many addresses one may become.
	MaxTargets = 1000
)

// ErrNoRecipient says that an address of a hosted domain names nobody.
var ErrNoRecipient = errors.New("directory: no such recipient")

// ErrAliasLoop says that aliases follow one another without end or become more than MaxTargets addresses.
var ErrAliasLoop = errors.New("directory: aliases form a loop or reach too many addresses")

// Resolve gives the addresses that mail for address goes to: accounts here and addresses of other servers, each once.
// An address of a domain that is not hosted is its own target. "postmaster" without a domain is taken too (RFC 5321
// §4.5.1). It fails with ErrNoRecipient or ErrAliasLoop.
func (d *Directory) Resolve(address string) ([]string, error) {
	snap, opts := d.current()
	r := &resolver{snapshot: snap, postmaster: opts.Postmaster}
	canonical, err := Canonical(address)
	if errors.Is(err, ErrNoDomain) {
		return r.bare(address)
	}
	if local, domain := mailbricks.SplitAddress(canonical); err == nil && !snap.domains[domain] && isPostmaster(local) && sameDomain(domain, opts.Hostname) {
		return r.bare(local)
	}
	if err != nil {
		return nil, ErrNoRecipient
	}
	if err := r.resolve(canonical, 0); err != nil {
		return nil, err
	}
	if len(r.targets) == 0 {
		return nil, ErrNoRecipient
	}
	return r.targets, nil
}

// resolver gathers the targets of one address.
type resolver struct {
	*snapshot
	postmaster string
	targets    []string
}

// bare resolves an address without a domain.
func (r *resolver) bare(address string) ([]string, error) {
	if !isPostmaster(address) {
		return nil, ErrNoRecipient
	}
	if r.postmaster != "" {
		if err := r.resolve(r.postmaster, 1); err != nil {
			return nil, err
		}
		return r.targets, nil
	}
	if len(r.accounts) == 0 {
		return nil, ErrNoRecipient
	}
	return []string{r.accounts[0].address}, nil
}

// resolve adds what a canonical address becomes. What names nobody adds nothing.
func (r *resolver) resolve(address string, depth int) error {
	_, domain := mailbricks.SplitAddress(address)
	if !r.domains[domain] || r.isAccount(address) {
		return r.add(address)
	}
	if depth > MaxDepth {
		return ErrAliasLoop
	}
	next, ok := r.lookup(address)
	if !ok {
		return nil
	}
	for _, target := range next {
		if target == address {
			continue // an alias of itself, as DMS users write them in front of a catch-all: it names no account
		}
		if err := r.resolve(target, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) add(target string) error {
	if slices.Contains(r.targets, target) {
		return nil
	}
	if len(r.targets) == MaxTargets {
		return ErrAliasLoop
	}
	r.targets = append(r.targets, target)
	return nil
}

// lookup is one step: what an address of a hosted domain that is no account stands for.
func (r *resolver) lookup(address string) ([]string, bool) {
	if next, ok := r.named(address); ok {
		return next, true
	}
	if base, ok := withoutDetail(address); ok {
		if r.isAccount(base) {
			return []string{base}, true
		}
		if next, ok := r.named(base); ok {
			return next, true
		}
	}
	local, domain := mailbricks.SplitAddress(address)
	if isPostmaster(local) && r.postmaster != "" && r.postmaster != address {
		return []string{r.postmaster}, true
	}
	if catchAll := r.aliases["@"+domain]; catchAll != nil {
		return catchAll.targets, true
	}
	if isPostmaster(local) {
		return r.firstAccount(domain)
	}
	return nil, false
}

// named finds an exact alias or a regular expression.
func (r *resolver) named(address string) ([]string, bool) {
	if a := r.aliases[address]; a != nil {
		return a.targets, true
	}
	for _, p := range r.patterns {
		if match := p.re.FindStringSubmatchIndex(address); match != nil {
			return p.fill(address, match), true
		}
	}
	return nil, false
}

// fill puts what the expression's groups matched into the targets. What then is no address is left out.
func (p pattern) fill(address string, match []int) []string {
	var targets []string
	for _, t := range p.targets {
		filled := string(p.re.ExpandString(nil, t, address, match))
		if target, err := Canonical(filled); err == nil {
			targets = append(targets, target)
		}
	}
	return targets
}

func (r *resolver) firstAccount(domain string) ([]string, bool) {
	for _, a := range r.accounts {
		if _, d := mailbricks.SplitAddress(a.address); d == domain {
			return []string{a.address}, true
		}
	}
	if len(r.accounts) > 0 {
		return []string{r.accounts[0].address}, true
	}
	return nil, false
}

// isPostmaster says whether a local part is postmaster's (RFC 5321 §4.5.1) or the one that notifications come from, which
// people answer to; so is a sub-address.
func isPostmaster(local string) bool {
	base, _, _ := strings.Cut(local, "+")
	return strings.EqualFold(base, "postmaster") || strings.EqualFold(base, "mailer-daemon")
}

// MaySendAs says whether a user may use address as a sender: whatever brings mail to the user's own account.
func (d *Directory) MaySendAs(_ context.Context, id mailbricks.Identity, address string) (bool, error) {
	_, domain := mailbricks.SplitAddress(address)
	if domain == "" || !d.Hosts(domain) {
		return false, nil
	}
	targets, err := d.Resolve(address)
	if err != nil {
		return false, nil // it is nobody's, so it is not this user's
	}
	return slices.Contains(targets, id.User), nil
}

// Expand resolves each recipient before next: aliases become their targets, the address that the peer gave stands in
// Recipient.Alias, and nobody gets the message twice. The outcome for a recipient that became several is the first
// temporary failure among theirs, or else the first failure; a Handler that files failures by itself, as the relay
// queue's Settle does, should stand behind Expand.
func (d *Directory) Expand(next mailbricks.Handler) mailbricks.Handler {
	return mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
		results := make(mailbricks.Results, len(env.Recipients))
		var expanded []mailbricks.Recipient
		at := map[string]int{} // into expanded, by address
		became := make([][]int, len(env.Recipients))
		for i, rcpt := range env.Recipients {
			targets, err := d.Resolve(rcpt.Address)
			if err != nil {
				results[i] = Refusal(rcpt.Address, err)
				continue
			}
			for _, target := range targets {
				k, ok := at[target]
				if !ok {
					k = len(expanded)
					at[target] = k
					expanded = append(expanded, retarget(rcpt, target))
				}
				became[i] = append(became[i], k)
			}
		}
		if len(expanded) == 0 {
			return results.Err()
		}
		outcomes := mailbricks.ResultsOf(next.Handle(ctx, env.WithRecipients(expanded), msg), len(expanded))
		for i := range results {
			for _, k := range became[i] {
				if err := outcomes[k]; results[i] == nil || (mailbricks.IsTemporary(err) && !mailbricks.IsTemporary(results[i])) {
					results[i] = err
				}
			}
		}
		return results.Err()
	})
}

// retarget is rcpt with a new address.
func retarget(rcpt mailbricks.Recipient, target string) mailbricks.Recipient {
	if rcpt.Address != target {
		if rcpt.Alias == "" {
			rcpt.Alias = rcpt.Address
		}
		rcpt.Address = target
	}
	return rcpt
}

// Refusal is the reply to RCPT for an address that Resolve failed for.
func Refusal(address string, err error) error {
	switch {
	case errors.Is(err, ErrNoRecipient):
		return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "<" + address + ">: no such user here", Err: err}
	case errors.Is(err, ErrAliasLoop):
		return &mailbricks.Reply{Code: 451, Enhanced: "4.4.6", Text: "<" + address + ">: this alias is not set up well", Err: err}
	}
	return err
}
