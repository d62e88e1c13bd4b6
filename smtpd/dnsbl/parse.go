package dnsbl

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

// SyntaxError says what is wrong with the text of a list, and where.
type SyntaxError struct {
	// Text is what was read.
	Text string
	// Offset is where in Text the fault is, in octets from 0.
	Offset int
	// Problem says what it is.
	Problem string
}

// maxErrorText is how many octets of what was read an error shows.
const maxErrorText = 100

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("dnsbl: in %q at offset %d: %s", fieldtext.Clean(e.Text, maxErrorText), e.Offset, e.Problem)
}

// ParseList reads an item of Postfix's postscreen_dnsbl_sites, with two additions in front:
//
//	[kinds ":"] [name "@"] zone ["=" codes] ["*" weight]
//
// As there, codes are those that count (see [ParseCodes]) and weight is a whole number other than 0, negative for allow lists
// and 1 when it is left out: "zen.spamhaus.org=127.0.0.[2..11]*3". The kinds are words with "+" between them: client (which
// is meant when there are none), helo, reverse and sender; the further word untested sets NoTestEntry:
// "helo+sender:dbl.spamhaus.org=127.0.1.[2..99]". The name is for those from whom the zone is to be kept:
// "spamhaus@key.zen.dq.spamhaus.net". An error is a [*SyntaxError].
func ParseList(text string) (List, error) {
	p := parser{text: text}
	return p.list()
}

// ParseLists reads lists with white space or commas between them, as they stand in Postfix's configuration. An error is a
// [*SyntaxError] whose Text is text.
func ParseLists(text string) ([]List, error) {
	var lists []List
	separator := func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }
	for at := 0; at < len(text); {
		end := strings.IndexFunc(text[at:], separator)
		if end < 0 {
			end = len(text) - at
		}
		if end > 0 {
			l, err := ParseList(text[at : at+end])
			if e, ok := err.(*SyntaxError); ok {
				return nil, &SyntaxError{Text: text, Offset: at + e.Offset, Problem: e.Problem}
			}
			lists = append(lists, l)
		}
		at += end + 1
	}
	return lists, nil
}

// parser reads text from at on.
type parser struct {
	text string
	at   int
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{Text: p.text, Offset: p.at, Problem: fmt.Sprintf(format, args...)}
}

// until cuts what stands before the next of the stops, or the rest. It does not go on behind it.
func (p *parser) until(stops string) string {
	rest := p.text[p.at:]
	if end := strings.IndexAny(rest, stops); end >= 0 {
		return rest[:end]
	}
	return rest
}

// next goes on behind c, if it stands here.
func (p *parser) next(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) list() (l List, err error) {
	if strings.Contains(p.text, ":") {
		if err := p.kinds(&l); err != nil {
			return List{}, err
		}
	}
	l = l.withDefaults()
	for _, step := range []func(*List) error{p.name, p.zone, p.filter, p.weight} {
		if err := step(&l); err != nil {
			return List{}, err
		}
	}
	if p.at < len(p.text) {
		return List{}, p.fail("the list should end here")
	}
	return l, nil
}

// kinds reads the words and their colon.
func (p *parser) kinds(l *List) error {
	for {
		word := p.until("+:")
		kind := slices.Index(kindWords[:], word)
		switch {
		case word == noTestWord && !l.NoTestEntry:
			l.NoTestEntry = true
		case kind >= 0 && l.For&(1<<kind) == 0:
			l.For |= 1 << kind
		case kind >= 0 || word == noTestWord:
			return p.fail("%s stands here twice", word)
		default:
			return p.fail("want one of the words %s, %s", strings.Join(kindWords[:], ", "), noTestWord)
		}
		p.at += len(word)
		if p.next(':') {
			return nil
		}
		p.at++ // a plus
	}
}

// name reads the name and its "@", if there is one.
func (p *parser) name(l *List) error {
	name := p.until("@")
	if p.at+len(name) == len(p.text) {
		return nil
	}
	switch end := nameEnd(name); {
	case end < len(name):
		p.at += end
		return p.fail("a name has only letters, digits, dots, hyphens and underscores")
	case name == "":
		return p.fail("want a name")
	case len(name) > MaxName:
		p.at += MaxName
		return p.fail("the name is longer than %d octets", MaxName)
	}
	l.Name = name
	p.at += len(name) + 1
	return nil
}

func (p *parser) zone(l *List) (err error) {
	zone := p.until("=*")
	if zone == "" {
		return p.fail("want a zone")
	}
	if l.Zone, err = zoneForm(zone); err != nil {
		p.at += zoneEnd(zone)
		return p.fail("%v", err)
	}
	p.at += len(zone)
	return nil
}

// zoneEnd is where the first octet stands that can be in no zone; 0 if there is none.
func zoneEnd(zone string) int {
	for i := range len(zone) {
		if zone[i] < utf8.RuneSelf && nameEnd(zone[i:i+1]) == 0 {
			return i
		}
	}
	return 0
}

func (p *parser) filter(l *List) (err error) {
	if p.next('=') {
		l.Codes, err = p.codes()
	}
	return err
}

func (p *parser) weight(l *List) error {
	if !p.next('*') {
		return nil
	}
	sign := 1
	if p.next('-') {
		sign = -1
	}
	start := p.at
	weight, err := p.number("weight", MaxWeight)
	if err != nil {
		return err
	}
	if weight == 0 {
		p.at = start
		return p.fail("a weight is not 0")
	}
	l.Weight = sign * weight
	return nil
}

// codes reads four octets.
func (p *parser) codes() (c Codes, err error) {
	for i := range c.octets {
		if i > 0 && !p.next('.') {
			return Codes{}, p.fail("want a dot")
		}
		if err := p.octet(&c.octets[i]); err != nil {
			return Codes{}, err
		}
	}
	return c, nil
}

// octet reads a number, or a pattern in brackets.
func (p *parser) octet(o *octets) error {
	if !p.next('[') {
		v, err := p.number("octet", 255)
		if err == nil {
			o.add(v)
		}
		return err
	}
	for {
		if err := p.item(o); err != nil {
			return err
		}
		if p.next(']') {
			return nil
		}
		if !p.next(';') {
			return p.fail("want a semicolon or a closing bracket")
		}
	}
}

// item reads a number, a range or a mask.
func (p *parser) item(o *octets) error {
	start := p.at
	if p.next('&') {
		mask, err := p.number("octet", 255)
		if err == nil && mask == 0 {
			p.at = start
			err = p.fail("a mask has one bit at least")
		}
		if err == nil {
			o.addMask(mask)
		}
		return err
	}
	first, err := p.number("octet", 255)
	if err != nil {
		return err
	}
	last := first
	if p.next('.') {
		if !p.next('.') {
			return p.fail("a range has two dots")
		}
		start := p.at
		if last, err = p.number("octet", 255); err != nil {
			return err
		}
		if last < first {
			p.at = start
			return p.fail("the range ends before it begins")
		}
	}
	for v := first; v <= last; v++ {
		o.add(v)
	}
	return nil
}

// number reads decimal digits without leading zeros, which elsewhere are octal.
func (p *parser) number(what string, most int) (int, error) {
	start, v := p.at, 0
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		v = v*10 + int(p.text[p.at]-'0')
		p.at++
		if v > most {
			p.at = start
			return 0, p.fail("%s above %d", what, most)
		}
	}
	if p.at == start {
		return 0, p.fail("want a number")
	}
	if p.text[start] == '0' && p.at > start+1 {
		p.at = start
		return 0, p.fail("a number does not begin with 0")
	}
	return v, nil
}
