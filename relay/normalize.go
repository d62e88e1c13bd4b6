package relay

import (
	"bufio"
	"errors"
	"io"

	"github.com/mailbricks/mailbricks"
)

// A bare CR or LF must not be sent (RFC 5321 §2.3.8): some servers take it for a line end, and then what follows may
// pass as the end of the message and the begin of another. Each becomes CRLF, before the message is signed. A NUL, which no text
// may hold (RFC 2045 §2.8) and some servers leave out of what they look at, is left out.

// withCRLF gives a clone of msg, or a message of its text with the line ends made good.
func (q *Queue) withCRLF(msg *mailbricks.Message) (*mailbricks.Message, error) {
	good, err := allCRLF(msg.Reader(), msg.Size())
	if err != nil {
		return nil, err
	}
	if good {
		return msg.Clone(), nil
	}
	return q.spool.Read(&crlfReader{r: bufio.NewReaderSize(msg.Reader(), 32<<10)})
}

// allCRLF says whether every CR stands before an LF and every LF behind a CR, and there is no NUL, in a text of about that size.
func allCRLF(r io.Reader, size int64) (bool, error) {
	buf := make([]byte, min(size+1, 32<<10))
	cr := false
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			if c == 0 || cr != (c == '\n') {
				return false, nil
			}
			cr = c == '\r'
		}
		if errors.Is(err, io.EOF) {
			return !cr, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// crlfReader makes CRLF of every bare CR and bare LF, and nothing of NULs.
type crlfReader struct {
	r       *bufio.Reader
	pending byte // to be given next; 0: none
}

func (c *crlfReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if c.pending != 0 {
			p[n] = c.pending
			c.pending = 0
			n++
			continue
		}
		b, err := c.r.ReadByte()
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return n, nil
			}
			return n, err
		}
		switch b {
		case 0:
			continue
		case '\r':
			if next, err := c.r.Peek(1); err == nil && next[0] == '\n' {
				_, _ = c.r.Discard(1) // it was peeked at
			}
			b, c.pending = '\r', '\n'
		case '\n':
			b, c.pending = '\r', '\n'
		}
		p[n] = b
		n++
	}
	return n, nil
}
