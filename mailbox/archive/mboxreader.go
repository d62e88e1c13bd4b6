package archive

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

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
// an empty file is a mailbox without messages, and so is one that has only the first message in which c-client keeps what it knows.
// The mailbox is subscribed, as mbox does not tell. X-UID and X-IMAPbase are not used. In a file that was cut short the last message is as
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
		return Entry{Mailbox: &Mailbox{Name: name, Subscribed: true}}, nil
	}
	for !r.ended {
		r.number++
		where := fmt.Sprintf("message %d of mailbox %.100q, at octet %d of the file", r.number, r.name, r.read)
		m, internal, err := r.next()
		if err != nil {
			return Entry{}, fmt.Errorf("archive: mbox: %s: %w", where, err)
		}
		if internal && r.number == 1 {
			continue
		}
		m.Where = where
		return Entry{Message: m}, nil
	}
	return Entry{}, io.EOF
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
			return fmt.Errorf("%w: mbox begins with %.20q, not with a From_ line", ErrFormat, text)
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
func (r *mboxReader) next() (m *Message, internal bool, err error) {
	r.message.reset()
	c := &mboxCopy{r: r, variant: r.opts.Mbox, begins: true}
	m = &Message{InternalDate: r.date}
	length, err := c.header(m)
	if err != nil {
		return nil, false, err
	}
	if !c.done && length >= 0 && r.opts.Mbox.usesLength() && r.wrong < maxWrongLengths {
		if err := r.counted(c, length); err != nil {
			return nil, false, err
		}
	}
	for !c.done {
		if err := c.line(); err != nil {
			return nil, false, err
		}
	}
	m.Size, m.Content = r.message.size, r.message.reader()
	return m, c.internal, nil
}
