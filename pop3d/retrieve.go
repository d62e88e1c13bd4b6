package pop3d

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// chunkSize is how much of a message is read at a time.
const chunkSize = 32 << 10

// retr is RETR (RFC 1939 §5).
func (c *conn) retr(arg string) {
	if n, ok := c.message(arg); ok {
		m := &c.drop.messages[n-1]
		c.send(m, fmt.Sprintf("%d octets", m.size), nil)
	}
}

// top is TOP (RFC 1939 §7).
func (c *conn) top(arg string) {
	number, count, _ := strings.Cut(arg, " ")
	n, ok := c.message(number)
	if !ok {
		return
	}
	lines, err := parseNumber(strings.TrimSpace(count))
	if err != nil {
		c.bad("TOP needs a message number and a number of lines")
		return
	}
	c.send(&c.drop.messages[n-1], "Top of message follows", &topOf{left: lines})
}

// send writes a reply and a message behind it, all of it or what top lets through. A message that cannot be read is answered by
// -ERR; once the reply is out only the end of the connection can say that the message is not all there.
func (c *conn) send(m *message, reply string, top *topOf) {
	var content mailbox.Content
	err := c.step("content", func(ctx context.Context) (err error) {
		if content, err = c.drop.box.Content(ctx, m.uid); err != nil {
			return err
		}
		need := content.Size()
		if top != nil {
			need = min(need, serving.ProbeStep)
		}
		if err = serving.Probe(content, 0, need); err != nil {
			return errors.Join(fmt.Errorf("pop3d: read message: %w", err), content.Close())
		}
		return nil
	})
	sent := int64(0)
	if err == nil {
		c.ok(reply)
		sent, err = c.copy(content, top)
		if closeErr := content.Close(); closeErr != nil {
			c.logger.Warn("pop3d: content not closed", "err", closeErr)
		}
		if err == nil {
			m.retrieved = m.retrieved || top == nil
		} else if c.end == nil {
			c.end = err
		}
	} else {
		c.unreadable(err)
	}
	if err != nil && !errors.Is(err, mailbox.ErrExpunged) {
		c.logger.Warn("pop3d: message not sent", "user", c.session.Peer.Identity.User, "uid", m.uid, "err", err)
	}
	if t := c.set.Trace.Retrieved; t != nil {
		t(c.session, m.uid, sent, err)
	}
}

// unreadable is the reply for a message that cannot be opened.
func (c *conn) unreadable(err error) {
	if errors.Is(err, mailbox.ErrExpunged) {
		c.refuse("", "Message has been removed by another session")
		return
	}
	c.refuse(codeTemp, "Message cannot be read now")
}

// copy sends a message with dots stuffed, and the line that ends it. It returns how many octets were sent, those of
// stuffing and end not counted.
func (c *conn) copy(content mailbox.Content, top *topOf) (sent int64, err error) {
	size := content.Size()
	buf := make([]byte, min(size, chunkSize))
	stuffing := stuffer{lineStart: true}
	for done := false; sent < size && !done; {
		chunk := buf[:min(size-sent, chunkSize)]
		n, err := content.ReadAt(chunk, sent)
		if n < len(chunk) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return sent, err
		}
		if top != nil {
			n, done = top.cut(chunk)
		}
		c.Out = stuffing.append(c.Out, chunk[:n])
		sent += int64(n)
		if c.spill(); c.end != nil {
			return sent, c.end
		}
	}
	c.Out = stuffing.end(c.Out)
	c.spill()
	return sent, c.end
}

// stuffer makes a message the lines of a multi-line response (RFC 1939 §3): a line that starts with a dot gets another,
// and lines end in CRLF also where the message has only LF.
type stuffer struct {
	lineStart bool
	cr        bool // the octet before was CR
}

func (s *stuffer) append(dst, src []byte) []byte {
	for len(src) > 0 {
		if s.lineStart && src[0] == '.' {
			dst = append(dst, '.')
		}
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			s.lineStart, s.cr = false, src[len(src)-1] == '\r'
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		if i == 0 && !s.cr || i > 0 && src[i-1] != '\r' {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		s.lineStart, s.cr = true, false
		src = src[i+1:]
	}
	return dst
}

// end appends the line that ends the response, and the end of the last line of the message if it lacks it.
func (s *stuffer) end(dst []byte) []byte {
	switch {
	case s.lineStart:
	case s.cr:
		dst = append(dst, '\n')
	default:
		dst = append(dst, "\r\n"...)
	}
	return append(dst, ".\r\n"...)
}

// topOf finds the end of the header and some lines of the body.
type topOf struct {
	left   int // lines of the body still wanted
	inBody bool
	line   bool // the line in hand has more than a CR
}

// cut is how much of the next chunk belongs to the top, and whether that was all.
func (t *topOf) cut(chunk []byte) (n int, done bool) {
	for n < len(chunk) {
		i := bytes.IndexByte(chunk[n:], '\n')
		if i < 0 {
			t.line = t.line || len(bytes.Trim(chunk[n:], "\r")) > 0
			return len(chunk), false
		}
		empty := !t.line && len(bytes.Trim(chunk[n:n+i], "\r")) == 0
		n += i + 1
		t.line = false
		switch {
		case t.inBody:
			t.left--
		case empty:
			t.inBody = true
		}
		if t.inBody && t.left == 0 {
			return n, true
		}
	}
	return n, false
}
