package authres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

// What Parse finds wrong.
var (
	// ErrSyntax: the text does not follow the grammar of RFC 8601 §2.2.
	ErrSyntax = errors.New("authres: syntax error")
	// ErrVersion: the field has a version other than 1, whose syntax is not known.
	ErrVersion = errors.New("authres: unknown version")
)

// What Parse takes in of one field, so that the memory for what it returns is bounded whatever the field's length.
const (
	// MaxResults is how many results a field may have.
	MaxResults = 256
	// MaxProps is how many properties one result may have.
	MaxProps = 32
	// MaxComment is how many octets of a comment are kept.
	MaxComment = 998
)

// Parse reads the value of an Authentication-Results field, folded or not. Beside an error it returns what it read up
// to there; ServID is set whenever the field has one. It is tolerant of what is common: a semicolon may stand at the end,
// property values may have characters that should be quoted, names may have an underscore, and a property may lack its
// type ("action=none"), which then is empty. A field with more than MaxResults results, or one with more than MaxProps
// properties, is ErrSyntax like any other: what is read are the results in front of the one that is too much.
func Parse(text string) (Field, error) {
	p := parser{s: text}
	f, err := p.head()
	if err != nil {
		return f, err
	}
	if p.end() {
		return f, p.fail("result")
	}
	for !p.end() {
		if !p.char(';') {
			return f, p.fail("semicolon")
		}
		p.cfws()
		if p.end() {
			break
		}
		r, ok := p.result()
		if !ok {
			return f, p.fail("result")
		}
		if r.Method == "" { // "none"
			continue
		}
		if len(f.Results) == MaxResults {
			return f, fmt.Errorf("%w: more than %d results", ErrSyntax, MaxResults)
		}
		f.Results = append(f.Results, r)
	}
	return f, nil
}

// head takes what is in front of the results: the authserv-id and the version.
func (p *parser) head() (f Field, err error) {
	p.cfws()
	id, ok := p.value()
	if !ok || id == "" { // a quoted-string may be empty
		return f, p.fail("authserv-id")
	}
	spaced := p.cfws()
	if !p.end() && p.s[p.i] != ';' && !spaced {
		return f, p.fail("authserv-id")
	}
	f.ServID = id
	if digits := p.run(isDigit); digits != "" {
		f.Version, ok = number(digits)
		if !ok || f.Version != 1 {
			return f, fmt.Errorf("%w %.20q", ErrVersion, digits)
		}
		p.cfws()
	}
	return f, nil
}

// parser reads the grammar from s, from i on.
type parser struct {
	s       string
	i       int
	comment string // the last comment read
}

func (p *parser) fail(what string) error {
	return fmt.Errorf("%w: no %s at %.40q", ErrSyntax, what, p.s[p.i:])
}

func (p *parser) end() bool { return p.i >= len(p.s) }

// char takes the octet c, if it is next.
func (p *parser) char(c byte) bool {
	if p.end() || p.s[p.i] != c {
		return false
	}
	p.i++
	return true
}

// run takes all runes that belong to a class.
func (p *parser) run(class func(rune) bool) string {
	rest := p.s[p.i:]
	n := strings.IndexFunc(rest, func(r rune) bool { return !class(r) })
	if n < 0 {
		n = len(rest)
	}
	p.i += n
	return rest[:n]
}

// cfws takes white space and comments and says whether there were any.
func (p *parser) cfws() bool {
	start := p.i
	for !p.end() {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
			continue
		case '(':
			if p.takeComment() {
				continue
			}
		}
		break
	}
	return p.i > start
}

// singleSpaces makes one space of each run of white space, folds included.
func singleSpaces(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }), " ")
}

// takeComment takes the comment that is next, and keeps its first MaxComment octets; one that does not end is none.
func (p *parser) takeComment() bool {
	var b strings.Builder
	full := false
	keep := func(c byte) {
		// The last rune, as far as it is one, may go beyond.
		full = full || b.Len() >= MaxComment && (utf8.RuneStart(c) || b.Len() >= MaxComment+utf8.UTFMax)
		if !full {
			b.WriteByte(c)
		}
	}
	depth := 0
	for i := p.i; i < len(p.s); i++ {
		switch c := p.s[i]; c {
		case '\\':
			if i++; i < len(p.s) {
				keep(p.s[i])
			}
			continue
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			if depth--; depth == 0 {
				p.comment, p.i = singleSpaces(b.String()), i+1
				return true
			}
		}
		keep(p.s[i])
	}
	return false
}

// value takes a token or a quoted string.
func (p *parser) value() (string, bool) {
	if !p.end() && p.s[p.i] == '"' {
		return p.quoted()
	}
	token := p.run(fieldtext.IsTokenRune)
	return token, token != ""
}

func (p *parser) quoted() (string, bool) {
	var b strings.Builder
	for i := p.i + 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.i = i + 1
			return b.String(), true
		case c == '\\' && i+1 < len(p.s):
			i++
			b.WriteByte(p.s[i])
		case c != '\r' && c != '\n':
			b.WriteByte(c)
		}
	}
	return "", false
}

// pvalue takes a property's value: quoted strings and anything up to white space, a comment or a semicolon.
func (p *parser) pvalue() (string, bool) {
	var b strings.Builder
	start := p.i
	for !p.end() && strings.IndexByte(" \t\r\n;(", p.s[p.i]) < 0 {
		if p.s[p.i] == '"' {
			text, ok := p.quoted()
			if !ok {
				return "", false
			}
			b.WriteString(text)
			continue
		}
		b.WriteByte(p.s[p.i])
		p.i++
	}
	return b.String(), p.i > start
}

// equals takes "=" with the white space around it.
func (p *parser) equals() bool {
	p.cfws()
	if !p.char('=') {
		return false
	}
	p.cfws()
	return true
}

// result takes a resinfo without its semicolon, or "none", for which Method stays empty.
func (p *parser) result() (r Result, ok bool) {
	method := p.run(isNameRune)
	if method == "" {
		return r, false
	}
	p.cfws()
	if equalFold(method, "none") && (p.end() || p.s[p.i] == ';') {
		return r, true
	}
	if p.char('/') {
		p.cfws()
		if r.Version, ok = number(p.run(isDigit)); !ok {
			return r, false
		}
	}
	if !p.equals() {
		return r, false
	}
	p.comment = ""
	r.Method, r.Value = method, p.run(isNameRune)
	if r.Value == "" {
		return r, false
	}
	for p.cfws(); !p.end() && p.s[p.i] != ';'; p.cfws() {
		if !p.spec(&r) {
			return r, false
		}
		r.note(p)
	}
	r.note(p)
	return r, true
}

// note keeps the first comment.
func (r *Result) note(p *parser) {
	if r.Comment == "" {
		r.Comment = p.comment
	}
	p.comment = ""
}

// spec takes a reasonspec or a propspec.
func (p *parser) spec(r *Result) (ok bool) {
	r.note(p)
	prop := Property{Name: p.run(isNameRune)}
	if prop.Name == "" {
		return false
	}
	p.cfws()
	if p.char('.') {
		p.cfws()
		prop.Type, prop.Name = prop.Name, p.run(isNameRune)
	}
	if prop.Name == "" || !p.equals() {
		return false
	}
	if prop.Value, ok = p.pvalue(); !ok {
		return false
	}
	if prop.Type == "" && equalFold(prop.Name, "reason") {
		r.Reason = prop.Value
		return true
	}
	if len(r.Props) == MaxProps {
		return false
	}
	r.Props = append(r.Props, prop)
	return true
}

// isNameRune is isKeywordRune and the underscore, which the names that some servers make up have.
func isNameRune(r rune) bool { return r == '_' || isKeywordRune(r) }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func number(digits string) (int, bool) {
	n, err := strconv.ParseUint(digits, 10, 16)
	return int(n), err == nil
}

// equalFold compares as ASCII: a letter that only Unicode folds to another is another.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
