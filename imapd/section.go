package imapd

import (
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// maxPartNumbers is how deep a section may go: deeper than the index does.
const maxPartNumbers = mimeindex.DefaultDepth + 1

// section is a part of a message: BODY[...] and the RFC822 items.
type section struct {
	path []int
	spec mimeindex.Specifier
	// names are those of HEADER.FIELDS, without which it is nil; not makes it HEADER.FIELDS.NOT.
	names *mimeindex.Names
	not   bool
	// partial limits the octets to n from off on.
	partial bool
	off, n  int64
	// peek leaves \Seen alone.
	peek bool
}

// fetchBodyItem reads what stands behind BODY or BODY.PEEK.
func (c *conn) fetchBodyItem(req *fetchRequest, peek bool) bool {
	if !c.dec.Has('[') {
		if peek {
			return c.dec.Fail("expected a section")
		}
		req.add(fetchItem{name: "BODY", kind: fetchBody})
		return true
	}
	s := section{peek: peek}
	var names []string
	if !c.section(&s, &names) {
		return false
	}
	name := "BODY[" + s.String() + c.fieldNames(names) + "]"
	if c.dec.Accept('<') {
		if !c.dec.Number64(&s.off) || !c.dec.Expect('.') || !c.dec.Number64(&s.n) || !c.dec.Expect('>') {
			return false
		}
		if s.n == 0 {
			return c.dec.Fail("a partial FETCH of no octets")
		}
		s.partial = true
		name += "<" + strconv.FormatInt(s.off, 10) + ">"
	}
	req.add(fetchItem{name: name, kind: fetchSection, section: s})
	return true
}

// section reads "[" [section-spec] "]", with the names of a header-list as they stand there.
func (c *conn) section(s *section, names *[]string) bool {
	if !c.dec.Expect('[') || !c.sectionPath(s) {
		return false
	}
	if c.dec.Accept(']') {
		return true
	}
	var text string
	if !c.dec.Name(&text) {
		return false
	}
	switch text {
	case "HEADER":
		s.spec = mimeindex.HeaderText
	case "TEXT":
		s.spec = mimeindex.Text
	case "MIME":
		if s.spec = mimeindex.MIME; len(s.path) == 0 {
			return c.dec.Fail("MIME needs a part number")
		}
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		s.spec, s.not = mimeindex.HeaderText, text == "HEADER.FIELDS.NOT"
		if !c.dec.SP() || !c.headerNames(names) {
			return false
		}
		s.names = mimeindex.NewNames(*names...)
	default:
		return c.dec.Fail("unknown section")
	}
	return c.dec.Expect(']')
}

// sectionPath reads [nz-number *("." nz-number) ["."]]: the part numbers, and the dot in front of a section-text.
func (c *conn) sectionPath(s *section) bool {
	for c.dec.HasNumSet() {
		var n uint32
		if !c.dec.Number(&n) {
			return false
		}
		if n == 0 || len(s.path) >= maxPartNumbers {
			return c.dec.Fail("invalid part number")
		}
		s.path = append(s.path, int(n))
		if c.dec.Has(']') {
			return true
		}
		if !c.dec.Expect('.') {
			return false
		}
	}
	if len(s.path) > 0 && c.dec.Has(']') {
		return c.dec.Fail("expected something behind the dot")
	}
	return true
}

// headerNames reads a header-list.
func (c *conn) headerNames(names *[]string) bool {
	if !c.dec.List(func() bool {
		var name string
		if !c.dec.AString(&name) {
			return false
		}
		*names = append(*names, name)
		return true
	}) {
		return false
	}
	if len(*names) == 0 {
		return c.dec.Fail("expected a field name")
	}
	return true
}

// fieldNames writes a header-list with the space in front, nothing for no names.
func (c *conn) fieldNames(names []string) string {
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	enc := wire.NewEncoder(&b, &c.set.home.buffers)
	for i, name := range names {
		if i == 0 {
			enc.Raw(" (")
		} else {
			enc.SP()
		}
		enc.AString(name)
	}
	enc.Raw(")")
	_ = enc.Flush() // a Builder does not fail
	return b.String()
}

// String is the section as it stands between the brackets, but for the field names.
func (s *section) String() string {
	var b strings.Builder
	for i, n := range s.path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	text := ""
	switch {
	case s.names != nil && s.not:
		text = "HEADER.FIELDS.NOT"
	case s.names != nil:
		text = "HEADER.FIELDS"
	case s.spec == mimeindex.HeaderText:
		text = "HEADER"
	case s.spec == mimeindex.Text:
		text = "TEXT"
	case s.spec == mimeindex.MIME:
		text = "MIME"
	}
	if text != "" && len(s.path) > 0 {
		b.WriteByte('.')
	}
	b.WriteString(text)
	return b.String()
}
