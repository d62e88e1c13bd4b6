package mimeindex

import (
	"encoding/binary"
	"errors"
)

// What keeps a summary from being read. The message's content has all that it would say.
var (
	// ErrNoSummary: the message is too complex for a summary.
	ErrNoSummary = errors.New("mimeindex: message is too complex for a summary")
	// ErrSummary: it is that of another version, or damaged.
	ErrSummary = errors.New("mimeindex: summary cannot be read")
)

// Summary is what listing needs of a message. It keeps the data that it was read from.
type Summary struct {
	// Size is that of the message and HeaderSize that of its header, in octets and with CRLF line ends.
	Size, HeaderSize int64
	// Envelope and Structure are the values of ENVELOPE and BODYSTRUCTURE, with their parentheses (see [Envelope.Append] and
	// [Part.AppendBody] with [Extended]).
	Envelope, Structure []byte

	known  uint64
	fields Header
	tree   []byte
}

// ReadSummary reads what [Summarize] gave. Any octets can be given; they are only looked at, and without memory of its own. The
// error is ErrNoSummary or ErrSummary.
func ReadSummary(data []byte) (Summary, error) {
	switch {
	case len(data) < 2 || len(data) > MaxSummary || data[0] != summaryVersion:
		return Summary{}, ErrSummary
	case len(data) == 2 && data[1] == noSummary:
		return Summary{}, ErrNoSummary
	case data[1] != fullSummary:
		return Summary{}, ErrSummary
	}
	d := summaryDecoder{in: data[2:]}
	s := Summary{Size: d.size(), HeaderSize: d.size(), Envelope: d.text(), Structure: d.text(), known: d.number(), fields: d.text()}
	s.tree = d.in
	if d.failed || s.HeaderSize > s.Size || !isList(s.Envelope) || !isList(s.Structure) {
		return Summary{}, ErrSummary
	}
	return s, nil
}

func isList(b []byte) bool { return len(b) >= 2 && b[0] == '(' && b[len(b)-1] == ')' }

// Listed says whether a summary may have the fields of this name: whether it does, [Summary.Has] says.
func Listed(name string) bool { return listedField(name) >= 0 }

// Has says whether the summary has all fields of this name that the message's header has.
func (s *Summary) Has(name string) bool {
	i := listedField(name)
	return i >= 0 && s.known&(1<<i) != 0
}

// HasAll says whether Has is true for all of these names.
func (s *Summary) HasAll(names *Names) bool {
	return !names.others && s.known&names.listed == names.listed
}

// Fields are fields of the message's header, in its order: all those for whose names Has is true, and no others.
func (s *Summary) Fields() Header { return s.fields }

// Root builds the tree of parts: what [Parse] gives for the message with CRLF line ends, but that the envelopes of messages
// inside it can only be written with [Envelope.Append], and that there is none for the message itself, whose fields may be
// among those of Fields. The error is ErrSummary. Memory grows with the length of the summary, by about 50 times at most.
func (s *Summary) Root() (*Part, error) {
	d := summaryDecoder{in: s.tree}
	root := d.part(mark{}, s.Size, 0)
	if d.failed || len(d.in) > 0 || root.end.off != s.Size || root.body.off != s.HeaderSize || root.start.off != 0 {
		return nil, ErrSummary
	}
	return root, nil
}

// summaryDecoder reads a summary. After a failure it gives zero values.
type summaryDecoder struct {
	in     []byte
	failed bool
}

func (d *summaryDecoder) fail() { d.in, d.failed = nil, true }

func (d *summaryDecoder) number() uint64 {
	n, length := binary.Uvarint(d.in)
	if length <= 0 {
		d.fail()
		return 0
	}
	d.in = d.in[length:]
	return n
}

// maxSize keeps sums of sizes from going over.
const maxSize = 1 << 50

func (d *summaryDecoder) size() int64 {
	n := d.number()
	if n > maxSize {
		d.fail()
		return 0
	}
	return int64(n)
}

// count reads a number of things, each of which takes at least one octet.
func (d *summaryDecoder) count() int {
	n := d.number()
	if n > uint64(len(d.in)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *summaryDecoder) take(n uint64) []byte {
	if n > uint64(len(d.in)) {
		d.fail()
		return nil
	}
	b := d.in[:n:n]
	d.in = d.in[n:]
	return b
}

func (d *summaryDecoder) text() []byte { return d.take(d.number()) }

func (d *summaryDecoder) word() string {
	n := d.number()
	if n&1 == 0 {
		return string(d.take(n / 2))
	}
	word := commonWord(int(min(n/2, 1<<20)))
	if word == "" {
		d.fail()
	}
	return word
}

func (d *summaryDecoder) params() []Param {
	n := d.count()
	if n == 0 {
		return nil
	}
	params := make([]Param, 0, min(n, 8))
	for range n {
		params = append(params, Param{Name: d.word(), Value: d.word()})
		if d.failed {
			return nil
		}
	}
	return params
}

// step goes on from a mark, at most up to an offset.
func (d *summaryDecoder) step(from mark, most int64) mark {
	to := mark{off: from.off + d.size(), lines: from.lines + d.size()}
	if to.off > most || to.lines > most {
		d.fail()
	}
	return to
}

// part reads a part that ends at most at an offset and stands inside so many others.
func (d *summaryDecoder) part(before mark, most int64, depth int) *Part {
	p := &Part{}
	if len(d.in) == 0 || depth > DefaultDepth+1 {
		d.fail()
		return p
	}
	flags := d.in[0]
	d.in = d.in[1:]
	p.Opaque = flags&isOpaque != 0
	p.start = d.step(before, most)
	p.body = d.step(p.start, most)
	p.end = d.step(p.body, most)
	p.Type, p.Subtype, p.Params, p.Encoding = d.word(), d.word(), d.params(), d.word()
	for i, s := range [...]*NString{&p.ID, &p.Description, &p.MD5, &p.Location} {
		if flags&(hasID<<i) != 0 {
			*s = some(d.word())
		}
	}
	if flags&hasDisposition != 0 {
		p.Disposition, p.DispositionParams = d.word(), d.params()
	}
	if flags&hasLanguage != 0 {
		for range d.count() {
			p.Language = append(p.Language, d.word())
		}
	}
	if flags&hasEnvelope != 0 {
		p.Envelope = &Envelope{written: d.text()}
		if !isList(p.Envelope.written) {
			d.fail()
		}
	}
	before = p.body
	for range d.count() {
		child := d.part(before, p.end.off, depth+1)
		if d.failed {
			return p
		}
		p.Children = append(p.Children, child)
		before = child.end
	}
	if isMessageType(p) && !p.Opaque && (len(p.Children) != 1 || p.Children[0].Envelope == nil) {
		d.fail() // AppendBody relies on it
	}
	return p
}
