package wire

import (
	"strings"

	"github.com/mailbricks/mailbricks/internal/mutf7"
)

// DecodeMailbox gives the UTF-8 form of a mailbox name from the wire. INBOX in any case, alone or as the level above
// others, becomes "INBOX" (RFC 9051 §5.1). Only the one right encoding of a name is taken, so that no mailbox has two
// names; control characters are in none.
func DecodeMailbox(s string) (string, error) {
	const inbox = "INBOX"
	if n := len(inbox); len(s) >= n && strings.EqualFold(s[:n], inbox) && (len(s) == n || s[n] == '/') {
		s = inbox + s[n:]
	}
	name, ok := mutf7.Decode(s)
	if !ok {
		return "", ErrMailboxName
	}
	return name, nil
}

// EncodeMailbox gives the form for the wire of a mailbox name in UTF-8. Octets that are no UTF-8 become U+FFFD.
func EncodeMailbox(name string) string { return mutf7.Encode(name, "") }
