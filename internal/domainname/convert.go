package domainname

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of what is looked at in octets. A character takes at most four of them in UTF-8, and a label cannot have more
// characters than its A-label has octets, but for those that mapping drops or composes.
const (
	maxText      = utf8.UTFMax * MaxName
	maxLabelText = utf8.UTFMax * MaxLabel
)

// lookup converts one label.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false))

// content says what a name holds beside lower-case letters, digits, "-" and the dots between labels of fitting lengths.
type content uint8

const (
	upper content = 1 << iota
	underscore
	printable // any other octet from space to "~"
	foreign   // octets beyond ASCII
	unfit     // control characters
	misfit    // a label or the name is empty or too long
)

// canonical gives the form of a name that holds nothing but what is allowed. It allocates only when that form is new.
func canonical(name string, allowed content) (string, bool) {
	if len(name) > maxText {
		return "", false
	}
	name = trimDot(name)
	held := inspect(name)
	if held&foreign != 0 {
		var ok bool
		if name, ok = toASCII(name); !ok {
			return "", false
		}
		held = inspect(name)
	}
	if held&^(allowed|upper) != 0 {
		return "", false
	}
	if held&upper != 0 {
		name = strings.ToLower(name)
	}
	return name, true
}

// inspect looks at each octet once.
func inspect(name string) content {
	var held content
	if len(name) > MaxName {
		held = misfit
	}
	start := 0 // of the label
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		case c == '.':
			if i == start || i-start > MaxLabel {
				held |= misfit
			}
			start = i + 1
		case 'A' <= c && c <= 'Z':
			held |= upper
		case c == '_':
			held |= underscore
		case c >= utf8.RuneSelf:
			held |= foreign
		case ' ' <= c && c <= '~':
			held |= printable
		default:
			held |= unfit
		}
	}
	if len(name) == start || len(name)-start > MaxLabel {
		held |= misfit
	}
	return held
}

// toASCII converts the labels that are not ASCII. What it gives is still to be inspected.
func toASCII(name string) (string, bool) {
	if !utf8.ValidString(name) {
		return "", false
	}
	ascii := make([]byte, 0, MaxName+1)
	for more := true; more; {
		var label string
		label, name, more = cutLabel(name)
		if !isASCII(label) {
			if len(label) > maxLabelText {
				return "", false
			}
			a, err := lookup.ToASCII(label)
			if err != nil || strings.Contains(a, ".") { // it had characters that stand for a dot and others
				return "", false
			}
			label = a
		}
		if len(ascii)+len(label) > MaxName {
			return "", false
		}
		ascii = append(ascii, label...)
		if more {
			ascii = append(ascii, '.')
		}
	}
	return string(ascii), true
}

// cutLabel cuts the first label of a name and the dot behind it off. more says whether there was a dot.
func cutLabel(name string) (label, rest string, more bool) {
	i := strings.IndexFunc(name, isDot)
	if i < 0 {
		return name, "", false
	}
	_, size := utf8.DecodeRuneInString(name[i:])
	return name[:i], name[i+size:], true
}

// trimDot removes one final dot, which stands for the root (RFC 1034 §3.1).
func trimDot(name string) string {
	if r, size := utf8.DecodeLastRuneInString(name); isDot(r) {
		return name[:len(name)-size]
	}
	return name
}

// isDot knows the dots of RFC 3490 §3.1, which people type.
func isDot(r rune) bool {
	return r == '.' || r == '\u3002' || r == '\uff0e' || r == '\uff61'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// letDig says whether no label of a name has a "-" at an end.
func letDig(name string) bool {
	for i := range len(name) {
		if name[i] == '-' && (i == 0 || name[i-1] == '.' || i+1 == len(name) || name[i+1] == '.') {
			return false
		}
	}
	return true
}
