package mimeindex

import (
	"iter"
	"strings"
)

// AddressKind says what an [Address] stands for.
type AddressKind int

// IMAP marks groups (RFC 5322 §3.4) by two addresses that are none (RFC 3501 §7.4.2).
const (
	// Mailbox is an address.
	Mailbox AddressKind = iota
	// GroupStart has the name of the group that starts in Mailbox.
	GroupStart
	// GroupEnd ends it.
	GroupEnd
)

// Address is one entry of an address list. Encoded words and quoted strings in it are not decoded, but quotes and
// backslashes that only protect are gone.
type Address struct {
	Kind AddressKind
	// Name is the display name, or a comment in its place; empty if there is neither.
	Name string
	// Route is the obsolete source route, "@a,@b" (RFC 5322 §4.4).
	Route string
	// Mailbox is the local part and Host the domain. Either is empty if the message did not say.
	Mailbox, Host string
}

// AddressList are the values of address fields of one name, unfolded, in their order.
type AddressList []string

// All goes through the addresses. It finds as many as it can: lists with empty elements or semicolons between, names
// that lack quotes, addresses that lack brackets or domain.
func (list AddressList) All() iter.Seq[Address] {
	return func(yield func(Address) bool) {
		for _, value := range list {
			p := addressParser{lexer: lexer{s: value}}
			if !p.list(yield) {
				return
			}
		}
	}
}

// empty says whether the list has no address at all.
func (list AddressList) empty() bool {
	for range list.All() {
		return false
	}
	return true
}

// addressParser reads an address list (RFC 5322 §3.4, §4.4).
type addressParser struct {
	lexer
	inGroup bool
	words   []word
	note    string // last comment of the address in hand
}

// word is an atom, a dot, an encoded word or a quoted string. spaced says that blanks or a comment stand before it.
type word struct {
	text   string
	spaced bool
}

func (p *addressParser) list(yield func(Address) bool) bool {
	for {
		p.words, p.note = p.words[:0], ""
		p.phrase()
		switch c := p.peek(); {
		case c == 0 && p.done():
			return p.bare(yield) && p.endGroup(yield)
		case c == ':' && !p.inGroup:
			p.i++
			p.inGroup = true
			if !yield(Address{Kind: GroupStart, Mailbox: p.name()}) {
				return false
			}
		case c == '@' || c == '<':
			if !yield(p.mailbox()) {
				return false
			}
		case c == ';':
			p.i++
			if !p.bare(yield) || !p.endGroup(yield) {
				return false
			}
		default: // a comma, or what stands where nothing should
			p.i++
			if !p.bare(yield) {
				return false
			}
		}
	}
}

func (p *addressParser) endGroup(yield func(Address) bool) bool {
	if !p.inGroup {
		return true
	}
	p.inGroup = false
	return yield(Address{Kind: GroupEnd})
}

// bare is an element of words only: one is a local part without domain (root), several are a name without address.
func (p *addressParser) bare(yield func(Address) bool) bool {
	switch {
	case len(p.words) == 0:
		return true
	case strings.Contains(p.name(), " ") && len(p.words) > 1:
		return yield(Address{Name: p.name()})
	}
	return yield(Address{Name: p.note, Mailbox: p.name()})
}

// phrase collects words up to what ends them: the end, or one of < > @ , : ; ) as the next octet.
func (p *addressParser) phrase() {
	for {
		before := p.i
		if note, ok := p.skipCFWS(); ok && note != "" {
			p.note = note
		}
		spaced := p.i > before
		text, ok := p.word()
		if !ok {
			return
		}
		p.words = append(p.words, word{text: text, spaced: spaced && len(p.words) > 0})
	}
}

// word takes the next word. A quote without its end is passed over.
func (p *addressParser) word() (string, bool) {
	if p.peek() == '"' {
		if text, ok := p.quoted(); ok {
			return text, true
		}
		p.i++
	}
	if strings.HasPrefix(p.s[p.i:], "=?") {
		if n := encodedWordLength(p.s[p.i:]); n > 0 {
			p.i += n
			return p.s[p.i-n : p.i], true
		}
	}
	text := p.until(endOfAtom)
	return text, text != ""
}

// encodedWordLength is the length of the encoded word that s starts with, 0 if there is none. Senders leave characters
// in it that structured fields forbid (RFC 2047 §5), such as comma and at sign.
func encodedWordLength(s string) int {
	n := 2
	for range 2 { // character set and encoding
		i := strings.IndexByte(s[n:], '?')
		if i <= 0 || strings.ContainsAny(s[n:n+i], " \t\r\n") {
			return 0
		}
		n += i + 1
	}
	i := strings.IndexByte(s[n:], '?')
	if i < 0 || !strings.HasPrefix(s[n+i:], "?=") || strings.ContainsAny(s[n:n+i], " \t\r\n") {
		return 0
	}
	return n + i + 2
}

// name joins the words to a display name.
func (p *addressParser) name() string {
	if len(p.words) == 1 {
		return p.words[0].text
	}
	var b strings.Builder
	for _, w := range p.words {
		if w.spaced {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return strings.TrimSpace(b.String())
}

// mailbox reads what goes on behind the words with < or @, up to the comma or semicolon behind it.
func (p *addressParser) mailbox() Address {
	var a Address
	if p.peek() == '@' {
		a = p.addrSpec()
		if p.skipNote(); p.peek() != '<' {
			return p.noted(a)
		}
		p.words = append(p.words[:0], word{text: a.Mailbox + "@" + a.Host}) // a@b <a@b>: a name that lacks its quotes
	}
	name := p.name()
	a = p.angle()
	a.Name = name
	p.skipNote()
	return p.noted(a)
}

func (p *addressParser) skipNote() {
	if note, ok := p.skipCFWS(); ok && note != "" {
		p.note = note
	}
}

// noted ends an address: a comment becomes its name if it has none, and what stands behind it is passed over.
func (p *addressParser) noted(a Address) Address {
	if a.Name == "" {
		a.Name = p.note
	}
	for !p.done() && p.peek() != ',' && p.peek() != ';' {
		if _, ok := p.word(); !ok {
			if p.peek() == '(' || isSpace(p.peek()) {
				p.skipCFWS()
			} else if !p.done() && p.peek() != ',' && p.peek() != ';' {
				p.i++
			}
		}
	}
	p.accept(',')
	return a
}

// addrSpec reads an address without brackets, whose words up to the at sign have been read: the last of them is the
// local part, what stands before is a name.
func (p *addressParser) addrSpec() Address {
	first := len(p.words)
	for first > 0 {
		first--
		joint := first > 0 && (strings.HasPrefix(p.words[first].text, ".") || strings.HasSuffix(p.words[first-1].text, "."))
		if p.words[first].spaced && !joint { // RFC 5322 §4.4: blanks around dots are no break
			break
		}
	}
	a := Address{Mailbox: joinTight(p.words[first:])}
	p.words = p.words[:first]
	a.Name = p.name()
	p.i++
	a.Host = p.domain()
	return a
}

func joinTight(words []word) string {
	if len(words) == 1 {
		return words[0].text
	}
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w.text)
	}
	return b.String()
}

// angle reads an address in brackets, of which the closing one may be missing.
func (p *addressParser) angle() Address {
	for p.accept('<') { // several are one too many
	}
	var a Address
	p.skipCFWS()
	if p.peek() == '@' {
		a.Route = p.route()
	}
	p.words = p.words[:0]
	p.phrase()
	if p.peek() == ':' { // <mailto:a@b>
		p.i++
		p.words = p.words[:0]
		p.phrase()
	}
	a.Mailbox = joinTight(p.words)
	if p.accept('@') {
		a.Host = p.domain()
	}
	for !p.done() && p.peek() != ',' && p.peek() != ';' {
		if p.accept('>') {
			break
		}
		p.i++
	}
	return a
}

// maxRoute is how long a source route may be; looking further for its end would take quadratic time.
const maxRoute = 1000

// route takes @a,@b: in front of an address; without the colon it is none.
func (p *addressParser) route() string {
	rest := p.s[p.i:min(len(p.s), p.i+maxRoute)]
	end := strings.IndexAny(rest, ":>")
	if end < 0 || rest[end] == '>' {
		return ""
	}
	p.i += end + 1
	return strings.TrimRight(rest[:end], " \t")
}

// endOfAtom are the octets that no atom has, for one that is as tolerant as can be.
const endOfAtom = " \t\r\n\"(<>@,:;)"

// domain takes a domain or a domain literal, with the blanks that RFC 5322 §4.4 allows around dots left out.
func (p *addressParser) domain() string {
	p.skipNote()
	if p.peek() == '[' {
		literal := p.until("]")
		if p.accept(']') {
			literal += "]"
		}
		return literal
	}
	first := p.until(endOfAtom)
	domain := []byte(first)
	for {
		p.skipNote()
		dotted := len(domain) > 0 && domain[len(domain)-1] == '.'
		if p.peek() != '.' && !dotted {
			break
		}
		more := p.until(endOfAtom)
		if more == "" {
			break
		}
		domain = append(domain, more...)
	}
	return string(domain)
}
