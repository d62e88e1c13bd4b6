package mimeindex

import (
	"bytes"
	"fmt"
	"io"
)

// Parse reads a message to its end and returns its structure, in one pass and without keeping its body. An error is
// always the reader's, wrapped.
func Parse(r io.Reader, limits Limits) (*Part, error) {
	p := newParser(limits)
	if err := readInto(p, r); err != nil {
		return nil, fmt.Errorf("mimeindex: read message: %w", err)
	}
	return p.finish(), nil
}

func newParser(limits Limits) *parser {
	p := &parser{limits: limits.withDefaults()}
	p.root = p.open(true)
	return p
}

// parser is the state between two lines: the parts that are open, each inside the one before.
type parser struct {
	lineCutter
	limits Limits
	// crlf counts a bare LF as the CRLF that it stands for: all is as if the line ends had been repaired before.
	crlf bool
	// listing, if there is one, takes fields of the message's header.
	listing *listingFields

	root  *Part
	stack []frame

	at    mark // start of the line in hand, or of the next
	eol   mark // of the line end just before at: its size, and what it counts; zero where there is none
	parts int  // opened so far
	kept  int  // octets of headers looked at so far

	inHeader  bool
	header    []byte // of the innermost part, as far as it is looked at
	fresh     int64  // where the last header or delimiter line ended
	delim     bool   // the line in hand is a delimiter
	startPart bool   // it starts a part
	delimited int    // frames with a boundary
}

type frame struct {
	part *Part
	// boundary is empty where no delimiter can come: leaves, messages, multiparts that have ended.
	boundary []byte
}

// line takes the next piece of input.
func (p *parser) line(piece []byte, first bool) {
	switch {
	case first && p.delimited > 0 && len(piece) > 2 && piece[0] == '-' && piece[1] == '-' && p.delimiter(piece):
		p.delim = true
		p.advance(piece)
	case p.inHeader:
		empty := first && isLineEnd(piece)
		p.keep(piece)
		p.advance(piece)
		if empty {
			p.endHeader(p.at)
			p.fresh = p.at.off
		}
	default:
		p.advance(piece)
	}
	if p.delim && !p.inLine {
		p.delim, p.fresh = false, p.at.off
		if p.startPart {
			p.startPart = false
			p.open(false)
		}
	}
}

func isLineEnd(line []byte) bool {
	return line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// advance counts a piece.
func (p *parser) advance(piece []byte) {
	p.at.off += int64(len(piece))
	n := len(piece)
	if piece[n-1] != '\n' {
		p.eol = mark{}
		return
	}
	switch {
	case n > 1 && piece[n-2] == '\r':
		p.eol = mark{off: 2, lines: 1}
	case p.crlf:
		p.eol = mark{off: 2, lines: 1}
		p.at.off++
	default:
		p.eol = mark{off: 1, lines: 1, bare: 1}
	}
	p.at.lines += p.eol.lines
	p.at.bare += p.eol.bare
}

// keep collects the header as far as the limits allow.
func (p *parser) keep(piece []byte) {
	if n := len(piece); p.crlf && piece[n-1] == '\n' && (n == 1 || piece[n-2] != '\r') {
		p.keepOctets(piece[:n-1])
		piece = []byte("\r\n")
	}
	p.keepOctets(piece)
}

func (p *parser) keepOctets(piece []byte) {
	n := min(len(piece), p.limits.HeaderBytes-len(p.header), p.limits.TotalHeaderBytes-p.kept)
	p.header = append(p.header, piece[:n]...)
	p.kept += n
}

// open starts a part inside the innermost one.
func (p *parser) open(message bool) *Part {
	part := &Part{start: p.at, Type: "text", Subtype: "plain", Encoding: "7bit"}
	if message {
		part.Envelope = &Envelope{}
	}
	if n := len(p.stack); n > 0 {
		parent := p.stack[n-1].part
		parent.Children = append(parent.Children, part)
	}
	p.parts++
	p.stack = append(p.stack, frame{part: part})
	p.inHeader, p.header = true, p.header[:0]
	return part
}

// endHeader closes the header of the innermost part at a place and decides what its body is.
func (p *parser) endHeader(at mark) {
	top := &p.stack[len(p.stack)-1]
	part := top.part
	part.body = at
	p.inHeader = false
	fields := contentFields{part: part}
	fields.read(Header(p.header))
	if p.listing != nil && part == p.root {
		p.listing.read(Header(p.header))
	}
	if !fields.typed && len(p.stack) > 1 && p.stack[len(p.stack)-2].part.Is("multipart", "digest") {
		part.Type, part.Subtype = "message", "rfc822" // RFC 2046 §5.1.5
	}
	switch multipart := part.Is("multipart", ""); {
	case !multipart && !isMessageType(part):
	case len(p.stack) >= p.limits.Depth || p.parts >= p.limits.Parts:
		part.Opaque = true
	case multipart:
		if boundary := part.Param("boundary"); boundary != "" {
			top.boundary = []byte(boundary[:min(len(boundary), maxBoundary)])
			p.delimited++
		}
	default:
		inner := p.open(true)
		inner.start = at
	}
}

// delimiter ends the parts that a delimiter line ends. It returns false if the line is none.
func (p *parser) delimiter(line []byte) bool {
	which, last := p.match(line)
	if which < 0 {
		return false
	}
	p.closeAbove(which, p.partEnd())
	if last || p.parts >= p.limits.Parts {
		p.stack[which].boundary = nil // RFC 2046 §5.1.1: what follows is the epilogue
		p.delimited--
		return true
	}
	p.startPart = true
	return true
}

// match looks for the multipart whose delimiter the line is, and whether it is its last one. -1 is none.
func (p *parser) match(line []byte) (which int, last bool) {
	which = -1
	best := 0
	line = line[2:]
	for i := len(p.stack) - 1; i >= 0; i-- {
		boundary := p.stack[i].boundary
		if len(boundary) <= best || !bytes.HasPrefix(line, boundary) {
			continue
		}
		rest := line[len(boundary):]
		which, best, last = i, len(boundary), bytes.HasPrefix(rest, []byte("--"))
		if len(bytes.TrimRight(bytes.TrimPrefix(rest, []byte("--")), " \t\r\n")) == 0 {
			break // the whole line fits
		}
	}
	return which, last
}

// partEnd is where the innermost part ends if a delimiter starts here: before the line end in front of it, which
// belongs to the delimiter (RFC 2046 §5.1.1), except where that has another use: it ended the header, or another
// delimiter. There Dovecot and Cyrus agree to leave it in the part.
func (p *parser) partEnd() mark {
	if p.at.off == p.fresh {
		return p.at
	}
	return mark{off: p.at.off - p.eol.off, lines: p.at.lines - p.eol.lines, bare: p.at.bare - p.eol.bare}
}

// closeAbove ends all parts inside the one with this index.
func (p *parser) closeAbove(which int, end mark) {
	for p.inHeader { // a message that starts here has its header here too
		p.endHeader(end)
	}
	for len(p.stack) > which+1 {
		last := len(p.stack) - 1
		p.closePart(p.stack[last], end)
		p.stack = p.stack[:last]
	}
}

func (p *parser) closePart(f frame, end mark) {
	if len(f.boundary) > 0 {
		p.delimited--
	}
	f.part.end = end
	if f.part.Is("multipart", "") && !f.part.Opaque && len(f.part.Children) == 0 {
		at := f.part.body
		f.part.Children = []*Part{{start: at, body: at, end: at, Type: "text", Subtype: "plain", Encoding: "7bit"}}
	}
}

// finish ends everything at the end of input. A delimiter without line end starts no part: its rest is missing.
func (p *parser) finish() *Part {
	p.closeAbove(-1, p.at)
	return p.root
}
