//go:build interop

package interop

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// brittle is an IMAP session whose server may be killed at any moment.
type brittle struct {
	conn net.Conn
	in   *bufio.Reader
	tag  int
}

// errRefused is a command that the server answered with NO or BAD.
var errRefused = errors.New("refused")

func dialBrittle(address, user, password string, config *tls.Config) (*brittle, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(20 * patience)); err != nil {
		return nil, err
	}
	conn = tls.Client(conn, config)
	c := &brittle{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	if _, err = c.response(); err == nil {
		_, _, err = c.do("LOGIN %s %s", user, password)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *brittle) close() { _ = c.conn.Close() }

func (c *brittle) response() (string, error) {
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		n, ok := literalSize(line)
		if !ok {
			return strings.TrimSuffix(b.String(), "\r\n"), nil
		}
		if _, err = io.CopyN(&b, c.in, int64(n)); err != nil {
			return "", err
		}
	}
}

// do sends a command and gives what was answered. It fails with errRefused unless that is OK.
func (c *brittle) do(format string, args ...any) (untagged []string, end string, err error) {
	c.tag++
	tag := fmt.Sprintf("k%d", c.tag)
	if _, err := fmt.Fprintf(c.conn, tag+" "+format+"\r\n", args...); err != nil {
		return nil, "", err
	}
	for {
		r, err := c.response()
		if err != nil {
			return nil, "", err
		}
		if end, ok := strings.CutPrefix(r, tag+" "); ok {
			if !strings.HasPrefix(end, "OK") {
				return untagged, end, fmt.Errorf("%w: %s: %s", errRefused, fmt.Sprintf(format, args...), end)
			}
			return untagged, end, nil
		}
		untagged = append(untagged, r)
	}
}

var (
	validityCode  = regexp.MustCompile(`\[UIDVALIDITY (\d+)`)
	nextCode      = regexp.MustCompile(`\[UIDNEXT (\d+)`)
	appendCode    = regexp.MustCompile(`\[APPENDUID (\d+) (\d+)\]`)
	copyCode      = regexp.MustCompile(`\[COPYUID (\d+) (\S+) (\S+)\]`)
	sizeInName    = regexp.MustCompile(`,S=(\d+)`)
	subjectLetter = regexp.MustCompile(`(?i)subject: (\S+)`)
)

// seen is a message as it was fetched.
type seen struct {
	subject, flags string
	size           int
}

// seenBox is a mailbox with all that is in it.
type seenBox struct {
	validity, next int
	messages       map[int]seen
}

func number(pattern *regexp.Regexp, text string) int {
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// look fetches all that is in a mailbox, which is selected then.
func (c *brittle) look(name string) (*seenBox, error) {
	lines, _, err := c.do("SELECT %s", name)
	if err != nil {
		return nil, err
	}
	box := &seenBox{messages: map[int]seen{}}
	for _, l := range lines {
		box.validity = max(box.validity, number(validityCode, l))
		box.next = max(box.next, number(nextCode, l))
	}
	lines, _, err = c.do("UID FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		uid := number(fetchUID, l)
		if uid == 0 {
			continue
		}
		m := seen{flags: "()", size: number(fetchSize, l)}
		if s := subjectLetter.FindStringSubmatch(l); s != nil {
			m.subject = s[1]
		}
		if f := fetchFlags.FindStringSubmatch(l); f != nil {
			m.flags = cleanFlags(f[1])
		}
		if _, double := box.messages[uid]; double {
			return nil, fmt.Errorf("UID %d is there twice", uid)
		}
		box.messages[uid] = m
	}
	return box, nil
}

// cleanFlags are flags without \Recent, in the order in which this test sets them.
func cleanFlags(list string) string {
	var out []string
	for _, f := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, "Kw0", "Kw1"} {
		for _, have := range strings.Fields(list) {
			if strings.EqualFold(have, f) {
				out = append(out, f)
			}
		}
	}
	return "(" + strings.Join(out, " ") + ")"
}

func randomFlags(r *rand.Rand) string {
	return cleanFlags([]string{`\Seen`, `\Flagged \Answered`, "Kw0", `\Seen Kw1`, ""}[r.IntN(5)])
}

// append stores a message and gives its UID.
func (c *brittle) append(name, subject, flags string, size int) (int, error) {
	text := "Subject: " + subject + "\r\n\r\n" + strings.Repeat("Line of "+subject+"\r\n", size) + "end\r\n"
	c.tag++
	tag := fmt.Sprintf("k%d", c.tag)
	if _, err := fmt.Fprintf(c.conn, "%s APPEND %s %s {%d+}\r\n%s\r\n", tag, name, flags, len(text), text); err != nil {
		return 0, err
	}
	for {
		r, err := c.response()
		if err != nil {
			return 0, err
		}
		if end, ok := strings.CutPrefix(r, tag+" "); ok {
			m := appendCode.FindStringSubmatch(end)
			if m == nil {
				return 0, fmt.Errorf("%w: APPEND: %s", errRefused, end)
			}
			return strconv.Atoi(m[2])
		}
	}
}
