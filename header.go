package mailbricks

import (
	"bytes"
	"iter"
	"strings"
)

// Field is one header field as it stands in the message: name, colon, value with its folds, CRLF.
type Field struct {
	// Name is as written, without white space; empty for a line that is no field.
	Name string
	raw  []byte
}

// Is says whether the field has this name, whose case does not matter (RFC 5322 §1.2.2).
func (f Field) Is(name string) bool { return f.Name != "" && strings.EqualFold(f.Name, name) }

// Raw is the field byte for byte with its line end. It must not be changed.
func (f Field) Raw() []byte { return f.raw }

// Value is what stands behind the colon, unfolded (RFC 5322 §2.2.3) and without white space around it.
func (f Field) Value() string {
	_, value, _ := bytes.Cut(f.raw, []byte(":"))
	value = bytes.ReplaceAll(value, []byte("\r\n"), nil)
	value = bytes.ReplaceAll(value, []byte("\n"), nil)
	return strings.Trim(string(value), " \t\r")
}

// scanFields cuts a header block into fields, folded lines with the field they belong to.
func scanFields(block []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(block) > 0 {
			end := fieldEnd(block)
			if !yield(Field{Name: fieldName(block[:end]), raw: block[:end:end]}) {
				return
			}
			block = block[end:]
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
		if end == len(block) || (block[end] != ' ' && block[end] != '\t') {
			return end
		}
	}
}

// fieldName is the name in front of the colon; blanks before the colon are an obsolete form (RFC 5322 §4.5).
func fieldName(raw []byte) string {
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		return ""
	}
	name := strings.TrimRight(string(raw[:colon]), " \t")
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f { // RFC 5322 §3.6.8: ftext
			return ""
		}
	}
	return name
}

// appendField puts one field behind b. A line break that is no fold would start another field or the body, so it becomes a
// space, as does any other control character but TAB.
func appendField(b []byte, name, value string) []byte {
	begin := len(b)
	for i := range len(name) {
		if c := name[i]; c > ' ' && c < 0x7f && c != ':' {
			b = append(b, c)
		}
	}
	if len(b) == begin { // without a name it would be no field
		b = append(b, noName...)
	}
	b = append(b, ": "...)
	start := 0 // value[start:i] is fit as it is
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c >= ' ' && c != 0x7f || c == '\t' {
			continue
		}
		if c == '\r' && isFold(value[i:]) {
			i += 2
			continue
		}
		b = append(append(b, value[start:i]...), ' ')
		start = i + 1
	}
	b = append(b, value[start:]...)
	return append(b, "\r\n"...)
}

// fieldRoom is how many octets appendField needs at most.
func fieldRoom(name, value string) int { return len(name) + len(noName) + len(value) + 4 }

// noName is the name of a field that was given none.
const noName = "X"

// isFold says whether s starts with a fold that leaves something on its next line: a line of white space only is an
// obsolete form (RFC 5322 §4.2) that some take for the end of the header.
func isFold(s string) bool {
	if len(s) < 3 || s[0] != '\r' || s[1] != '\n' || (s[2] != ' ' && s[2] != '\t') {
		return false
	}
	line, _, _ := strings.Cut(s[2:], "\r\n")
	return strings.Trim(line, " \t") != ""
}
