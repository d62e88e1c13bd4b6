package archive

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// maxWrongLengths is how many Content-Length fields may be wrong before none is believed any more: each makes a part of
// the file be read twice.
const maxWrongLengths = 16

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
