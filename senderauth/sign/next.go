package sign

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
)

// What a Rotation does to the keys and the state of a Dir. Each of these is whole on disk, or not at all, and may be
// repeated.

// read is readState for who does not hold the lock.
func (d *Dir) read() (*state, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.readState()
}

// nameNext names a new key for each type among those that sign, if none are named, and gives their selectors. The old
// ones are written down beside them, as a new key file must not sign only because nothing is said of the domain.
func (d *Dir) nameNext(domain string, bits int) (made []string, err error) {
	// Before it is written down: what is there could not be made, now or later.
	if bits != 0 && (bits < dkim.MinRSABits || bits > dkim.MaxGeneratedBits) {
		return nil, fmt.Errorf("Rotation.Bits is %d, not 0 or %d to %d", bits, dkim.MinRSABits, dkim.MaxGeneratedBits)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	keys, err := d.list(domain)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int) // by type
	var types []string
	for _, k := range keys {
		if k.Use == ForSigning {
			if !slices.Contains(types, k.Type) {
				types = append(types, k.Type)
			}
			sizes[k.Type] = max(sizes[k.Type], k.Bits)
		}
	}
	slices.Sort(types)
	slices.Reverse(types) // RSA first, which every verifier knows
	if len(types) == 0 {
		return nil, ErrNoKey
	}
	err = d.change(func(s *state) error {
		if len(s.rotating(lineNext, domain)) > 0 {
			return nil
		}
		taken := s.taken(domain, selectorsOf(keys))
		s.sign(domain, s.signingOr(domain, selectorsOf(keys)))
		for _, keyType := range types {
			line := stateLine{kind: lineNext, domain: domain, keyType: keyType, at: time.Now()}
			if line.bits = bits; keyType != "rsa" {
				line.bits = 0
			} else if bits == 0 {
				line.bits = min(max(sizes[keyType], dkim.DefaultRSABits), dkim.MaxGeneratedBits)
			}
			selector := newSelector(time.Now(), taken)
			if _, selector, err = names(domain, selector); err != nil {
				return err
			}
			taken[selector] = true
			line.selectors = []string{selector}
			s.put(line)
			made = append(made, selector)
		}
		return nil
	})
	return made, err
}

func selectorsOf(keys []Key) []string {
	selectors := make([]string, len(keys))
	for i, k := range keys {
		selectors[i] = k.Selector
	}
	return selectors
}

// taken are the selectors that no new key of a domain may get: all that have a file, and all that the state names. One that
// is to sign and whose file is missing is among them, as a new key of its name would sign at once.
func (s *state) taken(domain string, all []string) map[string]bool {
	taken := make(map[string]bool)
	for _, selector := range all {
		taken[selector] = true
	}
	for _, line := range s.lines {
		if line.domain != domain {
			continue
		}
		for _, selector := range line.selectors {
			taken[selector] = true
		}
	}
	return taken
}

// newSelector is "s", the day and letters: s20261124a. Selectors are not used again, as verifiers may remember records.
func newSelector(day time.Time, taken map[string]bool) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	base := "s" + day.UTC().Format("20060102")
	for n := 0; ; n++ {
		suffix := ""
		for m := n; m >= 0; m = m/len(letters) - 1 {
			suffix = string(letters[m%len(letters)]) + suffix
		}
		if !taken[base+suffix] {
			return base + suffix
		}
	}
}

// makeNext makes the new keys that are named and have no file.
func (d *Dir) makeNext(domain string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.readState()
	if err != nil {
		return err
	}
	for _, line := range s.rotating(lineNext, domain) {
		_, err := d.readKey(domain, line.selectors[0])
		if errors.Is(err, fs.ErrNotExist) {
			_, err = d.makeKey(domain, line.selectors[0], func() (crypto.Signer, error) {
				return dkim.GenerateKey(line.keyType, line.bits)
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noteShown writes down whether the DNS shows the new keys, and when it has shown all of them for long enough, puts them
// into the place of the old ones and gives their selectors.
func (d *Dir) noteShown(domain string, shown map[string]bool, settle time.Duration) (switched []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys, err := d.list(domain)
	if err != nil {
		return nil, err
	}
	types := make(map[string]string)
	for _, k := range keys {
		types[k.Selector] = k.Type
	}
	signing, err := d.active(domain, selectorsOf(keys))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	err = d.change(func(s *state) error {
		ready := true
		var next, replaced []string
		for _, line := range s.rotating(lineNext, domain) {
			selector := line.selectors[0]
			next, replaced = append(next, selector), append(replaced, types[selector])
			switch {
			case !shown[selector]:
				line.seen = time.Time{}
			case line.seen.IsZero():
				line.seen = now
			}
			ready = ready && shown[selector] && now.Sub(line.seen) >= settle
			s.put(line)
		}
		if !ready || len(next) == 0 {
			return nil
		}
		s.replace(domain, signing, next, func(selector string) bool { return slices.Contains(replaced, types[selector]) })
		switched = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return switched, nil
}

// replace has the next keys sign, in front of those that sign and stay; the others are old from now on.
func (s *state) replace(domain string, signing, next []string, old func(selector string) bool) {
	stay := slices.Clone(next)
	for _, selector := range signing {
		switch {
		case slices.Contains(next, selector):
		case old(selector):
			s.put(stateLine{kind: lineOld, domain: domain, selectors: []string{selector}, at: time.Now()})
		default:
			stay = append(stay, selector)
		}
	}
	s.sign(domain, stay)
}

// deleteOld deletes the keys that have been old for long enough, and gives their selectors.
func (d *Dir) deleteOld(domain string, grace time.Duration) (deleted []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.readState()
	if err != nil {
		return nil, err
	}
	for _, line := range s.rotating(lineOld, domain) {
		if time.Since(line.at) < grace {
			continue
		}
		if err := d.deleteKey(domain, line.selectors[0]); err != nil {
			return deleted, err
		}
		if err := d.change(func(s *state) error {
			s.drop(domain, line.selectors[0])
			s.put(goneLine(domain, line.selectors[0]))
			return nil
		}); err != nil {
			return deleted, err
		}
		deleted = append(deleted, line.selectors[0])
	}
	return deleted, nil
}

func goneLine(domain, selector string) stateLine {
	return stateLine{kind: lineGone, domain: domain, selectors: []string{selector}, at: time.Now()}
}

// FreshSelector gives a selector that no key of the domain has, and none has had that may still be in the DNS: "s", the day
// and letters.
func (d *Dir) FreshSelector(domain string) (string, error) {
	domain, err := canonical(domain)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all, err := d.all(domain)
	if err != nil {
		return "", fmt.Errorf("sign: keys of %s: %w", domain, err)
	}
	s, err := d.readState()
	if err != nil {
		return "", fmt.Errorf("sign: keys of %s: %w", domain, err)
	}
	return newSelector(time.Now(), s.taken(domain, all)), nil
}

// dropNext deletes the new keys and forgets them; ErrNothingNew: there are none.
func (d *Dir) dropNext(domain string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.readState()
	if err != nil {
		return err
	}
	next := s.rotating(lineNext, domain)
	if len(next) == 0 {
		return ErrNothingNew
	}
	for _, line := range next {
		if err := d.deleteKey(domain, line.selectors[0]); err != nil {
			return err
		}
		if err := d.change(func(s *state) error { s.drop(domain, line.selectors[0]); return nil }); err != nil {
			return err
		}
	}
	return nil
}

// forget takes a deleted key out of the state.
func (d *Dir) forget(domain, selector string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.change(func(s *state) error { s.drop(domain, selector); return nil })
}

// deleteKey removes a key file, if it is there.
func (d *Dir) deleteKey(domain, selector string) error {
	err := d.fs().Remove(d.keyFile(domain, selector))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = d.fs().SyncDir(filepath.Join(d.Root, domain))
	}
	if errors.Is(err, fs.ErrNotExist) { // not even the folder is there
		return nil
	}
	return err
}
