package authres

import (
	"errors"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// SameID says whether two authserv-ids are one: case, a final dot and the difference between A-labels and U-labels do
// not count (RFC 8601 §2.5, §5).
func SameID(a, b string) bool { return canonicalID(a) == canonicalID(b) }

// canonicalID takes a name in any spelling that means the same in the DNS, and anything else as it is but for case.
func canonicalID(id string) string {
	id = strings.TrimSpace(id)
	if name, ok := domainname.Identity(id); ok {
		return name
	}
	return strings.ToLower(strings.TrimSuffix(id, "."))
}

// maxHead is how many octets may stand in front of the results of a field that stays.
const maxHead = 998

// Forged says whether the value of an Authentication-Results field that came from outside must go before a server
// whose authserv-id is id adds its own (RFC 8601 §5): when any reading of it claims that id, when it has no authserv-id
// that can be read, as then nobody knows what others will read, and when its version is not known.
func Forged(value, id string) bool {
	own := canonicalID(id)
	f, err := headOf(value)
	if f.ServID == "" || errors.Is(err, ErrVersion) || canonicalID(f.ServID) == own {
		return true
	}
	// Who reads carelessly takes what is in front of the first semicolon.
	head, _, _ := strings.Cut(value, ";")
	if len(head) > maxHead {
		return true
	}
	for _, text := range []string{head, withoutComments(head)} {
		if decoded, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
			text = decoded
		}
		for word := range strings.FieldsSeq(text) {
			if canonicalID(strings.Trim(word, `"'<>(),`)) == own {
				return true
			}
		}
	}
	return false
}

// headOf reads what is in front of the results. A head that is not over behind maxHead octets has no authserv-id.
func headOf(value string) (Field, error) {
	cut := len(value) > maxHead
	p := parser{s: value[:min(len(value), maxHead)]}
	f, err := p.head()
	// What was read up to the cut, or stopped at a comment that goes on behind it, may be a part of something else.
	if cut && (p.i > len(p.s)-utf8.UTFMax || p.s[p.i] == '(') {
		f.ServID = ""
	}
	return f, err
}

func withoutComments(s string) string {
	var b strings.Builder
	for p := (parser{s: s}); !p.end(); {
		if p.s[p.i] == '(' && p.takeComment() {
			b.WriteByte(' ')
			continue
		}
		b.WriteByte(p.s[p.i])
		p.i++
	}
	return b.String()
}
