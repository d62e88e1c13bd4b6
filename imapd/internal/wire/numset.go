package wire

import (
	"cmp"
	"slices"
	"strconv"
)

// Range is first:last of a sequence set, in no order; 0 stands for "*".
type Range struct{ First, Last uint32 }

// NumSet is a sequence set (RFC 3501 §9), as written.
type NumSet []Range

// Resolve gives the set with "*" being max: ascending, without overlaps. "*" alone, or as an end, names max (RFC 3501
// §9: seq-range); where max is 0, it names nothing.
func (s NumSet) Resolve(max uint32) NumSet {
	out := make(NumSet, 0, len(s))
	for _, r := range s {
		star := func(n uint32) uint32 {
			if n == 0 {
				return max
			}
			return n
		}
		r = Range{star(r.First), star(r.Last)}
		if r.First > r.Last {
			r.First, r.Last = r.Last, r.First
		}
		if r.First > 0 {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	return out.merged()
}

// merged joins ranges that overlap or touch, of a set in ascending order.
func (s NumSet) merged() NumSet {
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && (r.First <= out[n-1].Last || r.First == out[n-1].Last+1) {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Max is the largest number in a set; star says whether "*" is in it.
func (s NumSet) Max() (n uint32, star bool) {
	for _, r := range s {
		n = max(n, r.First, r.Last)
		star = star || r.First == 0 || r.Last == 0
	}
	return n, star
}

// Contains says whether n is in a resolved set.
func (s NumSet) Contains(n uint32) bool {
	i, _ := slices.BinarySearchFunc(s, n, func(r Range, n uint32) int { return cmp.Compare(r.Last, n) })
	return i < len(s) && s[i].First <= n
}

// Add puts n, which is larger than all before, at the end of a resolved set.
func (s *NumSet) Add(n uint32) {
	if last := len(*s) - 1; last >= 0 && (*s)[last].Last+1 == n {
		(*s)[last].Last = n
		return
	}
	*s = append(*s, Range{n, n})
}

// Append writes a set to b in the form of the grammar.
func (s NumSet) Append(b []byte) []byte {
	for i, r := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSeqNumber(b, r.First)
		if r.Last != r.First {
			b = append(b, ':')
			b = appendSeqNumber(b, r.Last)
		}
	}
	return b
}

func appendSeqNumber(b []byte, n uint32) []byte {
	if n == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// NumSet is a sequence set.
func (d *Decoder) NumSet(set *NumSet) bool {
	var out NumSet
	for {
		var r Range
		if !d.seqNumber(&r.First) {
			return false
		}
		r.Last = r.First
		if d.Accept(':') && !d.seqNumber(&r.Last) {
			return false
		}
		out = append(out, r)
		if !d.Accept(',') {
			*set = out
			return d.err == nil
		}
	}
}

// HasNumSet says whether a sequence set can start here.
func (d *Decoder) HasNumSet() bool {
	c := d.peek()
	return c == '*' || c >= '0' && c <= '9'
}

func (d *Decoder) seqNumber(n *uint32) bool {
	if d.Accept('*') {
		*n = 0
		return true
	}
	if !d.Number(n) {
		return false
	}
	if *n == 0 {
		return d.Fail("0 is no message number")
	}
	return true
}
