package dnsbl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// Limits of lists.
const (
	// MaxLists is how many lists a Checker takes.
	MaxLists = 100
	// MaxWeight is the most that a list may weigh, in either direction.
	MaxWeight = 1_000_000
	// MaxZone is the longest zone in octets: an IPv6 address of 64 octets must fit in front of it.
	MaxZone = domainname.MaxName - 64
	// MaxName is the longest Name of a list in octets.
	MaxName = 100
)

// Kind says what a list is asked about, as a set of bits.
type Kind uint8

// The kinds. Client is for lists of addresses (RFC 5782 §2), the others are for lists of domain names (RFC 5782 §3).
const (
	Client      Kind = 1 << iota // the client's address
	Hello                        // the name of EHLO or HELO
	ReverseName                  // the client's confirmed host name: [smtpd.Session].ReverseName, if a check has set it
	Sender                       // the domain of the reverse-path

	names = Hello | ReverseName | Sender
)

// kindWords are the words for kinds in the text of a list.
var kindWords = [...]string{"client", "helo", "reverse", "sender"}

// noTestWord is the word for NoTestEntry.
const noTestWord = "untested"

// String has the words of the kinds with "+" between them.
func (k Kind) String() string {
	var words []string
	for i, word := range kindWords {
		if k&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, "+")
}

// MarshalText gives String, for JSON and the like.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// List is a block list, or an allow list if its weight is negative. Lists can be compared.
type List struct {
	// Zone is the domain under which the list is found, such as "zen.spamhaus.org".
	Zone string
	// Name is what peers, logs and Status are told instead of Zone, which may hold a key that is nobody's business: letters,
	// digits, ".", "-" and "_". Empty: Zone.
	Name string
	// For is what it is asked about; 0: Client.
	For Kind
	// Codes are the return codes that count; others do not. The zero value is good for lists that have but one meaning.
	Codes Codes
	// Weight is what a listing adds to the score, once however many codes or names match; 0: 1.
	Weight int
	// NoTestEntry says that the list lacks the test entry of RFC 5782 §5, so that it cannot be found out when it has become
	// empty; that it does not list everything is tested all the same.
	NoTestEntry bool
}

// label is the name by which the list is known outside: Name or else Zone.
func (l List) label() string {
	if l.Name != "" {
		return l.Name
	}
	return l.Zone
}

// String is what [ParseList] reads.
func (l List) String() string {
	l = l.withDefaults()
	var b strings.Builder
	if l.For != Client || l.NoTestEntry {
		b.WriteString(l.For.String())
		if l.NoTestEntry {
			b.WriteString("+" + noTestWord)
		}
		b.WriteByte(':')
	}
	if l.Name != "" {
		b.WriteString(l.Name + "@")
	}
	b.WriteString(l.Zone)
	if codes := l.Codes.String(); codes != "" {
		b.WriteString("=" + codes)
	}
	if l.Weight != 1 {
		b.WriteString("*" + strconv.Itoa(l.Weight))
	}
	return b.String()
}

func (l List) withDefaults() List {
	if l.For == 0 {
		l.For = Client
	}
	if l.Weight == 0 {
		l.Weight = 1
	}
	return l
}

// checked is the list with its defaults and its zone in the form in which it is asked for, or why it is none.
func (l List) checked() (List, error) {
	l = l.withDefaults()
	var err error
	if l.Zone, err = zoneForm(l.Zone); err != nil {
		return l, err
	}
	switch {
	case l.For&^(Client|names) != 0:
		return l, fmt.Errorf("unknown kind %#x", uint8(l.For))
	case l.Name != "" && !validName(l.Name):
		return l, fmt.Errorf("a name has 1 to %d letters, digits, dots, hyphens and underscores", MaxName)
	case l.Weight > MaxWeight || l.Weight < -MaxWeight:
		return l, fmt.Errorf("a weight is at most %d", MaxWeight)
	}
	return l, nil
}

// zoneForm checks a zone.
func zoneForm(zone string) (string, error) {
	form, ok := domainname.Identity(zone)
	switch {
	case !ok:
		return "", errors.New("the zone is not a domain name")
	case len(form) > MaxZone:
		return "", fmt.Errorf("the zone is longer than %d octets", MaxZone)
	case allDigits(domainname.TopLabel(form)):
		return "", errors.New("the zone ends in a number")
	}
	return form, nil
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// validName says whether Name may be so.
func validName(name string) bool {
	return len(name) > 0 && len(name) <= MaxName && nameEnd(name) == len(name)
}

// nameEnd is the length of what name begins with that may be in a Name.
func nameEnd(name string) int {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return i
		}
	}
	return len(name)
}
