package mimeindex

import (
	"bytes"
	"iter"
	"strings"
)

// Header is the header of a message or part as it stands there, with or without the empty line that ends it.
type Header []byte

// Field is one field of a header, or a line that should not be there.
type Field struct {
	// Name is as written, without white space; empty for a line that is no field.
	Name string
	// Raw are the bytes of the field with its folds and line end.
	Raw []byte

	value int // where Raw has the value
}

// Is compares the name without regard to case.
func (f Field) Is(name string) bool { return f.Name != "" && strings.EqualFold(f.Name, name) }

// Value is what stands behind the colon, unfolded (RFC 5322 §2.2.3: line ends go, white space stays) and without
// white space in front.
func (f Field) Value() string { return unfold(f.Raw[f.value:]) }

func unfold(raw []byte) string {
	raw = bytes.TrimLeft(bytes.TrimRight(raw, "\r\n"), " \t\r\n")
	if bytes.IndexByte(raw, '\n') < 0 {
		return string(raw)
	}
	var b strings.Builder
	b.Grow(len(raw))
	for {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			b.Write(raw)
			return b.String()
		}
		b.Write(bytes.TrimSuffix(raw[:i], []byte("\r")))
		raw = raw[i+1:]
	}
}

// Text is the value as a line to be read: each fold is one space, whatever white space it had, and there is none at either
// end.
func (f Field) Text() string {
	raw := bytes.Trim(f.Raw[f.value:], " \t\r\n")
	var text []byte
	for {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			return string(append(text, raw...))
		}
		text = append(append(text, bytes.TrimRight(raw[:i], " \t\r")...), ' ')
		raw = bytes.TrimLeft(raw[i:], " \t\r\n")
	}
}

// Fields goes through the header up to the empty line, in order.
func (h Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for rest := []byte(h); len(rest) > 0 && !isEmptyLine(rest); {
			n := fieldLength(rest)
			name, value := splitField(rest[:n])
			if !yield(Field{Name: name, Raw: rest[:n:n], value: value}) {
				return
			}
			rest = rest[n:]
		}
	}
}

func isEmptyLine(b []byte) bool { return b[0] == '\n' || b[0] == '\r' && len(b) > 1 && b[1] == '\n' }

// fieldLength is the length of the first field: up to a line end that no white space follows.
func fieldLength(b []byte) int {
	n := 0
	for {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return len(b)
		}
		n += i + 1
		if n == len(b) || b[n] != ' ' && b[n] != '\t' {
			return n
		}
	}
}

// splitField finds the name, and where the value starts. Blanks before the colon are an obsolete form
// (RFC 5322 §4.5).
func splitField(raw []byte) (name string, value int) {
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		return "", 0
	}
	label := bytes.TrimRight(raw[:colon], " \t")
	for _, c := range label {
		if c <= ' ' || c >= 0x7f { // RFC 5322 §3.6.8: ftext
			return "", 0
		}
	}
	if len(label) == 0 {
		return "", 0
	}
	return string(label), colon + 1
}

// Get is the value of the first field of this name, unfolded.
func (h Header) Get(name string) (value string, ok bool) {
	for f := range h.Fields() {
		if f.Is(name) {
			return f.Value(), true
		}
	}
	return "", false
}

// Values goes through the values of all fields of this name, unfolded.
func (h Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for f := range h.Fields() {
			if f.Is(name) && !yield(f.Value()) {
				return
			}
		}
	}
}

// Subset is HEADER.FIELDS of RFC 3501 §6.4.5: the fields with one of these names, byte for byte, and an empty line.
// With not it is HEADER.FIELDS.NOT: all others, lines that are no fields included.
func (h Header) Subset(names []string, not bool) []byte {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[strings.ToLower(name)] = true
	}
	var out []byte
	for f := range h.Fields() {
		if (f.Name != "" && wanted[strings.ToLower(f.Name)]) != not {
			out = append(out, f.Raw...)
			if !bytes.HasSuffix(f.Raw, []byte("\n")) {
				out = append(out, "\r\n"...)
			}
		}
	}
	return append(out, "\r\n"...)
}
