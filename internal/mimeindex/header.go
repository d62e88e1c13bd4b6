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
			label, value := splitField(rest[:n])
			if !yield(Field{Name: string(label), Raw: rest[:n:n], value: value}) {
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
func splitField(raw []byte) (name []byte, value int) {
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		return nil, 0
	}
	name = bytes.TrimRight(raw[:colon], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f { // RFC 5322 §3.6.8: ftext
			return nil, 0
		}
	}
	if len(name) == 0 {
		return nil, 0
	}
	return name, colon + 1
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
func (h Header) Subset(names *Names, not bool) []byte {
	out := make([]byte, 0, min(len(h)+2, firstSubset))
	for rest := []byte(h); len(rest) > 0 && !isEmptyLine(rest); {
		raw := rest[:fieldLength(rest)]
		rest = rest[len(raw):]
		if label, _ := splitField(raw); names.has(label) != not {
			out = append(out, raw...)
			if raw[len(raw)-1] != '\n' {
				out = append(out, "\r\n"...)
			}
		}
	}
	return append(out, "\r\n"...)
}

// firstSubset is for how many octets there is room at first: for what mail programs list of most messages.
const firstSubset = 1 << 10

// Names are names of header fields, for Subset.
type Names struct {
	set    map[string]bool // in lower case
	listed uint64          // their numbers, see listedField
	others bool            // some are not listed
}

// NewNames makes a set of names, whose case does not matter.
func NewNames(names ...string) *Names {
	n := &Names{set: make(map[string]bool, len(names))}
	for _, name := range names {
		n.set[strings.ToLower(name)] = name != ""
		if i := listedField(name); i >= 0 {
			n.listed |= 1 << i
		} else {
			n.others = true
		}
	}
	return n
}

// Listed says whether a summary may have all fields of these names: whether it does, [Summary.HasAll] says.
func (n *Names) Listed() bool { return !n.others }

func (n *Names) has(label []byte) bool {
	var buf [32]byte
	if len(label) > len(buf) {
		return n.set[strings.ToLower(string(label))]
	}
	return n.set[string(lower(&buf, label))]
}
