package archive

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// maxWrongLengths is how many Content-Length fields may be wrong before none is believed any more: each makes a part of
// the file be read twice.
const maxWrongLengths = 16

// maxFromLine is how much of a line is looked at for a From_ line.
const maxFromLine = 1000

// mboxReader reads one mailbox.
type mboxReader struct {
	opts Options
	name string // of the mailbox
	in   *bufio.Reader
	read int64 // octets taken from in

	begun, ended bool
	date         time.Time // of the From_ line that was read last
	number       int       // of the message
	wrong        int       // Content-Length fields that were wrong

	message spool
	raw     spool // what a Content-Length field covers
}

// NewMboxReader reads an mbox file with LF or CRLF line ends: it gives a mailbox, named as the Options say, and its messages,
// with CRLF line ends. A message begins with a line "From " that has a date such as "Thu Jan  1 00:00:00 2026", perhaps with a
// zone; without one it is UTC. A file that begins with something else than such a line or empty lines fails with ErrFormat;
// an empty file is a mailbox without messages. X-UID and X-IMAPbase are not used. In a file that was cut short the last message is as
// long as it is: the format cannot tell.
func NewMboxReader(r io.Reader, opts Options) Reader {
	name := opts.Mailbox
	if name == "" {
		name = mailbox.Inbox
	}
	m := &mboxReader{opts: opts, name: name, in: bufio.NewReaderSize(r, bufferSize)}
	for _, s := range []*spool{&m.message, &m.raw} {
		s.dir, s.max = opts.TempDir, opts.maxMessage()
	}
	return m
}

// Close implements Reader.
func (r *mboxReader) Close() error {
	r.message.Close()
	r.raw.Close()
	return nil
}

// Next implements Reader.
func (r *mboxReader) Next(context.Context) (Entry, error) {
	if !r.begun {
		r.begun = true
		if err := r.first(); err != nil {
			return Entry{}, err
		}
		name, err := mailbox.CleanName(r.name)
		if err != nil {
			return Entry{}, err
		}
		return Entry{Mailbox: &Mailbox{Name: name}}, nil
	}
	if r.ended {
		return Entry{}, io.EOF
	}
	r.number++
	where := fmt.Sprintf("message %d of mailbox %.100q, at octet %d of the file", r.number, r.name, r.read)
	m, err := r.next()
	if err != nil {
		return Entry{}, fmt.Errorf("archive: mbox: %s: %w", where, err)
	}
	m.Where = where
	return Entry{Message: m}, nil
}

// first reads to the first From_ line.
func (r *mboxReader) first() error {
	for {
		line, whole, err := r.piece()
		if err == io.EOF && len(line) == 0 {
			r.ended = true
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 && err == nil {
			continue
		}
		if quotedFrom(text) != 0 {
			return fmt.Errorf("%w: mbox begins with %.60q, not with a From_ line", ErrFormat, text)
		}
		r.date, _ = parseFrom(string(text[:min(len(text), maxFromLine)]))
		for !whole && err == nil {
			_, whole, err = r.piece()
		}
		if err == io.EOF {
			return nil // next finds nothing: a message without content
		}
		return err
	}
}

// piece is readPiece, and counts.
func (r *mboxReader) piece() ([]byte, bool, error) {
	line, whole, err := readPiece(r.in)
	r.read += int64(len(line))
	return line, whole, err
}

// next reads the message behind the last From_ line.
func (r *mboxReader) next() (*Message, error) {
	r.message.reset()
	c := &mboxCopy{r: r, variant: r.opts.Mbox, begins: true}
	m := &Message{InternalDate: r.date}
	length, err := c.header(m)
	if err != nil {
		return nil, err
	}
	if !c.done && length >= 0 && r.opts.Mbox.usesLength() && r.wrong < maxWrongLengths {
		if err := r.counted(c, length); err != nil {
			return nil, err
		}
	}
	for !c.done {
		if err := c.line(); err != nil {
			return nil, err
		}
	}
	m.Size, m.Content = r.message.size, r.message.reader()
	return m, nil
}

// mboxCopy copies a message into the spool.
type mboxCopy struct {
	r       *mboxReader
	variant Variant
	begins  bool // the next piece begins a line
	blank   bool // an empty line is held back: the last one belongs to the file
	done    bool // the next message's From_ line was read, or the file's end
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

// counted copies a body of a length that is said. If what follows is not the next message or the end, the length was
// wrong, and what was read is read again.
func (r *mboxReader) counted(c *mboxCopy, length int64) error {
	r.raw.reset()
	n, err := io.CopyN(&r.raw, r.in, length)
	if err != nil && err != io.EOF {
		return err
	}
	if n < length || !r.atEnd() {
		r.wrong++
		r.pushBack()
		return nil
	}
	r.read += n
	c.variant = MboxCL2
	if r.opts.Mbox == MboxCL {
		c.variant = MboxCL
	}
	if c.blank { // what ended the header is the message's
		c.blank = false
		if _, err := io.WriteString(&r.message, "\r\n"); err != nil {
			return err
		}
	}
	if err := c.copyRaw(bufio.NewReaderSize(r.raw.reader(), bufferSize)); err != nil {
		return err
	}
	r.raw.reset()
	return r.skipToFrom(c)
}

// pushBack has raw read again.
func (r *mboxReader) pushBack() {
	again := r.raw
	r.raw = spool{dir: again.dir, max: again.max}
	r.in = bufio.NewReaderSize(io.MultiReader(&closing{again.reader(), &again}, r.in), bufferSize)
}

// closing closes a spool that was read to its end.
type closing struct {
	io.Reader
	spool *spool
}

func (c *closing) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil {
		c.spool.Close()
	}
	return n, err
}

// atEnd says whether the next message or the end of the file follows, perhaps behind an empty line.
func (r *mboxReader) atEnd() bool {
	ahead, err := r.in.Peek(maxFromLine)
	if err != nil && err != io.EOF {
		return false
	}
	for range 2 {
		if len(ahead) == 0 {
			return true
		}
		if rest, ok := bytes.CutPrefix(ahead, []byte("\n")); ok {
			ahead = rest
		} else if rest, ok := bytes.CutPrefix(ahead, []byte("\r\n")); ok {
			ahead = rest
		} else {
			break
		}
	}
	if len(ahead) == 0 {
		return true
	}
	line, _, _ := bytes.Cut(ahead, []byte("\n"))
	_, ok := parseFrom(strings.TrimSuffix(string(line), "\r"))
	return ok
}

// copyRaw copies a counted body.
func (c *mboxCopy) copyRaw(in *bufio.Reader) error {
	begins := true
	for {
		line, whole, err := readPiece(in)
		if err != nil && err != io.EOF {
			return err
		}
		last := err == io.EOF
		if len(line) > 0 {
			text := line
			if whole {
				text = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
			}
			if begins {
				text = c.variant.unquote(text)
			}
			begins = whole
			if _, err := c.r.message.Write(text); err != nil {
				return err
			}
			if whole {
				if _, err := io.WriteString(&c.r.message, "\r\n"); err != nil {
					return err
				}
			}
		}
		if last {
			return nil
		}
	}
}

// skipToFrom reads empty lines and the next From_ line.
func (r *mboxReader) skipToFrom(c *mboxCopy) error {
	for !c.done {
		c.begins = true
		if _, _, err := c.next(); err != nil {
			return err
		}
	}
	return nil
}
