package smtpd

import (
	"bytes"
	"errors"
	"io"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// Flaws of a message for which it is refused after its end.
var (
	errBareCR   = errors.New("smtpd: message has a CR without LF")
	errBareLF   = errors.New("smtpd: message has an LF without CR")
	errNUL      = errors.New("smtpd: message has a NUL")
	errLongLine = errors.New("smtpd: message has a line that is too long")
)

// dotScanner finds the end of a message and takes out the dots that the client put in front of lines that begin with one
// (RFC 5321 §4.5.2). Only CRLF "." CRLF is the end. A CR or LF that stands alone is part of its line, and a flaw.
type dotScanner struct {
	out     io.Writer // takes the message; its errors are kept
	maxLine int       // longest line, negative: none
	repair  bool      // bare line ends and NULs are no flaw

	inLine bool  // the next octet is not the first of a line
	line   int   // octets of the current line so far
	ends   int   // CRLFs in what is to be written
	size   int64 // octets of the message so far
	flaw   error // first flaw
	err    error // first error of out
}

// scan takes what it can of b and says how much, and whether the message ended there. It leaves at most two octets: those
// that may be the start of a line end or of the end. Once a flaw or an error is known nothing is written any more. What is
// taken may be overwritten: it is moved together where dots are taken out, and written at once.
func (d *dotScanner) scan(b []byte) (taken int, done bool) {
	kept := 0        // b[:kept] is to be written
	start, i := 0, 0 // and behind it b[start:i]
	keep := func() {
		if kept != start {
			copy(b[kept:], b[start:i])
		}
		kept += i - start
	}
	for i < len(b) {
		if !d.inLine && b[i] == '.' {
			keep()
			switch rest := b[i:]; {
			case bytes.HasPrefix(rest, []byte(".\r\n")):
				d.write(b[:kept])
				return i + 3, true
			case len(rest) == 1, len(rest) == 2 && rest[1] == '\r':
				d.write(b[:kept])
				return i, false
			}
			i++
			start = i
		}
		d.inLine = true
		nl := bytes.IndexByte(b[i:], '\n')
		if nl < 0 {
			end := len(b)
			if b[end-1] == '\r' && end > i { // the LF may be still to come
				end--
			}
			d.grow(end - i)
			i = end
			break
		}
		end := i + nl
		if nl > 0 && b[end-1] == '\r' {
			d.grow(nl - 1)
			d.inLine, d.line = false, 0
			d.ends++
		} else {
			d.grow(nl)
			d.found(errBareLF)
			if d.line++; d.repair {
				d.line = 0
			}
		}
		i = end + 1
	}
	keep()
	d.write(b[:kept])
	return i, false
}

// grow makes the current line n octets longer, without its line end.
func (d *dotScanner) grow(n int) {
	d.line += n
	if serving.Over(d.line, d.maxLine) && d.flaw == nil {
		d.flaw = errLongLine
	}
}

// found notes a flaw that repair mends.
func (d *dotScanner) found(flaw error) {
	if d.flaw == nil && !d.repair {
		d.flaw = flaw
	}
}

// write passes p on, which holds d.ends CRLFs: a CR beside them stands alone.
func (d *dotScanner) write(p []byte) {
	d.size += int64(len(p))
	ends := d.ends
	d.ends = 0
	if len(p) == 0 || d.flaw != nil || d.err != nil {
		return
	}
	if !d.repair {
		switch {
		case bytes.Count(p, []byte("\r")) != ends:
			d.flaw = errBareCR
			return
		case bytes.IndexByte(p, 0) >= 0:
			d.flaw = errNUL
			return
		}
	}
	_, d.err = d.out.Write(p)
}

// repairWriter passes a message on with each bare CR or LF, and each run of CRs with an LF behind it, made one CRLF, and
// without NULs.
type repairWriter struct {
	out io.Writer
	crs int // CRs seen and not passed on
}

// Write keeps a CR at the end of p back until it is known what follows.
func (w *repairWriter) Write(p []byte) (int, error) {
	mended := make([]byte, 0, len(p)+2*w.crs)
	for rest := p; len(rest) > 0; {
		i := bytes.IndexAny(rest, "\r\n\x00")
		if i < 0 {
			i = len(rest)
		}
		if i > 0 {
			mended = w.breakLines(mended)
			mended = append(mended, rest[:i]...)
		}
		if rest = rest[i:]; len(rest) == 0 {
			break
		}
		switch rest[0] {
		case '\r':
			w.crs++
		case '\n':
			w.crs = 0
			mended = append(mended, "\r\n"...)
		}
		rest = rest[1:]
	}
	if _, err := w.out.Write(mended); err != nil {
		return 0, err
	}
	return len(p), nil
}

// breakLines makes line ends of the CRs that turned out to stand alone.
func (w *repairWriter) breakLines(b []byte) []byte {
	for ; w.crs > 0; w.crs-- {
		b = append(b, "\r\n"...)
	}
	return b
}

// headWriter puts a blank line in front of a message that begins with white space: that is no header field (RFC 5322
// §2.2), so all of it is body. Without the line it would become part of the field that is put in front of it, where a
// client must not write: Received or Authentication-Results.
type headWriter struct {
	out   io.Writer
	begun bool
}

func (w *headWriter) Write(p []byte) (int, error) {
	if !w.begun && len(p) > 0 {
		w.begun = true
		if p[0] == ' ' || p[0] == '\t' {
			if _, err := io.WriteString(w.out, "\r\n"); err != nil {
				return 0, err
			}
		}
	}
	return w.out.Write(p)
}
