package dnsbl

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Codes is a set of return codes, the addresses with which a list says what it lists something for: for each of the four
// octets the values that it may have. The zero value is all of 127.0.0.0/8 but 127.0.0.1, which some lists give for
// queries that they refuse. Codes in 127.255.255.0/24 say that a query was refused and are in no set. Codes can be compared.
type Codes struct{ octets [4]octets }

// octets is a set of values of an octet, one bit each.
type octets [4]uint64

func (o *octets) add(v int)      { o[v/64] |= 1 << (v % 64) }
func (o *octets) has(v int) bool { return o[v/64]&(1<<(v%64)) != 0 }

// refused says whether a code tells that the list does not answer our queries: 127.255.255.0/24 is for that, and what else it
// means is nowhere said.
func refused(code netip.Addr) bool {
	a := code.As4()
	return a[0] == 127 && a[1] == 255 && a[2] == 255
}

// ParseCodes reads a filter of Postfix's postscreen_dnsbl_sites: four octets with dots between them, each a number or a
// pattern in brackets of numbers and ranges: "127.0.[0..3].[2;10..14]". An item "&6" in brackets stands for all values that
// have one of these bits, for lists that encode sublists so (RFC 5782 §2.3). An error is a [*SyntaxError].
func ParseCodes(text string) (Codes, error) {
	p := parser{text: text}
	codes, err := p.codes()
	if err == nil && p.at < len(text) {
		err = p.fail("the filter should end here")
	}
	return codes, err
}

// Has says whether the code is in the set.
func (c Codes) Has(code netip.Addr) bool {
	if !code.Is4() || refused(code) {
		return false
	}
	a := code.As4()
	if c == (Codes{}) {
		return a[0] == 127 && a != [4]byte{127, 0, 0, 1} // RFC 5782 §2.3
	}
	for i, v := range a {
		if !c.octets[i].has(int(v)) {
			return false
		}
	}
	return true
}

// String is what ParseCodes reads, in the shortest form; empty for the zero value.
func (c Codes) String() string {
	if c == (Codes{}) {
		return ""
	}
	var parts [4]string
	for i := range c.octets {
		parts[i] = c.octets[i].String()
	}
	return strings.Join(parts[:], ".")
}

// MarshalText gives String, for JSON and the like.
func (c Codes) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String is a number or a pattern in brackets.
func (o octets) String() string {
	var items []string
	single := -1
	for v := 0; v < 256; v++ {
		if !o.has(v) {
			continue
		}
		first := v
		for v < 255 && o.has(v+1) {
			v++
		}
		if first == v {
			single = v
			items = append(items, strconv.Itoa(v))
		} else {
			items = append(items, fmt.Sprintf("%d..%d", first, v))
		}
	}
	if len(items) == 1 && single >= 0 {
		return items[0]
	}
	if mask := o.mask(); mask != 0 && len(items) > 1 {
		return fmt.Sprintf("[&%d]", mask)
	}
	return "[" + strings.Join(items, ";") + "]"
}

// mask is that of which the set has all values with one of its bits, or 0.
func (o octets) mask() int {
	mask := 0
	for bit := 1; bit < 256; bit <<= 1 {
		if o.has(bit) {
			mask |= bit
		}
	}
	var all octets
	all.addMask(mask)
	if all != o {
		return 0
	}
	return mask
}

// addMask adds the values that have one of the mask's bits.
func (o *octets) addMask(mask int) {
	for v := range 256 {
		if v&mask != 0 {
			o.add(v)
		}
	}
}
