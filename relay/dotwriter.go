package relay

import (
	"bufio"
	"bytes"
)

// dotWriter writes the text of a message as DATA has it (RFC 5321 §4.5.2): a dot at the start of a line is doubled, and
// nothing but CRLF ends a line, whatever is written to it.
type dotWriter struct {
	w   *bufio.Writer
	mid bool // within a line
	cr  bool // behind a CR that has not been written
}

// Write takes the next piece of the message.
func (d *dotWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if d.cr {
			d.cr = false
			d.endLine()
			if p[0] == '\n' {
				p = p[1:]
				continue
			}
		}
		if !d.mid && p[0] == '.' {
			d.w.WriteByte('.') // bufio.Writer keeps the error
		}
		end := bytes.IndexByte(p, '\r')
		if end < 0 {
			end = len(p)
		}
		if lf := bytes.IndexByte(p[:end], '\n'); lf >= 0 {
			end = lf
		}
		if end > 0 {
			d.mid = true
		}
		if _, err := d.w.Write(p[:end]); err != nil {
			return n - len(p), err
		}
		if end == len(p) {
			break
		}
		if p[end] == '\r' {
			d.cr = true
		} else {
			d.endLine()
		}
		p = p[end+1:]
	}
	return n, nil
}

func (d *dotWriter) endLine() {
	d.w.WriteString("\r\n")
	d.mid = false
}

// finish ends the last line if need be. The final dot is the caller's.
func (d *dotWriter) finish() {
	if d.cr || d.mid {
		d.cr = false
		d.endLine()
	}
}
