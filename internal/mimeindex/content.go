package mimeindex

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// contentFields puts the fields of a header into the part they describe.
type contentFields struct {
	part  *Part
	typed bool // Content-Type was there

	encoded, disposed bool
}

func (c *contentFields) read(h Header) {
	for f := range h.Fields() {
		if f.Name == "" {
			continue
		}
		if len(f.Name) > 8 && strings.EqualFold(f.Name[:8], "content-") {
			c.field(f)
		} else if c.part.Envelope != nil {
			c.part.Envelope.field(f)
		}
	}
}

func (c *contentFields) field(f Field) {
	var buf [32]byte
	switch string(lower(&buf, f.Name[8:])) {
	case "type":
		if !c.typed {
			c.typed = true
			c.setType(f.Value())
		}
	case "transfer-encoding":
		if !c.encoded {
			c.encoded = true
			c.setEncoding(f.Value())
		}
	case "disposition":
		if !c.disposed {
			c.disposed = true
			c.setDisposition(f.Value())
		}
	case "language":
		if c.part.Language == nil {
			c.part.Language = parseLanguages(f.Value())
		}
	case "id":
		setOnce(&c.part.ID, f)
	case "description":
		setOnce(&c.part.Description, f)
	case "md5":
		setOnce(&c.part.MD5, f)
	case "location":
		setOnce(&c.part.Location, f)
	}
}

func setOnce(s *NString, f Field) {
	if !s.Valid {
		*s = some(f.Value())
	}
}

// setType reads Content-Type. What is no media type at all counts as none, as RFC 2045 §5.2 recommends.
func (c *contentFields) setType(value string) {
	l := lexer{s: value}
	l.skipCFWS()
	typ := l.token()
	l.skipCFWS()
	if typ == "" {
		return
	}
	c.part.Type, c.part.Subtype = typ, ""
	if l.accept('/') {
		l.skipCFWS()
		c.part.Subtype = l.token()
	}
	if c.part.Subtype == "" {
		c.part.Subtype = defaultSubtype(typ)
	}
	c.part.Params = l.params()
}

// defaultSubtype stands in for a subtype that is missing (RFC 1049 had none). It is the one that RFC 2046 says is the least
// that can be made of the type.
func defaultSubtype(typ string) string {
	switch strings.ToLower(typ) {
	case "text":
		return "plain"
	case "multipart":
		return "mixed"
	case "application":
		return "octet-stream"
	}
	return ""
}

func (c *contentFields) setEncoding(value string) {
	l := lexer{s: value}
	l.skipCFWS()
	encoding := l.token()
	l.skipCFWS()
	if encoding != "" && l.done() {
		c.part.Encoding = encoding
	}
}

func (c *contentFields) setDisposition(value string) {
	l := lexer{s: value}
	l.skipCFWS()
	c.part.Disposition = l.token()
	if c.part.DispositionParams = l.params(); c.part.Disposition == "" && len(c.part.DispositionParams) > 0 {
		c.part.Disposition = "attachment" // RFC 2183 §2.8: what is not understood is an attachment
	}
}

// parseLanguages reads the list of RFC 3282 §2.
func parseLanguages(value string) []string {
	var tags []string
	l := lexer{s: value}
	for !l.done() {
		l.skipCFWS()
		if tag := l.token(); tag != "" {
			tags = append(tags, tag)
		}
		l.until(",")
		l.accept(',')
	}
	return tags
}

// params reads parameters to the end of the value, passing over what is none.
func (l *lexer) params() []Param {
	var params []Param
	for {
		l.until(";")
		if !l.accept(';') {
			return joinContinuations(params)
		}
		l.skipCFWS()
		name := l.token()
		l.skipCFWS()
		if name == "" || !l.accept('=') {
			continue
		}
		if value, ok := l.paramValue(); ok {
			params = append(params, Param{Name: name, Value: value})
		}
	}
}

// paramValue reads a token, a quoted string, or what stands in place of one: all up to a blank or the semicolon, and
// for a quoted string without end all up to the semicolon.
func (l *lexer) paramValue() (string, bool) {
	l.skipCFWS()
	if l.peek() != '"' {
		value := strings.TrimRight(l.until("; \t\r\n"), ",")
		return value, value != ""
	}
	if value, ok := l.quoted(); ok {
		return value, true
	}
	l.accept('"')
	return strings.TrimRight(l.until(";"), " \t"), true
}

// piece is a parameter that is part of a longer one: name*2 or name*2* (RFC 2231 §3).
type piece struct {
	base    string
	number  int
	encoded bool
	index   int // in the list of parameters
}

// maxContinuations is how many pieces of one value are joined; 1,000 pieces of 70 octets are more than any name needs.
const maxContinuations = 1000

// joinContinuations puts values together that were cut in pieces. They stand behind the others, in the order of their
// names; pieces that do not start with number 0 or have a gap stay as they are.
func joinContinuations(params []Param) []Param {
	var pieces []piece
	for i, param := range params {
		if p, ok := parsePiece(param.Name); ok {
			p.index = i
			pieces = append(pieces, p)
		}
	}
	if len(pieces) == 0 {
		return params
	}
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.base), strings.ToLower(b.base)), cmp.Compare(a.number, b.number))
	})
	joined := make([]bool, len(params))
	var whole []Param
	for len(pieces) > 0 {
		n := runLength(pieces)
		if n > 0 {
			whole = append(whole, joinPieces(params, pieces[:n], joined))
		}
		pieces = pieces[max(n, 1):]
	}
	var out []Param
	for i, param := range params {
		if !joined[i] {
			out = append(out, param)
		}
	}
	return append(out, whole...)
}

// parsePiece takes name*digits or name*digits* apart.
func parsePiece(name string) (piece, bool) {
	trimmed := strings.TrimSuffix(name, "*")
	star := strings.LastIndexByte(trimmed, '*')
	if star <= 0 {
		return piece{}, false
	}
	number, err := strconv.Atoi(trimmed[star+1:])
	if err != nil || number < 0 || number > maxContinuations {
		return piece{}, false
	}
	return piece{base: trimmed[:star], number: number, encoded: len(trimmed) != len(name)}, true
}

// runLength is how many of the sorted pieces make up the first value: numbers from 0 without gap.
func runLength(pieces []piece) int {
	n := 0
	for n < len(pieces) && pieces[n].number == n && strings.EqualFold(pieces[n].base, pieces[0].base) {
		n++
	}
	return n
}

func joinPieces(params []Param, pieces []piece, joined []bool) Param {
	encoded := slices.ContainsFunc(pieces, func(p piece) bool { return p.encoded })
	var b strings.Builder
	for _, p := range pieces {
		joined[p.index] = true
		value := params[p.index].Value
		if encoded && !p.encoded { // RFC 2231 §4.1: such pieces are taken literally
			value = percentEncode(value)
		}
		b.WriteString(value)
	}
	name := pieces[0].base
	if encoded {
		name += "*"
	}
	return Param{Name: name, Value: b.String()}
}

// percentEncode writes a plain piece so that it can stand among encoded ones.
func percentEncode(s string) string {
	if !strings.ContainsAny(s, "%") {
		return s
	}
	return strings.ReplaceAll(s, "%", "%25")
}
