package maildir

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/mutf7"
	"github.com/mailbricks/mailbricks/mailbox"
)

// maxFileName is the longest name of a folder on disk, in octets.
const maxFileName = 255

// folderName gives the folder of a mailbox within the account's: ".A.B" for "A/B" (Maildir++), the account's own for
// INBOX. What stands between the dots is in modified UTF-7 (RFC 3501 §5.1.3), with which also a dot can be written that
// does not separate.
func folderName(name string) (string, error) {
	name, err := mailbox.CleanName(name)
	if err != nil {
		return "", err
	}
	if name == mailbox.Inbox {
		return "", nil
	}
	var b strings.Builder
	for level := range strings.SplitSeq(name, mailbox.Delimiter) {
		b.WriteByte('.')
		b.WriteString(encodeLevel(level))
	}
	if b.Len() > maxFileName {
		return "", fmt.Errorf("%w: longer than %d octets on disk", mailbox.ErrName, maxFileName)
	}
	return b.String(), nil
}

// mailboxName is the reverse of folderName. It takes every folder that can be a mailbox, also one whose name is not
// encoded as we would (Dovecot 2.4 writes UTF-8), and says no to others.
func mailboxName(folder string) (string, bool) {
	if len(folder) < 2 || folder[0] != '.' || !utf8.ValidString(folder) {
		return "", false
	}
	levels := strings.Split(folder[1:], ".")
	for i, level := range levels {
		levels[i] = decodeLevel(level)
		if strings.Contains(levels[i], mailbox.Delimiter) {
			return "", false
		}
	}
	name, err := mailbox.CleanName(strings.Join(levels, mailbox.Delimiter))
	if err != nil || name == mailbox.Inbox {
		return "", false
	}
	return name, true
}

func encodeLevel(level string) string { return mutf7.Encode(level, "./"+notInFileNames) }

// decodeLevel reads modified UTF-7; what is none stands for itself.
func decodeLevel(level string) string { return mutf7.DecodeLoose(level, mailbox.Delimiter) }
