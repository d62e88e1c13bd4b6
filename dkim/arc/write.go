package arc

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

// tag is one name=value of a field to be written; the value of b= comes later.
type tag struct{ name, value string }

// unsignedField is a field without the value of b=, in two pieces between which it goes. The second does not depend on
// it, so that the field can be signed.
type unsignedField struct {
	head *wire.Folder
	tail string // "" when b= is last
}

// write lays out a field.
func (j *job) write(name string, tags []tag) unsignedField {
	if j.SortTags {
		slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.name, b.name) })
	}
	at := slices.IndexFunc(tags, func(t tag) bool { return t.name == "b" })
	head, tail := new(wire.Folder), new(wire.Folder)
	head.Word(name + ":")
	for _, t := range tags[:at] {
		writeTag(head, t)
	}
	if at == len(tags)-1 {
		head.Word("b=")
		return unsignedField{head, ""}
	}
	for _, t := range tags[at+1:] {
		writeTag(tail, t)
	}
	return unsignedField{head, ";\r\n\t" + strings.TrimSuffix(tail.String(), ";")}
}

func writeTag(f *wire.Folder, t tag) {
	if t.name == "h" {
		f.List(t.name, strings.Split(t.value, ":"))
		return
	}
	f.Word(t.name + "=" + t.value + ";")
}

// unsigned is the field as it is signed.
func (u unsignedField) unsigned() string {
	if u.tail == "" {
		return u.head.String()
	}
	return u.head.String() + "\r\n\tb=" + u.tail
}

// sign completes the field, with its CRLF. It can be called once.
func (u unsignedField) sign(key crypto.Signer, digest []byte) (string, error) {
	sig, err := wire.SignDigest(key, digest)
	if err != nil {
		return "", err
	}
	if u.tail == "" {
		u.head.Base64(sig)
		return u.head.String() + "\r\n", nil
	}
	return u.head.String() + "\r\n\tb=" + base64Line(sig) + u.tail + "\r\n", nil
}

// base64Line keeps b= in one line, if a line can be that long: a seal covers the folds of the message signature as
// spaces, so sealers who are to make the same seal must fold alike.
func base64Line(p []byte) string {
	s := base64.StdEncoding.EncodeToString(p)
	if len(s) <= maxWord {
		return s
	}
	return s[:maxWord] + "\r\n\t" + s[maxWord:]
}

// maxWord is how long what cannot be folded may be, so that lines stay under 998 octets (RFC 5322 §2.1.1).
const maxWord = 900

// writeResults makes the ARC-Authentication-Results field.
func writeResults(instance, servID, results string) (string, error) {
	if !fieldtext.IsToken(servID) {
		servID = fieldtext.Quote(servID)
	}
	words := strings.Fields(wire.Clean(results))
	if len(words) == 0 {
		words = []string{"none"} // RFC 8601 §2.2, no-result
	}
	f := new(wire.Folder)
	f.Word("ARC-Authentication-Results:")
	f.Word("i=" + instance + ";")
	f.Word(servID + ";")
	for _, word := range words {
		if len(word) > maxWord {
			return "", fmt.Errorf("%w: a word of %d octets", ErrResults, len(word))
		}
		f.Word(word)
	}
	return f.String() + "\r\n", nil
}
