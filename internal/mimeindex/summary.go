package mimeindex

import (
	"encoding/binary"
	"fmt"
	"io"
)

// MaxSummary is how long a summary may be in octets. Of a message that would need a longer one, the summary says only that
// its content must be read.
const MaxSummary = 64 << 10

// summaryVersion is the first octet of a summary. It is followed by the octets of a summaryKind and, for a fullSummary, by
//
//	size                              of the message, with CRLF line ends
//	header                            the size of its header
//	text envelope                     the ENVELOPE response
//	text structure                    the BODYSTRUCTURE response
//	known, text fields                see listingFields
//	part                              the message
//
// where sizes and other numbers are unsigned varints and a text is its length and its octets. A part is
//
//	flags                             one octet, see partFlags
//	gap, gap lines                    from the end of the part before it in its parent, or from the parent's body, to its start
//	header, header lines
//	body, body lines
//	word type, word subtype           a word is a text whose length is doubled, or twice the number of a commonWord and one
//	words parameters                  their number, and name and value of each
//	word encoding
//	word id, description, MD5, location, as far as the flags say so
//	word disposition, words parameters, if the flags say so
//	words languages                   their number and each of them, if the flags say so
//	text envelope                     of a message inside a part, if the flags say so
//	children, part...                 their number and each of them
const summaryVersion = 1

// The kinds of summaries.
const (
	// noSummary is that of a message that is too complex for one.
	noSummary = iota
	fullSummary
)

// partFlags.
const (
	hasID = 1 << iota
	hasDescription
	hasMD5
	hasLocation
	hasDisposition
	hasLanguage
	hasEnvelope
	isOpaque
)

// Summarize reads a message to its end and summarises it for [ReadSummary]. A bare LF counts as the CRLF that it stands for. An
// error is always the reader's, wrapped.
func Summarize(r io.Reader) ([]byte, error) {
	w := NewSummaryWriter()
	if err := readInto(w.lines.p, r); err != nil {
		return nil, fmt.Errorf("mimeindex: read message: %w", err)
	}
	return w.Data(), nil
}

// SummaryWriter summarises a message that is written to it. It needs memory as [Parse] does.
type SummaryWriter struct {
	lines  blockWriter
	fields listingFields
	data   []byte // once it was asked for
}

// NewSummaryWriter starts a message.
func NewSummaryWriter() *SummaryWriter {
	w := &SummaryWriter{}
	w.lines.p = newParser(Limits{})
	w.lines.p.crlf, w.lines.p.listing = true, &w.fields
	return w
}

// Write takes the next octets of the message. It never fails; what comes after Data was called is left out.
func (w *SummaryWriter) Write(b []byte) (int, error) {
	if w.data == nil {
		w.lines.write(b)
	}
	return len(b), nil
}

// Data ends the message and gives the summary: what [Summarize] gives for the same octets.
func (w *SummaryWriter) Data() []byte {
	if w.data == nil {
		w.lines.end()
		w.data = encodeSummary(w.lines.p.finish(), &w.fields)
	}
	return w.data
}

func encodeSummary(root *Part, fields *listingFields) []byte {
	e := summaryEncoder{out: make([]byte, 0, 1024)}
	e.out = append(e.out, summaryVersion, fullSummary)
	e.size(root.end.off)
	e.size(root.HeaderSize())
	e.scratch = root.Envelope.Append(e.scratch[:0])
	e.text(e.scratch)
	e.scratch = root.AppendBody(e.scratch[:0], Extended)
	e.text(e.scratch)
	e.out = binary.AppendUvarint(e.out, fields.known)
	e.text(fields.raw)
	e.part(root, mark{}, false)
	if e.failed || len(e.out) > MaxSummary {
		return []byte{summaryVersion, noSummary}
	}
	return append(make([]byte, 0, len(e.out)), e.out...)
}

// summaryEncoder writes a summary.
type summaryEncoder struct {
	out, scratch []byte
	failed       bool // it is too long, or has what the format has no word for
}

func (e *summaryEncoder) size(n int64) {
	e.failed = e.failed || n < 0
	e.out = binary.AppendUvarint(e.out, uint64(n))
}

func (e *summaryEncoder) text(s []byte) {
	e.failed = e.failed || len(e.out)+len(s) > MaxSummary
	if !e.failed {
		e.size(int64(len(s)))
		e.out = append(e.out, s...)
	}
}

func (e *summaryEncoder) word(s string) {
	if i := commonNumber(s); i >= 0 {
		e.size(int64(2*i + 1))
		return
	}
	e.failed = e.failed || len(e.out)+len(s) > MaxSummary
	if !e.failed {
		e.size(int64(2 * len(s)))
		e.out = append(e.out, s...)
	}
}

func (e *summaryEncoder) params(params []Param) {
	e.size(int64(len(params)))
	for _, p := range params {
		e.word(p.Name)
		e.word(p.Value)
	}
}

// step writes how far it is from one mark to another.
func (e *summaryEncoder) step(from, to mark) {
	e.size(to.off - from.off)
	e.size(to.lines - from.lines)
}

func (e *summaryEncoder) part(p *Part, before mark, inner bool) {
	if e.failed {
		return
	}
	flags := len(e.out)
	e.out = append(e.out, 0)
	set := func(flag byte, on bool) bool {
		if on {
			e.out[flags] |= flag
		}
		return on
	}
	set(isOpaque, p.Opaque)
	e.step(before, p.start)
	e.step(p.start, p.body)
	e.step(p.body, p.end)
	e.word(p.Type)
	e.word(p.Subtype)
	e.params(p.Params)
	e.word(p.Encoding)
	for i, s := range [...]NString{p.ID, p.Description, p.MD5, p.Location} {
		if set(hasID<<i, s.Valid) {
			e.word(s.Value)
		}
	}
	if set(hasDisposition, p.Disposition != "") {
		e.word(p.Disposition)
		e.params(p.DispositionParams)
	}
	if set(hasLanguage, len(p.Language) > 0) {
		e.size(int64(len(p.Language)))
		for _, tag := range p.Language {
			e.word(tag)
		}
	}
	if set(hasEnvelope, inner && p.Envelope != nil) {
		e.scratch = p.Envelope.Append(e.scratch[:0])
		e.text(e.scratch)
	}
	e.size(int64(len(p.Children)))
	before = p.body
	for _, child := range p.Children {
		e.part(child, before, true)
		before = child.end
	}
}

// commonWord gives the words that most messages have, empty if there is none of this number. They are part of the format: a
// number keeps its word.
func commonWord(i int) string {
	switch i {
	case 0:
		return "text"
	case 1:
		return "plain"
	case 2:
		return "charset"
	case 3:
		return "utf-8"
	case 4:
		return "UTF-8"
	case 5:
		return "7bit"
	case 6:
		return "8bit"
	case 7:
		return "quoted-printable"
	case 8:
		return "base64"
	case 9:
		return "html"
	case 10:
		return "multipart"
	case 11:
		return "alternative"
	case 12:
		return "mixed"
	case 13:
		return "related"
	case 14:
		return "boundary"
	case 15:
		return "us-ascii"
	case 16:
		return "iso-8859-1"
	case 17:
		return "image"
	case 18:
		return "png"
	case 19:
		return "jpeg"
	case 20:
		return "application"
	case 21:
		return "octet-stream"
	case 22:
		return "pdf"
	case 23:
		return "name"
	case 24:
		return "filename"
	case 25:
		return "attachment"
	case 26:
		return "inline"
	case 27:
		return "format"
	case 28:
		return "flowed"
	case 29:
		return "message"
	case 30:
		return "rfc822"
	case 31:
		return "signed"
	}
	return ""
}

// commonNumber is the number of a commonWord, -1 for all others.
func commonNumber(s string) int {
	const longest = len("quoted-printable")
	if s == "" || len(s) > longest {
		return -1
	}
	for i := 0; ; i++ {
		switch commonWord(i) {
		case s:
			return i
		case "":
			return -1
		}
	}
}
