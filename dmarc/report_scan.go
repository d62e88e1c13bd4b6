package dmarc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits on the XML that is read.
const (
	maxXMLName  = 128      // length of a name; a longer one is no tag
	maxXMLTag   = 64 << 10 // length of a tag with its attributes
	maxXMLDepth = 64       // elements inside each other
)

// xmlScanner finds the tags in XML as reports come in it, one after the other, and collects the text between them while
// asked to. encoding/xml is too strict for the reports of this world and keeps attributes of any length; this one repairs
// and holds nothing but the text that is wanted:
//
//   - A "<" that starts no tag is text.
//   - Attributes are passed over. A tag that lacks its ">" ends at the next "<".
//   - Comments, processing instructions and document types are passed over. No entity is ever defined, and none but the
//     five of XML itself and character references is replaced, so nothing expands.
type xmlScanner struct {
	r    *bufio.Reader
	line int
	// text is what came since collect was called, still escaped, up to maxXMLText bytes.
	text       []byte
	collecting bool
	// name holds the name of the last tag.
	name []byte
	// warn is told what is repaired.
	warn func(format string, args ...any)
}

// maxXMLText is how much of a text is kept; enough for MaxReportText characters written as references.
const maxXMLText = 8 * MaxReportText

// xmlTag is a tag. The name, with its prefix, is valid until the next one is read.
type xmlTag struct {
	name       []byte
	start, end bool // both for an empty element
}

func (s *xmlScanner) collect() { s.text, s.collecting = s.text[:0], true }

// next reads up to the next tag. Its errors are the reader's, io.EOF among them, and ErrReportInvalid.
func (s *xmlScanner) next() (xmlTag, error) {
	for {
		if err := s.readText(); err != nil {
			return xmlTag{}, err
		}
		c, err := s.r.ReadByte()
		if err != nil {
			return xmlTag{}, err
		}
		switch c {
		case '!':
			err = s.declaration()
		case '?':
			err = s.through("?>", false)
		default:
			tag := xmlTag{start: c != '/', end: c == '/'}
			if tag.start {
				_ = s.r.UnreadByte()
			}
			if s.readName() {
				tag.name = s.name
				err = s.restOfTag(&tag)
				return tag, err
			}
			s.warn("a < that starts no tag")
			s.add([]byte("&lt;"))
			if tag.end {
				s.add([]byte("/"))
			}
		}
		if err != nil {
			return xmlTag{}, err
		}
	}
}

// readText reads through the next "<".
func (s *xmlScanner) readText() error {
	for {
		chunk, err := s.r.ReadSlice('<')
		s.line += bytes.Count(chunk, []byte("\n"))
		s.add(bytes.TrimSuffix(chunk, []byte("<")))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (s *xmlScanner) add(chunk []byte) {
	if !s.collecting {
		return
	}
	if len(s.text) == 0 {
		chunk = bytes.TrimLeft(chunk, " \t\r\n")
	}
	s.text = append(s.text, chunk[:min(len(chunk), maxXMLText-len(s.text))]...)
}

// readName reads the name of a tag; false, with nothing read, when what stands there cannot be one.
func (s *xmlScanner) readName() bool {
	head, _ := s.r.Peek(maxXMLName + 1)
	n := 0
	for n < len(head) && isNameByte(head[n]) {
		n++
	}
	if n == 0 || n == len(head) {
		return false
	}
	if strings.IndexByte("-.0123456789", head[0]) >= 0 || strings.IndexByte(" \t\r\n/>", head[n]) < 0 {
		return false
	}
	s.name = append(s.name[:0], head[:n]...)
	_, _ = s.r.Discard(n)
	return true
}

// isNameByte takes the ASCII of XML 1.0 §2.3 NameChar, and all else.
func isNameByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':' || c >= 0x80
}

// restOfTag reads through the ">" and sees whether the tag is one of an empty element.
func (s *xmlScanner) restOfTag(tag *xmlTag) error {
	var quote, last byte
	for range maxXMLTag {
		c, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		switch {
		case c == '<': // in an attribute it has to be escaped (XML 1.0 §2.3 AttValue)
			s.warn("a tag without its >")
			return s.r.UnreadByte()
		case c == '\n':
			s.line++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			tag.end = tag.end || last == '/'
			return nil
		}
		last = c
	}
	return fmt.Errorf("%w: line %d: a tag of more than %d bytes", ErrReportInvalid, s.line, maxXMLTag)
}

// declaration reads what starts with "<!".
func (s *xmlScanner) declaration() error {
	head, _ := s.r.Peek(len("[CDATA["))
	switch {
	case bytes.HasPrefix(head, []byte("--")):
		_, _ = s.r.Discard(len("--"))
		return s.through("-->", false)
	case string(head) == "[CDATA[":
		_, _ = s.r.Discard(len(head))
		return s.through("]]>", true)
	}
	return s.docType()
}

// docType passes over a document type declaration with its internal subset.
func (s *xmlScanner) docType() error {
	var quote byte
	depth := 0
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		switch {
		case c == '\n':
			s.line++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '<' || c == '[':
			if head, _ := s.r.Peek(len("!--")); string(head) == "!--" {
				_, _ = s.r.Discard(len(head))
				err = s.through("-->", false)
			} else {
				depth++
			}
		case c == ']' || c == '>' && depth > 0:
			depth--
		case c == '>':
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// through reads through the next occurrence of end, which ends with a ">", and adds what stands before it to the text.
func (s *xmlScanner) through(end string, keep bool) error {
	var tail []byte // the last bytes read
	for {
		chunk, err := s.r.ReadSlice('>')
		s.line += bytes.Count(chunk, []byte("\n"))
		tail = append(tail, chunk[max(0, len(chunk)-len(end)):]...)
		tail = tail[max(0, len(tail)-len(end)):]
		done := err == nil && string(tail) == end
		if keep {
			s.add(bytes.ReplaceAll(chunk, []byte("&"), []byte("&amp;")))
			if done {
				s.text = bytes.TrimSuffix(s.text, []byte(end))
			}
		}
		if done {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return unexpected(err)
		}
	}
}

// unexpected: the input may not end here.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
