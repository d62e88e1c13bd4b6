package archive

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

// mboxWriter writes one mailbox.
type mboxWriter struct {
	w     *bufio.Writer
	named bool
}

// NewMboxWriter writes one mailbox to w as mboxrd (see the package comment). It fails with ErrOneMailbox for a second one.
// Finish does not close w.
func NewMboxWriter(w io.Writer) Writer { return &mboxWriter{w: bufio.NewWriterSize(w, bufferSize)} }

// bufferSize is the most that is read or written at once, and how much of a message is looked at before it is written.
const bufferSize = 64 << 10

// Close implements Writer.
func (w *mboxWriter) Close() error { return nil }

// Finish implements Writer.
func (w *mboxWriter) Finish() error {
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("archive: mbox: %w", err)
	}
	return nil
}

// Write implements Writer.
func (w *mboxWriter) Write(_ context.Context, e Entry) (bool, error) {
	switch {
	case e.Mailbox != nil && w.named:
		return false, ErrOneMailbox
	case e.Mailbox != nil:
		w.named = true
	case e.Message != nil:
		return true, w.message(e.Message)
	}
	return true, nil
}

func (w *mboxWriter) message(m *Message) error {
	in := bufio.NewReaderSize(&exact{m.Content, m.Size}, bufferSize)
	start, err := in.Peek(bufferSize)
	if err != nil && err != io.EOF {
		return err
	}
	date := m.InternalDate
	if date.IsZero() {
		date = epoch()
	}
	fmt.Fprintf(w.w, "%s%s %s\n", fromPrefix, sender(start), date.UTC().Format(asctime))
	return (&mboxMessage{in: in, out: w.w, fields: statusFields(m.Flags)}).copy()
}

// sender is the address that the message's first Return-Path field has, for the From_ line.
func sender(start []byte) string {
	for line := range bytes.Lines(start) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		if !strings.EqualFold(name, "Return-Path") {
			continue
		}
		addr := strings.Trim(strings.TrimSpace(value), "<>")
		if addr != "" && len(addr) < 320 && !strings.ContainsFunc(addr, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return addr
		}
	}
	return "MAILER-DAEMON"
}

// mboxMessage copies a message line by line.
type mboxMessage struct {
	in     *bufio.Reader
	out    *bufio.Writer
	fields string // to be put at the end of the header; empty: done

	dropping bool // within a field that is left out
	ended    bool // the last line had an end
}

func (c *mboxMessage) copy() error {
	c.ended = true
	for {
		line, whole, err := readPiece(c.in)
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) > 0 {
			if err := c.line(line, whole); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
	}
	if !c.ended {
		_ = c.out.WriteByte('\n') // an error stays until Flush
	}
	_, _ = c.out.WriteString(c.fields)
	return c.out.WriteByte('\n')
}

// readPiece reads a line with its end, or a piece of one that is longer than the buffer: whole says that the line ends with
// it. io.EOF comes with the last one.
func readPiece(in *bufio.Reader) (line []byte, whole bool, err error) {
	line, err = in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		if line[len(line)-1] == '\r' { // it may belong to the line's end
			line = line[:len(line)-1]
			return line, false, in.UnreadByte()
		}
		return line, false, nil
	}
	return line, err == nil, err
}

// line writes a line, or a piece of one.
func (c *mboxMessage) line(line []byte, whole bool) error {
	begins := c.ended
	c.ended = whole
	text := line
	if whole {
		text = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	}
	if begins && c.fields != "" {
		if whole && len(text) == 0 {
			_, _ = c.out.WriteString(c.fields)
			c.fields, c.dropping = "", false
		} else if line[0] != ' ' && line[0] != '\t' {
			c.dropping = mboxField(text) != ""
		}
	}
	if c.dropping {
		c.ended = true // nothing is to be added for a last line without an end
		if !whole {
			return c.skipLine()
		}
		return nil
	}
	if begins && quotedFrom(text) >= 0 {
		_ = c.out.WriteByte('>')
	}
	_, err := c.out.Write(text)
	if whole {
		err = c.out.WriteByte('\n')
	}
	return err
}

// skipLine reads to the end of the line.
func (c *mboxMessage) skipLine() error {
	for {
		_, whole, err := readPiece(c.in)
		if whole || err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}
