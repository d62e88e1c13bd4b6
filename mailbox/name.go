package mailbox

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of CleanName. Stores may have narrower ones.
const (
	// MaxName is the longest mailbox name in octets.
	MaxName = 1000
	// MaxLevels is how deep mailboxes may be nested.
	MaxLevels = 50
)

// CleanName gives the form of a mailbox name that stores use: the first level is written INBOX where it is INBOX in any
// case (RFC 9051 §5.1). It fails with [ErrName] for a name that no store takes: one that is empty, too long or too
// deep, is not UTF-8, has an empty level, or holds control characters or characters that RFC 5198 §2 keeps out of text
// (which would let a name forge a line of a protocol or a log).
func CleanName(name string) (string, error) {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: %.100q", ErrName, name)
	}
	levels := strings.Split(name, Delimiter)
	if len(levels) > MaxLevels {
		return "", fmt.Errorf("%w: more than %d levels", ErrName, MaxLevels)
	}
	for _, level := range levels {
		if level == "" || strings.ContainsFunc(level, notInName) {
			return "", fmt.Errorf("%w: %.100q", ErrName, name)
		}
	}
	if strings.EqualFold(levels[0], Inbox) {
		levels[0] = Inbox
	}
	return strings.Join(levels, Delimiter), nil
}

func notInName(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError || r == '\ufeff'
}

// Above has the names of the levels above a mailbox, from the top: "a" and "a/b" for "a/b/c".
func Above(name string) []string {
	var out []string
	for i := range len(name) {
		if name[i] == Delimiter[0] {
			out = append(out, name[:i])
		}
	}
	return out
}

// IsBelow says whether a mailbox stands under another, at any depth.
func IsBelow(name, above string) bool { return strings.HasPrefix(name, above+Delimiter) }

// MaxID is the longest id of a mailbox in octets (RFC 8474 §7).
const MaxID = 255

// ValidID says whether id has the form of an object id (RFC 8474 §7).
func ValidID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= MaxID
}
