// Package raw is an SMTP client that costs as little as can be, for benchmarks: what it sends is prepared, and of replies it
// looks at the codes only.
package raw

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"
)

// Conn is a connection to a server, in which it has been greeted.
type Conn struct {
	net.Conn
	buf  []byte
	r, w int
}

// Envelope begins a message of one recipient, pipelined (RFC 2920 §3.1).
const Envelope = "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"

// Message is a message of about size octets with its final dot.
func Message(size int) []byte {
	const head = "From: Ann <ann@example.net>\r\nTo: Bob <bob@example.com>\r\nDate: Fri, 21 Nov 2025 09:55:06 -0600\r\n" +
		"Message-ID: <1234@example.net>\r\nSubject: A message of some size\r\n\r\n"
	line := bytes.Repeat([]byte("line "), 15)
	line = append(line, "\r\n"...)
	b := append(make([]byte, 0, size+len(line)+len(head)), head...)
	for len(b) < size-3 {
		b = append(b, line...)
	}
	return append(b, ".\r\n"...)
}

// Dial connects through d, waits for the greeting and says EHLO. It is done within timeout; after that there is no deadline.
func Dial(d *net.Dialer, addr string, timeout time.Duration) (*Conn, error) {
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := New(conn)
	err = c.SetDeadline(time.Now().Add(timeout))
	if err == nil {
		err = c.Hello()
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// New makes a Conn of a connection that has not been greeted.
func New(conn net.Conn) *Conn { return &Conn{Conn: conn, buf: make([]byte, 4<<10)} }

// Hello waits for the greeting and says EHLO.
func (c *Conn) Hello() error {
	if err := c.Expect(220); err != nil {
		return err
	}
	return c.Command(250, "EHLO client.example.net\r\n")
}

// Command sends text and expects one reply with this code.
func (c *Conn) Command(code int, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	return c.Expect(code)
}

// Expect reads a reply for each of the codes, which it must have.
func (c *Conn) Expect(codes ...int) error {
	for _, want := range codes {
		got, text, err := c.Reply()
		if err != nil {
			return err
		}
		if got != want {
			return &UnexpectedReply{Want: want, Code: got, Text: text}
		}
	}
	return nil
}

// UnexpectedReply is the error for a reply with another code.
type UnexpectedReply struct {
	Want, Code int
	Text       string // its last line
}

func (e *UnexpectedReply) Error() string {
	return fmt.Sprintf("reply %q instead of %d", e.Text, e.Want)
}

// Reply reads one reply, to its last line.
func (c *Conn) Reply() (code int, text string, err error) {
	for {
		i := bytes.IndexByte(c.buf[c.r:c.w], '\n')
		if i < 0 {
			if err := c.fill(); err != nil {
				return 0, "", err
			}
			continue
		}
		line := c.buf[c.r : c.r+i]
		c.r += i + 1
		if len(line) < 4 {
			return 0, "", fmt.Errorf("reply %q", line)
		}
		if line[3] == '-' {
			continue
		}
		code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		if code >= 400 {
			text = string(bytes.TrimSuffix(line, []byte("\r")))
		}
		return code, text, nil
	}
}

func (c *Conn) fill() error {
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		return fmt.Errorf("reply line of %d octets", c.w)
	}
	n, err := c.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}
