// Package maildirpp is the form of names in a Maildir++: of the folders of mailboxes, and in Dovecot's file of subscriptions.
// The levels of a mailbox's name are divided by "/" here, by dots in the name of a folder; each is in modified UTF-7
// (RFC 3501 §5.1.3), with which also a dot can be written that does not divide. That a name can be a mailbox's, and how INBOX is
// written, is for the caller to say.
package maildirpp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/mutf7"
)

const delimiter = "/"

// Folder gives the folder of a mailbox that is not INBOX: ".A.B" for "A/B".
func Folder(name string) string {
	var b strings.Builder
	b.WriteByte('.')
	writeLevels(&b, name, '.')
	return b.String()
}

// Name is the reverse. It takes every folder that can be a mailbox, also one whose name is not encoded as Folder would (Dovecot
// 2.4 writes UTF-8); what is no modified UTF-7 stands for itself. ok is false for what is no mailbox's folder.
func Name(folder string) (name string, ok bool) {
	if len(folder) < 2 || folder[0] != '.' || !utf8.ValidString(folder) {
		return "", false
	}
	levels := strings.Split(folder[1:], ".")
	for i, level := range levels {
		levels[i] = DecodeLevel(level)
		if strings.Contains(levels[i], delimiter) {
			return "", false
		}
	}
	return strings.Join(levels, delimiter), true
}

// EncodeLevel writes one level of a name so that it can be a file's name, or a part of one between dots.
func EncodeLevel(level string) string { return mutf7.Encode(level, "./"+NotInFileNames) }

// DecodeLevel is the reverse.
func DecodeLevel(level string) string { return mutf7.DecodeLoose(level, delimiter) }

func writeLevels(b *strings.Builder, name string, between byte) {
	for i, level := range strings.Split(name, delimiter) {
		if i > 0 {
			b.WriteByte(between)
		}
		b.WriteString(EncodeLevel(level))
	}
}

// SubscriptionsFile has the names that are subscribed. It is Dovecot's, in its version 2: "V", a tab and "2", an empty line, then
// a name in each line with tabs between the levels. In version 1 there is no head, and a dot between the levels.
const SubscriptionsFile = "subscriptions"

const subscriptionsHead = "V\t2\n\n"

// ErrVersion: the file is of a version that is not known.
var ErrVersion = errors.New("unknown version")

// ParseSubscriptions reads what SubscriptionsFile has, in either version, as it is: also what cannot be the name of a mailbox. It
// fails with [ErrVersion] only.
func ParseSubscriptions(data []byte) ([]string, error) {
	separator := "."
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")) // somebody has edited the file
	if first, rest, _ := bytes.Cut(data, []byte("\n")); bytes.HasPrefix(first, []byte("V\t")) {
		if string(first) != "V\t2" {
			return nil, fmt.Errorf("%w: subscriptions %.20q", ErrVersion, first)
		}
		data, separator = rest, "\t"
	}
	var names []string
	for line := range strings.SplitSeq(string(data), "\n") {
		levels := strings.Split(line, separator)
		for i, level := range levels {
			levels[i] = DecodeLevel(level)
		}
		names = append(names, strings.Join(levels, delimiter))
	}
	return names, nil
}

// FormatSubscriptions is the reverse.
func FormatSubscriptions(names []string) []byte {
	var b strings.Builder
	b.WriteString(subscriptionsHead)
	for _, name := range names {
		writeLevels(&b, name, '\t')
		b.WriteByte('\n')
	}
	return []byte(b.String())
}
