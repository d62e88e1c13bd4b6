package sign

import (
	"cmp"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/durable"
)

var (
	// ErrOtherKey says that a selector has a key of another type or size than was asked for.
	ErrOtherKey = errors.New("the selector has another key")
	// ErrReplaced says that a selector's key was replaced by a rotation or deleted, so that it is not to sign any more.
	ErrReplaced = errors.New("the selector was replaced by a rotation or deleted; take another name")
	// ErrMissing says that a key is to sign and its file is not there.
	ErrMissing = errors.New("the file of a key that is to sign is missing")
)

// unfinished is how old the remains of an interrupted write must be to be removed.
const unfinished = time.Hour

// Ensure makes a key for a selector of a domain if there is none, and makes it active, unless a [Rotation] waits for the
// DNS to show it. It returns the record to publish and whether the key is new. keyType and bits are those of
// [dkim.GenerateKey]; a key that is there must have this type and, if it is RSA, this size, or it fails with ErrOtherKey.
// "" stands for the type that is there, else RSA, and 0 for the size that is there, else 2048.
//
// For a selector whose key a rotation has replaced or Delete deleted it fails with ErrReplaced, and with ErrMissing for one
// that is active without a file: what the DNS shows there would not fit a new key. When Ensure has returned, a power cut
// does not lose the key.
func (d *Dir) Ensure(domain, selector, keyType string, bits int) (record dkim.Record, created bool, err error) {
	domain, selector, err = names(domain, selector)
	if err != nil {
		return dkim.Record{}, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key, err := d.readKey(domain, selector)
	missing := errors.Is(err, fs.ErrNotExist)
	if stateErr := d.mayEnsure(domain, selector, missing); stateErr != nil {
		return dkim.Record{}, false, fmt.Errorf("sign: key %s of %s: %w", selector, domain, stateErr)
	}
	switch {
	case missing:
		created = true
		key, err = d.makeKey(domain, selector, func() (crypto.Signer, error) {
			return dkim.GenerateKey(cmp.Or(keyType, "rsa"), bits)
		})
	case err == nil:
		err = fits(key, keyType, bits)
	}
	if err != nil {
		return dkim.Record{}, false, fmt.Errorf("sign: key %s of %s: %w", selector, domain, err)
	}
	if err := d.addActive(domain, selector); err != nil {
		return dkim.Record{}, false, fmt.Errorf("sign: making key %s of %s active: %w", selector, domain, err)
	}
	record, err = dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: domain, Selector: selector})
	return record, created, err
}

// mayEnsure fails for a selector of which a rotation is done, and for one that is to sign and has no file.
func (d *Dir) mayEnsure(domain, selector string, missing bool) error {
	s, err := d.readState()
	if err != nil {
		return err
	}
	if use := s.use(domain, selector); use == lineOld || use == lineGone {
		return ErrReplaced
	}
	if named, _ := s.signing(domain); missing && slices.Contains(named, selector) {
		return fmt.Errorf("%s: %w", d.keyFile(domain, selector), ErrMissing)
	}
	return nil
}

// fits fails for a key that is not what was asked for.
func fits(key crypto.Signer, keyType string, bits int) error {
	if is := typeOf(key); keyType != "" && is != keyType {
		return fmt.Errorf("it is %s, not %.20q: %w", is, keyType, ErrOtherKey)
	}
	if public, ok := key.Public().(*rsa.PublicKey); ok && bits != 0 && public.N.BitLen() != bits {
		return fmt.Errorf("it has %d bits, not %d: %w", public.N.BitLen(), bits, ErrOtherKey)
	}
	return nil
}

// Activate says which selectors of a domain sign from now on, in this order; none: the domain's mail leaves unsigned.
// Each must have a good key. A [Rotation] does this when the DNS shows the new keys; whoever calls it must see to that.
func (d *Dir) Activate(domain string, selectors ...string) error {
	var list []string
	for _, s := range selectors {
		dom, sel, err := names(domain, s)
		if err != nil {
			return err
		}
		if domain = dom; !slices.Contains(list, sel) {
			list = append(list, sel)
		}
	}
	domain, err := canonical(domain)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, selector := range list {
		if _, err := d.readKey(domain, selector); err != nil {
			return fmt.Errorf("sign: key %s of %s: %w", selector, domain, err)
		}
	}
	if err := d.change(func(s *state) error { s.sign(domain, list); return nil }); err != nil {
		return fmt.Errorf("sign: activating keys of %s: %w", domain, err)
	}
	return nil
}

// Active gives the selectors of a domain that sign, in their order.
func (d *Dir) Active(domain string) ([]string, error) {
	domain, err := canonical(domain)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all, err := d.all(domain)
	if err != nil {
		return nil, fmt.Errorf("sign: keys of %s: %w", domain, err)
	}
	active, err := d.active(domain, all)
	if err != nil {
		return nil, fmt.Errorf("sign: keys of %s: %w", domain, err)
	}
	return active, nil
}

// makeKey writes a new key.
func (d *Dir) makeKey(domain, selector string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	key, err := generate()
	if err != nil {
		return nil, err
	}
	text, err := dkim.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(d.Root, domain)
	if err := durable.MkdirAll(d.fs(), dir, 0o700); err != nil {
		return nil, err
	}
	if err := durable.CleanTemps(d.fs(), dir, time.Now().Add(-unfinished)); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(d.fs(), d.keyFile(domain, selector), text, 0o600); err != nil {
		return nil, err
	}
	return key, nil
}

// addActive adds a selector to the ones that sign. Where the state said nothing, all keys did and go on.
func (d *Dir) addActive(domain, selector string) error {
	if d.State == "" {
		return nil
	}
	all, err := d.all(domain)
	if err != nil {
		return err
	}
	return d.change(func(s *state) error {
		if s.use(domain, selector) == lineNext {
			return nil // it will sign when it is published
		}
		signing := s.signingOr(domain, all)
		if !slices.Contains(signing, selector) {
			signing = append(slices.Clone(signing), selector)
		}
		s.sign(domain, signing)
		return nil
	})
}

// all are the selectors of a domain's key files.
func (d *Dir) all(domain string) ([]string, error) {
	seen, err := d.look(domain)
	if err != nil || seen == nil {
		return nil, err
	}
	return seen.selectors(), nil
}

// change reads the state file, has it changed, and writes it if it is another then.
func (d *Dir) change(edit func(*state) error) error {
	if d.State == "" {
		return errors.New("Dir.State names no file that could say which keys are active")
	}
	s, err := d.readState()
	if err != nil {
		return err
	}
	before := s.String()
	if err := edit(s); err != nil {
		return err
	}
	if s.String() == before {
		return nil
	}
	if err := durable.MkdirAll(d.fs(), filepath.Dir(d.State), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(d.fs(), d.State, []byte(s.String()), 0o600)
}

// names checks a domain and a selector, also together.
func names(domain, selector string) (string, string, error) {
	d, err := canonical(domain)
	if err != nil {
		return "", "", fmt.Errorf("sign: domain %w", err)
	}
	s, err := canonical(selector)
	if err != nil {
		return "", "", fmt.Errorf("sign: selector %w", err)
	}
	if len(s)+len("._domainkey.")+len(d) > domainname.MaxName {
		return "", "", fmt.Errorf("sign: selector and domain %.80q: %w", domain, ErrName)
	}
	return d, s, nil
}

func typeOf(key crypto.Signer) string {
	switch key.Public().(type) {
	case *rsa.PublicKey:
		return "rsa"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return fmt.Sprintf("%T", key.Public())
}
