package sign

import (
	"errors"
	"fmt"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// ErrName says that something is no domain name or no selector.
var ErrName = errors.New("not a domain name")

// canonical gives a domain name or selector in lower case with A-labels. What it returns is also a file name that cannot
// lead out of its folder: labels of letters, digits, "-" and "_" with single dots between them.
func canonical(name string) (string, error) {
	ascii, ok := domainname.DKIM(name)
	if !ok {
		return "", fmt.Errorf("%.80q: %w", name, ErrName)
	}
	return ascii, nil
}

// canonicalOr is canonical, and name as it is where that fails.
func canonicalOr(name string) string {
	if c, ok := domainname.DKIM(name); ok {
		return c
	}
	return name
}
