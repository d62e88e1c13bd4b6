package dmarc

import (
	"errors"
	"io"
	"mime"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// What [AuthorDomains] finds wrong.
var (
	// ErrNoAuthor: there is no From field, or no domain in it.
	ErrNoAuthor = errors.New("no author domain")
	// ErrManyFrom: the From field is there more than once.
	ErrManyFrom = errors.New("more than one From field")
	// ErrMalformedFrom: the From field can be read in more than one way, or cannot be read.
	ErrMalformedFrom = errors.New("malformed From field")
)

// AuthorDomains finds the domains in the values of a message's From fields (RFC 9989 §5.3.1): each once, in their
// order, in lower case with A-labels, 64 at most.
//
//	one domain, no error       what RFC 9989 wants; it may be of several addresses or of a group (RFC 6854)
//	several domains, no error  a well-formed field with addresses of several domains
//	domains and an error       ErrManyFrom or ErrMalformedFrom; the domains are all that a reader might take for the author's
//	no domain                  ErrNoAuthor, perhaps with one of the others
//
// The parser takes what people's programs write: comments and white space anywhere, source routes, semicolons for
// commas, names that should be quoted, addresses without angle brackets behind a name, UTF-8. What is in a quoted
// string, a comment or an encoded word is no address as long as there is another. Of fields that have more than [MaxFrom]
// octets together only those are read, and they count as malformed; that bounds time and memory.
func AuthorDomains(from ...string) ([]string, error) {
	var f finder
	left := MaxFrom
	for _, value := range from {
		if len(value) > left {
			f.malformed = true
			value = value[:strings.LastIndexAny(value[:left], " \t,;:<")+1] // no domain that is only part of one
			left = 0
		}
		left = max(0, left-len(value))
		f.field(value)
	}
	var errs []error
	if len(from) > 1 {
		errs = append(errs, fail("", ErrManyFrom))
	}
	if f.malformed {
		errs = append(errs, fail("", ErrMalformedFrom))
	}
	if len(f.domains) == 0 {
		errs = append(errs, fail("", ErrNoAuthor))
	}
	return f.domains, errors.Join(errs...)
}

// MaxFrom is how many octets of From fields are read.
const MaxFrom = 64 << 10

// maxDomains limits what AuthorDomains returns, lest a huge field cost much.
const maxDomains = 64

// finder collects the domains of From fields.
type finder struct {
	domains   []string
	malformed bool
}

func (f *finder) add(domain string) {
	name, ok := domainname.Identity(domain)
	if !ok {
		f.malformed = true
	} else if len(f.domains) < maxDomains && !slices.Contains(f.domains, name) {
		f.domains = append(f.domains, name)
	}
}

// field cuts a value at commas, semicolons and the colons behind group names, except within angle brackets.
func (f *finder) field(value string) {
	tokens, ok := tokenize(value)
	if !ok {
		f.malformed = true
	}
	before := len(f.domains)
	angle := false
	start := 0
	for i, t := range tokens {
		switch {
		case t.kind == '<':
			angle = true
		case t.kind == '>':
			angle = false
		case angle:
		case t.kind == ':':
			if hasAt(tokens[start:i]) { // no group name
				f.malformed = true
				f.item(tokens[start:i])
			}
			start = i + 1
		case t.kind == ',' || t.kind == ';':
			f.item(tokens[start:i])
			start = i + 1
		}
	}
	f.item(tokens[start:])
	if len(f.domains) == before {
		f.hidden(value, tokens)
	}
}

func index(tokens []token, kind byte) int {
	return slices.IndexFunc(tokens, func(t token) bool { return t.kind == kind })
}

func hasAt(tokens []token) bool { return index(tokens, '@') >= 0 }

// item takes one mailbox: an addr-spec, or anything with an address in angle brackets behind it. Another pair of angle
// brackets, or an "@" behind the first, can be read in more than one way; all of them count.
func (f *finder) item(tokens []token) {
	open := index(tokens, '<')
	if open < 0 {
		if hasAt(tokens) {
			f.addrSpec(tokens)
		}
		return
	}
	for open >= 0 {
		tokens = tokens[open+1:]
		end := index(tokens, '>')
		if end < 0 {
			f.malformed = true
			end = len(tokens)
		}
		f.route(tokens[:end])
		tokens = tokens[min(end+1, len(tokens)):]
		if open = index(tokens, '<'); open >= 0 {
			f.malformed = true
		}
	}
	if hasAt(tokens) {
		f.malformed = true
		f.addrSpec(tokens)
	}
}

// route takes what is in angle brackets: an addr-spec, perhaps behind a source route (obs-route, RFC 5322 §4.4).
func (f *finder) route(tokens []token) {
	first := slices.IndexFunc(tokens, func(t token) bool { return t.kind != ',' })
	if first >= 0 && tokens[first].kind == '@' {
		if colon := index(tokens, ':'); colon >= 0 {
			tokens = tokens[colon+1:]
		}
	}
	f.addrSpec(tokens)
}

// addrSpec takes local-part "@" domain. More than one "@" can be read in more than one way; all of them count.
func (f *finder) addrSpec(tokens []token) {
	ats := 0
	for i, t := range tokens {
		if t.kind != '@' {
			continue
		}
		if ats++; ats > 1 || i == 0 {
			f.malformed = true
		}
		f.domain(tokens[i+1:])
	}
	if ats == 0 && len(tokens) > 0 {
		f.malformed = true
	}
}

// domain takes atoms with dots between them. White space may stand around the dots (RFC 5322 §4.4), nothing else may
// follow.
func (f *finder) domain(tokens []token) {
	if len(tokens) == 1 && tokens[0].kind == 'l' { // an address literal has no domain name
		return
	}
	var b strings.Builder
	atom := false // the last token was one
	for _, t := range tokens {
		if t.kind == '.' {
			atom = false
		} else if t.kind == 'a' && !atom {
			atom = true
		} else {
			if t.kind != '@' || t.gap {
				f.malformed = true
			}
			break
		}
		b.WriteString(t.text)
	}
	f.add(b.String())
}

// hidden looks for addresses where there are none by the grammar but a mail reader may show some: in quoted strings and
// encoded words.
func (f *finder) hidden(value string, tokens []token) {
	texts := []string{value}
	for _, t := range tokens {
		if t.kind == 'q' {
			texts = append(texts, t.text)
		}
	}
	words := mime.WordDecoder{CharsetReader: func(_ string, input io.Reader) (io.Reader, error) {
		return input, nil // nearly all have ASCII within them
	}}
	for _, text := range texts {
		if decoded, err := words.DecodeHeader(text); err == nil {
			text = decoded
		}
		for _, behind := range strings.Split(text, "@")[1:] {
			end := strings.IndexFunc(behind, func(r rune) bool {
				return r < 0x80 && r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
			})
			if end < 0 {
				end = len(behind)
			}
			if name, ok := domainname.Identity(behind[:end]); ok {
				f.malformed = true
				f.add(name)
			}
		}
	}
}
