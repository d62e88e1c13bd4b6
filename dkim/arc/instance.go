package arc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

var errInstance = fmt.Errorf("i= is no number from 1 to %d", MaxSets)

// cutInstance takes "i=1;" from the beginning of a field's value, where the grammar has it: instance [CFWS] ";" (RFC 8617
// §3.9, §4.1). ok says whether it is there at all.
func cutInstance(value string) (instance int, rest string, ok bool) {
	s, ok := strings.CutPrefix(skipCFWS(value), "i")
	if !ok {
		return 0, value, false
	}
	if s, ok = strings.CutPrefix(skipCFWS(s), "="); !ok {
		return 0, value, false
	}
	s = skipCFWS(s)
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	digits := s[:n]
	if s, ok = strings.CutPrefix(skipCFWS(s[n:]), ";"); !ok {
		return 0, value, false
	}
	if instance, err := parseInstance(digits); err == nil {
		return instance, s, true
	}
	return 0, value, false
}

// parseInstance reads position = 1*2DIGIT, 1 to 50. By that grammar "01" is 1.
func parseInstance(s string) (int, error) {
	if len(s) < 1 || len(s) > 2 {
		return 0, errInstance
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, errInstance
		}
		n = 10*n + int(s[i]-'0')
	}
	if n < 1 || n > MaxSets {
		return 0, errInstance
	}
	return n, nil
}

// tagField is an ARC-Message-Signature or ARC-Seal field whose tags are read.
type tagField struct {
	instance int
	tags     wire.Tags
	// unsigned is the field with the value of b= deleted.
	unsigned string
}

// parseTagField reads the tags of a field. The grammar has i= in front, but it is taken anywhere, as in practice.
func parseTagField(f wire.Field) (tagField, error) {
	value := string(f.Value())
	instance, list, inFront := cutInstance(value)
	tags, err := wire.ParseTags(list)
	if err != nil {
		return tagField{}, err
	}
	i, ok := tags.Get("i")
	switch {
	case inFront && ok:
		return tagField{}, fmt.Errorf("%w i=", wire.ErrDuplicateTag)
	case !inFront && !ok:
		return tagField{}, errors.New("i= is missing")
	case !inFront:
		if instance, err = parseInstance(i); err != nil {
			return tagField{}, err
		}
	}
	unsigned := string(f.Raw[:len(f.Raw)-len(list)]) + tags.Without(list, "b")
	return tagField{instance, tags, unsigned}, nil
}

// resultsField is an ARC-Authentication-Results field.
type resultsField struct {
	instance int
	servID   string
	results  string
}

// parseResults reads a field: instance [CFWS] ";" and what an Authentication-Results field has (RFC 8617 §4.1.1), of which
// it only takes the authserv-id away (RFC 8601 §2.2). Nothing but the instance can be wrong.
func parseResults(f wire.Field) (resultsField, error) {
	instance, payload, ok := cutInstance(string(f.Value()))
	if !ok {
		return resultsField{}, fmt.Errorf("%w, with a semicolon behind it", errInstance)
	}
	r := resultsField{instance: instance}
	id, rest := cutValue(skipCFWS(payload))
	rest = skipCFWS(rest)
	for rest != "" && '0' <= rest[0] && rest[0] <= '9' { // authres-version
		rest = rest[1:]
	}
	rest, ok = strings.CutPrefix(skipCFWS(rest), ";")
	if id == "" || !ok && rest != "" {
		r.results = cleanText(payload)
		return r, nil
	}
	r.servID, r.results = wire.Clean(id), cleanText(rest)
	return r, nil
}

// cleanText unfolds text: white space of any length becomes one space.
func cleanText(s string) string { return strings.Join(strings.Fields(wire.Clean(s)), " ") }

// cutValue takes a token or a quoted-string (RFC 2045 §5.1), without its quotes, from the beginning of s.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		n := 0
		for n < len(s) && fieldtext.IsTokenRune(rune(s[n])) {
			n++
		}
		return s[:n], s[n:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i == len(s) {
				return "", s
			}
		case '\r', '\n':
			continue
		}
		b.WriteByte(s[i])
	}
	return "", s
}

// skipCFWS goes over white space and comments, which can be nested (RFC 5322 §3.2.2). A comment that does not end is none.
func skipCFWS(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		if !strings.HasPrefix(s, "(") {
			return s
		}
		n := fieldtext.CommentEnd(s)
		if n == 0 {
			return s
		}
		s = s[n:]
	}
}
