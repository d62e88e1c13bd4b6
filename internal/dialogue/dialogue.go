// Package dialogue lets the tests of protocol servers be read as dialogues: what the client says and what it hears, line by
// line.
package dialogue

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Client is a client that does as a script says. A test ends when the server does not.
type Client struct {
	T    testing.TB
	Conn net.Conn
	// Reader reads from Conn.
	Reader *bufio.Reader
	// Any stands for anything in the pattern of an S line; empty: "*".
	Any string
	// Check says what is wrong with a line that the server has sent, here with its CRLF; nil: nothing.
	Check func(line string) error
	// Verbs are further things that a line of a script can ask for, by the two characters that it begins with.
	Verbs map[string]func(arg string)
}

// New gives a client with a connection to the server.
func New(t testing.TB, conn net.Conn) *Client {
	return &Client{T: t, Conn: conn, Reader: bufio.NewReader(conn)}
}

// Talk goes through a dialogue line by line. Blank lines, indentation and lines that begin with "#" are for the reader.
//
//	C: text        sends the text and CRLF; further C and R lines go in the same write
//	R: "text"      sends the bytes of a Go string
//	S: pattern     expects a line; Any stands for anything
//	S$             expects the end of the connection
//	W: duration    waits
//	H:             closes the direction to the server
func (c *Client) Talk(script string) {
	c.T.Helper()
	var out bytes.Buffer
	for n, line := range strings.Split(script, "\n") {
		line = strings.TrimLeft(line, "\t ")
		if line == "" || line[0] == '#' {
			continue
		}
		verb := line[:min(2, len(line))]
		arg := strings.TrimPrefix(line[len(verb):], " ")
		if err := c.say(&out, verb, arg); err != nil {
			c.T.Fatalf("line %d: %s: %v", n, line, err)
		}
	}
	if err := c.flush(&out); err != nil {
		c.T.Fatal(err)
	}
}

// say does what one line of a script asks for. What is to be sent waits in out until the next line of another kind.
func (c *Client) say(out *bytes.Buffer, verb, arg string) error {
	c.T.Helper()
	switch verb {
	case "C:":
		out.WriteString(arg + "\r\n")
		return nil
	case "R:":
		text, err := strconv.Unquote(arg)
		out.WriteString(text)
		return err
	}
	if err := c.flush(out); err != nil {
		return err
	}
	switch verb {
	case "S:":
		return c.expect(arg)
	case "S$":
		if line, err := c.Line(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("got %q, %v", line, err)
		}
		return nil
	case "W:":
		d, err := time.ParseDuration(arg)
		time.Sleep(d)
		return err
	case "H:":
		half, ok := c.Conn.(interface{ CloseWrite() error })
		if !ok {
			return errors.New("there is no half to close")
		}
		return half.CloseWrite()
	}
	f := c.Verbs[verb]
	if f == nil {
		return errors.New("no such line in a dialogue")
	}
	f(arg)
	return nil
}

// flush sends what waits.
func (c *Client) flush(out *bytes.Buffer) error {
	if out.Len() == 0 {
		return nil
	}
	defer out.Reset()
	_, err := c.Conn.Write(out.Bytes())
	return err
}

// expect reads a line that fits a pattern.
func (c *Client) expect(pattern string) error {
	line, err := c.Line()
	if err != nil {
		return fmt.Errorf("got %q, %w", line, err)
	}
	wild := c.Any
	if wild == "" {
		wild = "*"
	}
	if !matches(line, strings.Split(pattern, wild)) {
		return fmt.Errorf("got %s", line)
	}
	return nil
}

// Line reads a line, without its CRLF. If there is no whole one it gives what there is.
func (c *Client) Line() (string, error) {
	line, err := c.Reader.ReadString('\n')
	if err != nil {
		return line, err
	}
	text, crlf := strings.CutSuffix(line, "\r\n")
	if !crlf {
		return line, errors.New("line ends without CR LF")
	}
	if c.Check != nil {
		if err := c.Check(line); err != nil {
			return text, err
		}
	}
	return text, nil
}

// matches says whether s consists of the parts with anything in between.
func matches(s string, parts []string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return s == first
	}
	s, ok := strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
