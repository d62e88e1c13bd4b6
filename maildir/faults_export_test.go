package maildir

import (
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// CompactSummaries has the log of summaries of an open mailbox written anew.
func CompactSummaries(b mailbox.Mailbox) error { return b.(*session).f.summaries.compact() }

// FormatMoves is a list of moves as it is on disk.
func FormatMoves(list ...[3]string) string {
	var b strings.Builder
	b.WriteString(movesHead + "\n")
	for _, m := range list {
		b.WriteString(moved{m[0], m[1], m[2]}.line())
	}
	return b.String()
}

// ParseMoves reads one.
func ParseMoves(data []byte) (out [][3]string, err error) {
	list, err := parseMoves(data)
	for _, m := range list {
		out = append(out, [3]string{m.folder, m.from, m.to})
	}
	return out, err
}
