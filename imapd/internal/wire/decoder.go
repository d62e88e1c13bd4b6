package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits bound what one command may cost, in octets.
type Limits struct {
	// Line is the longest line, without its end.
	Line int
	// Literal is the longest literal that becomes a string (the message of APPEND does not).
	Literal int
	// Command is the longest command, all its lines and literals together (again without the message of APPEND).
	Command int
	// Drain is how much of refused non-synchronising literals is read and thrown away.
	Drain int64
}

// The errors after which a connection cannot go on.
var (
	// ErrLineTooLong: a line is longer than Limits.Line, or a command longer than Limits.Command.
	ErrLineTooLong = errors.New("wire: command line is too long")
	// ErrDrain: a refused literal is too long to be thrown away.
	ErrDrain = errors.New("wire: refused literal is too long to skip")
)

// SyntaxError says that a command does not follow the grammar.
type SyntaxError struct {
	// Text says what was expected, in printable ASCII.
	Text string
}

// Error gives the text.
func (e *SyntaxError) Error() string { return "wire: " + e.Text }

// ErrLiteralTooBig says that a literal is longer than its use allows. It was not read.
var ErrLiteralTooBig = errors.New("wire: literal is too long")

// ErrMailboxName says that a mailbox name is no modified UTF-7 (RFC 3501 §5.1.3).
var ErrMailboxName = errors.New("wire: mailbox name is not modified UTF-7")

// Decoder reads commands. Its methods read like the grammar: each returns false once something did not fit, and from
// then on all of them do, so that a chain of them needs one look at Err at its end.
//
//	if !dec.SP() || !dec.Mailbox(&name) || !dec.End() {
//		return dec.Err()
//	}
type Decoder struct {
	br     *bufio.Reader
	limits Limits
	// goAhead asks the peer for a synchronising literal.
	goAhead func() error

	line  []byte // the line that is being read, without its end
	spill []byte // memory for lines longer than br's buffer
	pos   int
	used  int // octets of the command so far
	err   error
	// broken is the error after which nothing more can be read.
	broken error
	// pending is a literal that was announced and neither read nor thrown away.
	pending    Literal
	hasPending bool
}

// NewDecoder reads from br. goAhead is called before a synchronising literal is read; it sends the continuation request.
func NewDecoder(br *bufio.Reader, limits Limits, goAhead func() error) *Decoder {
	return &Decoder{br: br, limits: limits, goAhead: goAhead}
}

// SetLimits changes the limits from the next command on.
func (d *Decoder) SetLimits(limits Limits) { d.limits = limits }

// Next reads the first line of the next command.
func (d *Decoder) Next() error {
	d.err, d.used, d.hasPending = nil, 0, false
	return d.nextLine()
}

// nextLine reads a line of the same command.
func (d *Decoder) nextLine() error {
	line, err := d.readLine()
	if err != nil {
		d.line, d.pos = nil, 0
		return d.fatal(err)
	}
	d.line, d.pos = line, 0
	if d.used += len(line); d.used > d.limits.Command {
		return d.fatal(ErrLineTooLong)
	}
	return nil
}

// readLine reads up to LF. The result is good until the next read.
func (d *Decoder) readLine() ([]byte, error) {
	line, err := d.br.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = d.longLine(line)
	}
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	if len(line) > d.limits.Line {
		return nil, ErrLineTooLong
	}
	return line, nil
}

func (d *Decoder) longLine(start []byte) ([]byte, error) {
	d.spill = append(d.spill[:0], start...)
	for {
		if len(d.spill) > d.limits.Line+2 {
			return nil, ErrLineTooLong
		}
		more, err := d.br.ReadSlice('\n')
		d.spill = append(d.spill, more...)
		if err != bufio.ErrBufferFull {
			return d.spill, err
		}
	}
}

// Release gives back the memory of a long line, for a connection that now waits.
func (d *Decoder) Release() { d.line, d.spill, d.pos = nil, nil, 0 }

// Err is what did not fit: a *SyntaxError, ErrLiteralTooBig, ErrMailboxName, or the error of the connection.
func (d *Decoder) Err() error { return d.err }

// Fail makes the decoder fail with a syntax error, for rules that only the caller knows. It returns false.
func (d *Decoder) Fail(format string, args ...any) bool {
	if d.err == nil {
		d.err = &SyntaxError{Text: fmt.Sprintf(format, args...)}
	}
	return false
}

func (d *Decoder) failWith(err error) bool {
	if d.err == nil {
		d.err = err
	}
	return false
}

func (d *Decoder) fatal(err error) error {
	d.err, d.broken = err, err
	return err
}

// Broken is the error after which nothing more can be read: that of the connection, or ErrLineTooLong.
func (d *Decoder) Broken() error { return d.broken }

// Rest is what is left of the line, which it takes.
func (d *Decoder) Rest() string {
	if d.err != nil {
		return ""
	}
	rest := string(d.line[d.pos:])
	d.pos = len(d.line)
	return rest
}

// NextLine reads another line of the same command: a client's answer to a continuation request.
func (d *Decoder) NextLine() error {
	if err := d.nextLine(); err != nil {
		return d.fatal(noEOF(err))
	}
	return nil
}

// Skip reads what is left of a command that is not wanted, so that the next line is the next command. It fails when that
// is not possible and the connection has to be closed.
func (d *Decoder) Skip() error {
	var drained int64
	for {
		lit, ok := d.pending, d.hasPending
		if !ok {
			lit, ok = trailingLiteral(d.line)
		}
		d.hasPending = false
		if !ok || !lit.NonSync { // a peer that waits for a continuation sends nothing (RFC 3501 §7.5)
			d.line, d.pos = nil, 0
			return nil
		}
		if drained += lit.Size; lit.Size > d.limits.Drain || drained > d.limits.Drain {
			return ErrDrain
		}
		if _, err := io.CopyN(io.Discard, d.br, lit.Size); err != nil {
			return noEOF(err)
		}
		line, err := d.readLine()
		if err != nil {
			return noEOF(err)
		}
		if drained += int64(len(line)); drained > d.limits.Drain {
			return ErrDrain
		}
		d.line = line
	}
}

// noEOF makes the end of the connection in the middle of something an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
