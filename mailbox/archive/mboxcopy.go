package archive

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// mboxCopy copies a message into the spool.
type mboxCopy struct {
	r       *mboxReader
	variant Variant
	begins  bool // the next piece begins a line
	blank   bool // an empty line is held back: the last one belongs to the file
	// internal: it has the field X-IMAP, with which c-client and Dovecot keep what they know in a first message that nobody sees.
	internal bool
	done     bool // the next message's From_ line was read, or the file's end
}

// next reads a piece and finds the message's end. isEmpty says that it is a whole empty line.
func (c *mboxCopy) next() (text []byte, whole bool, err error) {
	line, whole, err := c.r.piece()
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	if err == io.EOF {
		c.done, c.r.ended = true, true
	}
	text = line
	if whole {
		text = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	}
	if c.begins && quotedFrom(text) == 0 {
		if date, ok := parseFrom(string(text[:min(len(text), maxFromLine)])); ok {
			c.r.date, c.done = date, true
			for !whole && err == nil {
				_, whole, err = c.r.piece()
			}
			if err == io.EOF {
				err = nil
			}
			return nil, false, err
		}
	}
	return text, whole, nil
}

// emit writes a piece of a line, quoting taken off.
func (c *mboxCopy) emit(text []byte, whole bool) error {
	if c.begins && whole && len(text) == 0 {
		if c.blank {
			if _, err := io.WriteString(&c.r.message, "\r\n"); err != nil {
				return err
			}
		}
		c.blank = true
		return nil
	}
	if len(text) == 0 && !whole {
		return nil
	}
	if c.blank {
		c.blank = false
		if _, err := io.WriteString(&c.r.message, "\r\n"); err != nil {
			return err
		}
	}
	if c.begins {
		text = c.variant.unquote(text)
	}
	c.begins = whole
	if _, err := c.r.message.Write(text); err != nil {
		return err
	}
	if whole || c.done { // a last line gets its end
		if _, err := io.WriteString(&c.r.message, "\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// unquote takes quoting off a line.
func (v Variant) unquote(text []byte) []byte {
	n := quotedFrom(text)
	if n == 1 && v != MboxCL2 || n > 1 && (v == MboxAuto || v == MboxRD) {
		return text[1:]
	}
	return text
}

// line copies a piece of the body.
func (c *mboxCopy) line() error {
	text, whole, err := c.next()
	if err != nil {
		return err
	}
	return c.emit(text, whole)
}

// header copies the header without the fields that are the file's, which it puts into m. It gives the value of Content-Length,
// -1 if there is none that can be right.
func (c *mboxCopy) header(m *Message) (length int64, err error) {
	length = -1
	name, value := "", ""
	flush := func() {
		if name == "content-length" {
			if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil && n >= 0 && n <= c.r.opts.maxMessage() {
				length = n
			}
		}
		c.internal = c.internal || name == "x-imap"
		m.Flags = statusFlags(m.Flags, name, value)
		name, value = "", ""
	}
	defer flush()
	for !c.done {
		begins := c.begins
		text, whole, err := c.next()
		if err != nil {
			return -1, err
		}
		if c.done && len(text) == 0 {
			break
		}
		if begins && whole && len(text) == 0 {
			flush()
			return length, c.emit(text, whole)
		}
		if begins && text[0] != ' ' && text[0] != '\t' {
			flush()
			name = mboxField(text)
		}
		if name == "" {
			if err := c.emit(text, whole); err != nil {
				return -1, err
			}
			continue
		}
		c.begins = whole
		if len(value) < maxFieldValue {
			v := string(text)
			if begins && v[0] != ' ' && v[0] != '\t' {
				_, v, _ = strings.Cut(v, ":")
			}
			value += v
		}
	}
	return length, nil
}

// maxFieldValue is how much is kept of a field that is the file's: more than all keywords of a mailbox need.
const maxFieldValue = 512 << 10
