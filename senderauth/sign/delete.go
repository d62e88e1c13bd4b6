package sign

import (
	"errors"
	"fmt"
	"slices"
)

var (
	// ErrUnknownKey says that a domain has no key with a selector, not even a missing one that is to sign.
	ErrUnknownKey = errors.New("the domain has no such key")
	// ErrNextKey says that a key belongs to a rotation that waits for the DNS to show it.
	ErrNextKey = errors.New("the key is that of a rotation; cancel that instead")
)

// Delete takes a key away, be it good, unreadable or missing, so that it does not sign any more. If no other key signs, the
// domain's mail leaves unsigned from then on. Where there is a State, the selector is not used again, and a [Rotation] waits
// for its record to go from the DNS. A key of a rotation that does not sign yet is refused with ErrNextKey, one that is not
// known with ErrUnknownKey.
func (d *Dir) Delete(domain, selector string) error {
	domain, selector, err := names(domain, selector)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err = d.release(domain, selector); err == nil {
		err = d.deleteKey(domain, selector)
	}
	if err != nil {
		return fmt.Errorf("sign: deleting key %s of %s: %w", selector, domain, err)
	}
	return nil
}

// release notes that a key does not sign and is deleted. Its file is still there, so that Delete can be repeated.
func (d *Dir) release(domain, selector string) error {
	all, err := d.all(domain)
	if err != nil {
		return err
	}
	s, err := d.readState()
	if err != nil {
		return err
	}
	signing := s.signingOr(domain, all)
	signs, use := slices.Contains(signing, selector), s.use(domain, selector)
	switch {
	case use == lineNext:
		return ErrNextKey
	case !signs && use != lineOld && !slices.Contains(all, selector):
		return ErrUnknownKey
	case d.State == "":
		return nil
	}
	return d.change(func(s *state) error {
		s.drop(domain, selector)
		if signs {
			s.sign(domain, slices.DeleteFunc(slices.Clone(signing), func(name string) bool { return name == selector }))
		}
		s.put(goneLine(domain, selector))
		return nil
	})
}
