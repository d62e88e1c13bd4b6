package wire

import "math/bits"

// canonicalizer is one canonicalization of a body on its way into one hash (RFC 6376 §3.4.3, §3.4.4).
//
// Most of a body is its own canonical form, so the work is to find the places where it is not. Between two octets of
// text there is a gap of octets that may have to change: line ends and, when relaxed, blanks. marks.go finds those that
// do at the speed of memory, and all between them is hashed as it stands.
type canonicalizer struct {
	sink
	relaxed bool
	edge    [256]bool // octets of gaps

	// What the gap that was read last comes to. It is not written before text follows, as line ends at the end of the
	// body and blanks at the end of a line are ignored.
	lineEnds int64
	blanks   bool // behind the line ends
	cr       bool // behind both: the last octet was a CR and may belong to a line end

	marks [blockSize / 64]uint64
}

// blockSize is how many octets are looked through before they are hashed: what a processor's nearest cache holds.
const blockSize = 8192

var (
	lineEnd = []byte("\r\n")
	space   = []byte(" ")
)

func newCanonicalizer(relaxed bool) *canonicalizer {
	c := &canonicalizer{sink: newSink(), relaxed: relaxed}
	c.edge['\r'], c.edge['\n'] = true, true
	c.edge[' '], c.edge['\t'] = relaxed, relaxed
	return c
}

func (c *canonicalizer) write(p []byte) {
	p = p[c.gap(p):]
	end := len(p)
	for end > 0 && c.edge[p[end-1]] {
		end--
	}
	if end > 0 {
		c.text(p[:end])
	}
	c.gap(p[end:])
}

// gap reads p up to the first octet of text, which it does not take.
func (c *canonicalizer) gap(p []byte) int {
	for i, octet := range p {
		if c.cr && octet != '\n' { // a bare CR is text
			c.open()
			c.emit(lineEnd[:1])
		}
		c.cr = false
		switch {
		case octet == '\n':
			c.lineEnds++
			c.blanks = false
		case octet == '\r':
			c.cr = true
		case c.edge[octet]:
			c.blanks = true
		default:
			return i
		}
	}
	return len(p)
}

// open writes the gap, now that text follows.
func (c *canonicalizer) open() {
	for ; c.lineEnds > 0; c.lineEnds-- {
		c.emit(lineEnd)
	}
	if c.blanks {
		c.blanks = false
		c.emit(space)
	}
}

// text takes what begins and ends with text.
func (c *canonicalizer) text(p []byte) {
	c.open()
	begin := 0 // of what is not written yet
	for at := 1; at < len(p); at += blockSize {
		end := min(at+blockSize, len(p))
		for i, word := range mark(&c.marks, p[at-1:end], c.relaxed) {
			for ; word != 0; word &= word - 1 {
				if here := at + 64*i + bits.TrailingZeros64(word); here >= begin {
					begin = c.change(p, begin, here)
				}
			}
		}
		if c.relaxed && p[end-1] == ' ' {
			end-- // the next block may begin with a line end
		}
		if begin < end {
			c.emit(p[begin:end])
			begin = end
		}
	}
	c.emit(p[begin:])
}

// change writes p from begin up to the octet at here, which is marked, and what becomes of that and of blanks around it. It
// returns where p goes on. The last octet of p is text, so that the loop ends there.
func (c *canonicalizer) change(p []byte, begin, here int) int {
	first, end := here, here
	if c.relaxed {
		if here > begin && p[here-1] == ' ' {
			first--
		}
		for p[end] == ' ' || p[end] == '\t' {
			end++
		}
	}
	switch {
	case p[end] == '\n': // a bare one
		c.emitLine(p[begin:first])
		return end + 1
	case first == end: // a control character behind a space
		return begin
	case p[end] == '\r' && p[end+1] == '\n':
		c.emit(p[begin:first])
	case p[first] == ' ':
		c.emit(p[begin : first+1])
	default:
		c.emit(p[begin:first])
		c.emit(space)
	}
	return end
}

func (c *canonicalizer) close() {
	if c.cr {
		c.open()
		c.emit(lineEnd[:1])
	}
	if !c.relaxed || !c.empty() { // RFC 6376 §3.4.3: also an empty body; §3.4.4: not an empty one
		c.emit(lineEnd)
	}
	c.finish()
}
