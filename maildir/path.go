package maildir

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
)

// errAddress says that an address has no place on disk.
var errAddress = errors.New("maildir: address cannot be an account")

// AccountPath is where the mail of an address lies under the root: <domain>/<local part>, both in lower case, the domain
// with A-labels (RFC 5890), and %XX for what a file name must not hold: slashes, a leading dot, control characters, what
// the system forbids, and "%" itself. It fails for an address without a local part or a valid domain, and when a part
// becomes longer than 255 octets.
func AccountPath(address string) (string, error) {
	local, domain := mailbricks.SplitAddress(address)
	if local == "" || domain == "" || !utf8.ValidString(address) {
		return "", fmt.Errorf("%w: %.100q", errAddress, address)
	}
	// Whether mail is taken for the domain is not asked here: it was when the account was made.
	domain, ok := domainname.Identity(domain)
	if !ok {
		return "", fmt.Errorf("%w: %.100q: bad domain", errAddress, address)
	}
	if local = escapePath(strings.ToLower(local)); len(local) > maxFileName {
		return "", fmt.Errorf("%w: %.100q is too long", errAddress, address)
	}
	return filepath.Join(domain, local), nil
}

func escapePath(part string) string {
	var b strings.Builder
	for i := range len(part) {
		c := part[i]
		bad := c < ' ' || c == 0x7f || c == '/' || c == '%' || c == '.' && i == 0 || strings.IndexByte(maildirpp.NotInFileNames, c) >= 0
		if maildirpp.NotInFileNames != "" && i == len(part)-1 && (c == '.' || c == ' ') { // Windows drops them
			bad = true
		}
		if bad {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
