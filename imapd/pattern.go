package imapd

import (
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/mailbox"
)

// pattern is a pattern of LIST. It is compared with names as they are on the wire, so that a pattern need not be valid
// modified UTF-7.
type pattern struct {
	text  string
	inbox bool // matches INBOX, whose case does not matter
}

func newPattern(text string) pattern {
	return pattern{text: text, inbox: matchName(strings.ToUpper(text), mailbox.Inbox)}
}

func matchAny(patterns []pattern, name string) bool {
	encoded := wire.EncodeMailbox(name)
	return slices.ContainsFunc(patterns, func(p pattern) bool {
		if name == mailbox.Inbox {
			return p.inbox
		}
		return matchName(p.text, encoded)
	})
}

// matchName matches "*" with anything and "%" with anything but the delimiter (RFC 3501 §6.3.8), in time proportional to
// the product of the lengths.
func matchName(pattern, name string) bool {
	// reach[i] says that the pattern so far matches name[:i].
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for i := range len(pattern) {
		switch pattern[i] {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				reach[j] = reach[j] || reach[j-1] && (pattern[i] == '*' || name[j-1] != mailbox.Delimiter[0])
			}
		default:
			for j := len(name); j > 0; j-- {
				reach[j] = reach[j-1] && name[j-1] == pattern[i]
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}
