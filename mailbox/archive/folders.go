package archive

import (
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/mutf7"
	"github.com/mailbricks/mailbricks/mailbox"
)

// folderName is the folder of a mailbox in a Maildir++ tree: ".A.B" for "A/B", each level in modified UTF-7 (RFC 3501
// §5.1.3), with which also a dot is written; empty for INBOX.
func folderName(name string) string {
	if name == mailbox.Inbox {
		return ""
	}
	var b strings.Builder
	for level := range strings.SplitSeq(name, mailbox.Delimiter) {
		b.WriteByte('.')
		b.WriteString(encodeLevel(level))
	}
	return b.String()
}

// mailboxName is the reverse; what is no modified UTF-7 stands for itself, and ok is false for what is no mailbox's folder.
func mailboxName(folder string) (name string, ok bool) {
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
	return name, err == nil && name != mailbox.Inbox
}

func encodeLevel(level string) string { return mutf7.Encode(level, "./"+notInFileNames) }

func decodeLevel(level string) string { return mutf7.DecodeLoose(level, mailbox.Delimiter) }
