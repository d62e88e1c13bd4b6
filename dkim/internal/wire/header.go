package wire

import (
	"bytes"
	"iter"
)

// Header is the header block of a message as it stands there. Nothing is indexed, so that a header of very many fields
// takes no more memory than its octets; reading it again is cheap.
type Header []byte

// Field is one header field of a message.
type Field struct {
	// Raw is the field as it stands in the message, with its line end unless the message ends within it.
	Raw []byte
	// At is where it begins in the header.
	At int

	name []byte // nil for a line that is no field, which no signature can name
}

// Value is what stands behind the colon, with folds and line end.
func (f Field) Value() []byte { return f.Raw[bytes.IndexByte(f.Raw, ':')+1:] }

// Fields goes through the header from top to bottom. Lines that are no fields are among them.
func (h Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for at := 0; at < len(h); {
			end := at + fieldEnd(h[at:])
			raw := h[at:end:end]
			if !yield(Field{Raw: raw, At: at, name: fieldName(raw)}) {
				return
			}
			at = end
		}
	}
}

// All has the fields with this name, given in lower case, from top to bottom.
func (h Header) All(name string) []Field {
	all, _ := h.First(name, len(h))
	return all
}

// First has the first so many of the fields with this name, given in lower case, and says how many there are.
func (h Header) First(name string, most int) (fields []Field, all int) {
	for f := range h.Fields() {
		if !isNamed(f.name, name) {
			continue
		}
		if all++; all <= most {
			fields = append(fields, f)
		}
	}
	return fields, all
}

// isNamed compares a field's name with one in lower case.
func isNamed(field []byte, name string) bool {
	if len(field) != len(name) || len(name) == 0 {
		return false
	}
	for i, c := range field {
		if lower(c) != name[i] {
			return false
		}
	}
	return true
}

// Counts says how often each of the names, in lower case, occurs.
func (h Header) Counts(names []string) map[string]int {
	counts := make(map[string]int, len(names))
	for _, name := range names {
		counts[name] = 0
	}
	var name []byte
	for f := range h.Fields() {
		name = appendLower(name[:0], f.name)
		if n, listed := counts[string(name)]; listed && len(name) > 0 {
			counts[string(name)] = n + 1
		}
	}
	return counts
}

// Select calls yield for each field that the list of names, in lower case, covers: names in their order, fields of one
// name from the bottom of the header to its top, nothing for a name that is listed more often than it occurs (RFC 6376
// §5.4.2). The field that begins at skip, the signature itself, is no candidate (§3.5, h=); -1 skips none.
func (h Header) Select(names []string, skip int, yield func(raw []byte)) {
	places := make(map[string][]int, len(names))
	for _, name := range names {
		places[name] = nil
	}
	var lowered []byte
	for f := range h.Fields() {
		lowered = appendLower(lowered[:0], f.name)
		if list, listed := places[string(lowered)]; listed && f.At != skip && len(lowered) > 0 {
			places[string(lowered)] = append(list, f.At)
		}
	}
	for _, name := range names {
		list := places[name]
		if n := len(list) - 1; n >= 0 {
			at := list[n]
			yield(h[at : at+fieldEnd(h[at:])])
			places[name] = list[:n]
		}
	}
}

// fieldEnd is the length of the first field of block: up to a line end that no white space follows.
func fieldEnd(block []byte) int {
	end := 0
	for {
		nl := bytes.IndexByte(block[end:], '\n')
		if nl < 0 {
			return len(block)
		}
		end += nl + 1
		if end == len(block) || !isBlank(block[end]) {
			return end
		}
	}
}

// fieldName is the name in front of the colon; blanks before the colon are an obsolete form (RFC 5322 §4.5.8).
func fieldName(raw []byte) []byte {
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		return nil
	}
	name := bytes.TrimRight(raw[:colon], " \t")
	if !IsFieldName(name) {
		return nil
	}
	return name
}

// IsFieldName says whether name can be that of a header field (RFC 5322 §3.6.8).
func IsFieldName[T string | []byte](name T) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return len(name) > 0
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// appendLower appends p with its ASCII letters in lower case. Other octets stay: what a foreign alphabet's lower case
// would be is not the signature's business.
func appendLower(dst, p []byte) []byte {
	for _, c := range p {
		dst = append(dst, lower(c))
	}
	return dst
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
