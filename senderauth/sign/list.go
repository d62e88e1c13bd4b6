package sign

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/mailbricks/mailbricks/dkim"
)

// Use is what a key is for.
type Use string

// The uses.
const (
	// ForSigning: it signs.
	ForSigning Use = "signs"
	// ForNext: it will sign when the DNS shows it.
	ForNext Use = "next"
	// ForOld: it has signed, and its record stays in the DNS for mail on its way.
	ForOld Use = "old"
	// ForNothing: it lies there.
	ForNothing Use = "none"
)

// Key is a key of a domain.
type Key struct {
	Selector string
	// Type is "rsa" or "ed25519", Bits its size.
	Type string
	Bits int
	Use  Use
	// Record is what is to stand in the DNS.
	Record dkim.Record
}

// List gives all keys of a domain, by their selectors. The records of all are to be in the DNS: those of old keys for mail
// on its way, those of next ones before they sign. Nothing known of the domain gives none.
func (d *Dir) List(domain string) ([]Key, error) {
	domain, err := canonical(domain)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list(domain)
}

func (d *Dir) list(domain string) ([]Key, error) {
	all, err := d.all(domain)
	if err != nil {
		return nil, fmt.Errorf("sign: keys of %s: %w", domain, err)
	}
	s, err := d.readState()
	if err != nil {
		return nil, fmt.Errorf("sign: keys of %s: %w", domain, err)
	}
	signing := s.signingOr(domain, all)
	var keys []Key
	for _, selector := range all {
		key, err := d.readKey(domain, selector)
		if err != nil {
			return nil, fmt.Errorf("sign: key %s of %s: %w", selector, domain, err)
		}
		k := Key{Selector: selector, Type: typeOf(key), Use: ForNothing}
		if k.Record, err = dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: domain, Selector: selector}); err != nil {
			return nil, err
		}
		if public, err := dkim.ParseKey(k.Record.Value); err == nil {
			k.Bits = public.Bits()
		}
		switch use := s.use(domain, selector); {
		case slices.Contains(signing, selector):
			k.Use = ForSigning
		case use == lineNext:
			k.Use = ForNext
		case use == lineOld:
			k.Use = ForOld
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Domains gives the domains that have a folder of keys or for which the state names keys, sorted.
func (d *Dir) Domains() ([]string, error) {
	names, err := d.fs().ReadNames(d.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("sign: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		c, err := canonical(name)
		return err != nil || c != name
	})
	s, err := d.read()
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	for _, line := range s.lines {
		if line.kind == "" && len(line.selectors) > 0 {
			names = append(names, line.domain)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Rotating gives the domains for which a Rotation has something to do or to wait for, in the order in which it began.
func (d *Dir) Rotating() ([]string, error) {
	s, err := d.read()
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	var domains []string
	for _, line := range s.lines {
		if line.kind != "" && !slices.Contains(domains, line.domain) {
			domains = append(domains, line.domain)
		}
	}
	return domains, nil
}
