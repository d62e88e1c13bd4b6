package imapd

import (
	"slices"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/mailbox"
)

// matchAny says whether a pattern of LIST matches a mailbox. Patterns are compared with names as they are on the wire, so
// that they need not be valid modified UTF-7.
func matchAny(patterns []string, name string) bool {
	encoded := wire.EncodeMailbox(name)
	anyCase := 0
	if name == mailbox.Inbox || mailbox.IsBelow(name, mailbox.Inbox) {
		anyCase = len(mailbox.Inbox) // RFC 9051 §5.1
	}
	return slices.ContainsFunc(patterns, func(p string) bool { return matchName(p, encoded, anyCase) })
}

// matchName matches "*" with anything and "%" with anything but the delimiter (RFC 3501 §6.3.8), in time proportional to
// the product of the lengths. The first octets of the name, of which there are anyCase, are upper case and match lower case.
func matchName(pattern, name string, anyCase int) bool {
	// reach[i] says that the pattern so far matches name[:i].
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for i := range len(pattern) {
		switch c := pattern[i]; c {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				reach[j] = reach[j] || reach[j-1] && (c == '*' || name[j-1] != mailbox.Delimiter[0])
			}
		default:
			for j := len(name); j > 0; j-- {
				reach[j] = reach[j-1] && (name[j-1] == c || j <= anyCase && name[j-1] == upper(c))
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}
