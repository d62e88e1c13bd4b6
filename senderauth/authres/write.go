package authres

import (
	"cmp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

const (
	foldAt   = 78  // RFC 5322 §2.1.1
	maxValue = 256 // octets of one value or comment; twice as many when all of it is escaped
)

// String is the field's value, folded with CRLF and TAB, one result a line or more, without the field's name and its
// last line end. Names lose what is no letter, digit or hyphen; values are quoted where they must be, cut where they are
// too long, and have "?" for what no field may hold, as for an empty ServID.
func (f Field) String() string {
	w := writer{col: len(Name) + 2}
	w.Grow(64 * (1 + len(f.Results)))
	w.word(word(cmp.Or(f.ServID, "?")))
	written := 0
	for _, r := range f.Results {
		if keyword(r.Method) == "" || keyword(r.Value) == "" {
			continue
		}
		w.WriteByte(';')
		w.line()
		w.result(r)
		written++
	}
	if written == 0 {
		w.WriteByte(';')
		w.line()
		w.word("none")
	}
	return w.String()
}

// writer puts words on lines.
type writer struct {
	strings.Builder
	col   int
	fresh bool // at the beginning of a line
}

func (w *writer) line() {
	w.WriteString("\r\n\t")
	w.col, w.fresh = 8, true
}

// word appends what must not be broken, on another line where it does not fit.
func (w *writer) word(text string) {
	width := utf8.RuneCountInString(text)
	switch {
	case w.Len() == 0 || w.fresh:
	case w.col+1+width+1 > foldAt: // a semicolon may follow
		w.line()
	default:
		w.WriteByte(' ')
		w.col++
	}
	w.WriteString(text)
	w.col, w.fresh = w.col+width, false
}

func (w *writer) result(r Result) {
	method := keyword(r.Method)
	if r.Version > 0 {
		method += "/" + strconv.Itoa(r.Version)
	}
	w.word(method + "=" + keyword(r.Value))
	if comment := singleSpaces(clean(r.Comment)); comment != "" {
		w.comment(comment)
	}
	if r.Reason != "" {
		w.word("reason=" + fieldtext.Quote(clean(r.Reason)))
	}
	for _, p := range r.Props {
		if ptype, name := keyword(p.Type), keyword(p.Name); ptype != "" && name != "" {
			w.word(ptype + "." + name + "=" + value(p.Value))
		}
	}
}

func (w *writer) comment(text string) {
	for word := range strings.SplitSeq(fieldtext.Comment(text), " ") {
		w.word(word)
	}
}

// word is a value of RFC 2045 §5.1: a token as it is, and everything else quoted.
func word(s string) string {
	if s = clean(s); fieldtext.IsToken(s) {
		return s
	}
	return fieldtext.Quote(s)
}

// value is a pvalue (RFC 8601 §2.2): an address or a domain name with an "@" in front keeps its form, with a quoted local
// part where it needs one.
func value(s string) string {
	s = clean(s)
	at := strings.LastIndexByte(s, '@')
	if at < 0 || !fieldtext.IsToken(s[at+1:]) {
		return word(s)
	}
	if local := s[:at]; local != "" && !isDotAtom(local) {
		return fieldtext.Quote(local) + s[at:]
	}
	return s
}

// isDotAtom: RFC 5322 §3.2.3, with UTF-8.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			return r < 0x80 && !unicode.IsLetter(r) && !unicode.IsDigit(r) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", byte(r)) < 0
		}) {
			return false
		}
	}
	return true
}

// keyword leaves of s what a Keyword may have (RFC 5321 §4.1.2).
func keyword(s string) string {
	s = s[:min(len(s), maxValue)]
	if strings.IndexFunc(s, func(r rune) bool { return !isKeywordRune(r) }) >= 0 {
		s = strings.Map(func(r rune) rune {
			if isKeywordRune(r) {
				return r
			}
			return -1
		}, s)
	}
	return strings.Trim(s, "-")
}

func isKeywordRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-'
}

func clean(s string) string { return fieldtext.Clean(s, maxValue) }
