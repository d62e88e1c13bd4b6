package wire

import "fmt"

// Place is where a signature's key stands.
type Place struct {
	Domain, Selector string // in lower case, with A-labels
}

// NewPlace makes the Place of a signer's settings. Its errors say which of them is wrong.
func NewPlace(domain, selector string) (Place, error) {
	var p Place
	var err error
	if p.Domain, err = ASCII(domain); err != nil {
		return Place{}, fmt.Errorf("domain %q %w", domain, err)
	}
	if p.Selector, err = ASCII(selector); err != nil {
		return Place{}, fmt.Errorf("selector %q %w", selector, err)
	}
	if _, err = KeyName(p.Selector, p.Domain); err != nil {
		return Place{}, fmt.Errorf("selector and domain %w", err)
	}
	return p, nil
}
