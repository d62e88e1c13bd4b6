package mailbricks

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// Message is a header block that can be edited over a body that cannot. It can be read as often as wanted, also while
// clones of it are read elsewhere. Editing one Message from two goroutines needs a lock of the caller's; clones do not
// see each other's edits.
//
// Messages come from [NewMessage], or from a [Spool] when they may be large. The header is always in memory (at most
// Spool.MaxHeader octets), the body is where the Spool put it. Close gives up what it holds.
type Message struct {
	header []byte // fields, each with its line end; replaced, never changed in place
	sep    string // the blank line, where there is a header now and the tail has none
	tail   *tail  // the blank line and all behind it
	closed atomic.Bool
}

// NewMessage makes a Message of the bytes of a complete message, which must not change afterwards.
func NewMessage(raw []byte) *Message {
	end := headerEnd(raw)
	return inMemory(raw[:end:end], raw[end:])
}

// inMemory makes a message of its two parts, in one piece.
func inMemory(header, rest []byte) *Message {
	var m struct {
		msg  Message
		tail tail
		rest bytes.Reader
	}
	m.rest.Reset(rest)
	m.tail.init(&m.rest, int64(len(rest)))
	m.msg.header, m.msg.tail = header, &m.tail
	return &m.msg
}

// headerEnd is the length of the header block of raw, without the blank line behind it (RFC 5322 §2.1).
func headerEnd(raw []byte) int {
	if headless(raw) {
		return 0
	}
	end, _ := fieldsEnd(raw, 0)
	return end
}

// headless says whether raw has no header: it begins with the blank line, or with white space, which would continue any
// field that is put in front.
func headless(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == ' ' || raw[0] == '\t') || isBlank(raw)
}

// isBlank says whether s begins with a blank line.
func isBlank(s []byte) bool {
	return bytes.HasPrefix(s, []byte("\r\n")) || bytes.HasPrefix(s, []byte("\n"))
}

// fieldsEnd is where the blank line begins that ends the fields of raw, whose first from octets need no look; len(raw) if
// there is none. Once raw has grown, its first searched octets need no look.
func fieldsEnd(raw []byte, from int) (end, searched int) {
	for {
		nl := bytes.IndexByte(raw[from:], '\n')
		if nl < 0 {
			return len(raw), len(raw)
		}
		from += nl
		switch rest := raw[from+1:]; {
		case isBlank(rest):
			return from + 1, from
		case len(rest) == 0, len(rest) == 1 && rest[0] == '\r': // perhaps
			return len(raw), from
		}
		from++
	}
}

// Clone gives a message over the same body whose header can be edited on its own. Both must be closed. A clone of a closed
// message has its header, but a body that cannot be read: the error is os.ErrClosed.
func (m *Message) Clone() *Message {
	shared := m.tail
	if m.closed.Load() || !shared.retain() {
		shared = newTail(nil, shared.size, nil)
	}
	return &Message{header: m.header, sep: m.sep, tail: shared}
}

// Close gives up the message; the spool file goes with its last clone. Further calls do nothing. Any goroutine may call it.
func (m *Message) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	return m.tail.release()
}

// Size is the length of the message in octets.
func (m *Message) Size() int64 { return int64(len(m.header)+len(m.sep)) + m.tail.size }

// Reader reads the message from its start, header and body. Each call gives a reader of its own, good until Close.
func (m *Message) Reader() io.Reader {
	return io.MultiReader(bytes.NewReader(m.header), strings.NewReader(m.sep), m.tail.reader())
}

// WriteTo writes the whole message to w.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(append(m.header[:len(m.header):len(m.header)], m.sep...))
	if err != nil {
		return int64(n), err
	}
	copied, err := io.Copy(w, m.tail.reader())
	return int64(n) + copied, err
}

// Body reads what stands behind the blank line that ends the header.
func (m *Message) Body() io.Reader {
	skip := m.tail.blank()
	return io.NewSectionReader(m.tail, skip, m.tail.size-skip)
}

// Header is the header block: fields with their line ends, without the blank line. It must not be changed.
func (m *Message) Header() []byte { return m.header }

// Fields goes through the header from top to bottom. Lines that are no fields come with an empty name.
func (m *Message) Fields() iter.Seq[Field] { return scanFields(m.header) }

// Get is the value of the topmost field of this name, unfolded; empty when there is none.
func (m *Message) Get(name string) string {
	for f := range m.Fields() {
		if f.Is(name) {
			return f.Value()
		}
	}
	return ""
}

// Values has the values of all fields of this name from top to bottom, unfolded.
func (m *Message) Values(name string) []string {
	var values []string
	for f := range m.Fields() {
		if f.Is(name) {
			values = append(values, f.Value())
		}
	}
	return values
}

// Prepend puts a field in front of all others, where trace fields go (RFC 5321 §4.4). The value may hold folds
// ("\r\n" and white space); any other line break or control character in it becomes a space. Of name only what may stand in one
// is kept (RFC 5322 §3.6.8); when that is nothing the field is called X.
func (m *Message) Prepend(name, value string) {
	m.needHeader()
	b := make([]byte, 0, fieldRoom(name, value)+len(m.header))
	m.header = append(appendField(b, name, value), m.header...)
}

// Append puts a field behind all others. Its name and value are cleaned as Prepend cleans them.
func (m *Message) Append(name, value string) {
	m.needHeader()
	header := m.header
	if len(header) > 0 && header[len(header)-1] != '\n' { // a message of nothing but an unfinished line
		header = append(header[:len(header):len(header)], "\r\n"...)
	}
	b := make([]byte, 0, len(header)+fieldRoom(name, value))
	m.header = appendField(append(b, header...), name, value)
}

// needHeader makes room for a first field: in front of text without a blank line, there must be one.
func (m *Message) needHeader() {
	if len(m.header) == 0 && m.tail.size > 0 && m.tail.blank() == 0 {
		m.sep = "\r\n"
	}
}

// Set makes name a field with this value where its topmost one stands, and removes its others; it appends the field
// when there is none.
func (m *Message) Set(name, value string) {
	var out []byte
	found := false
	for f := range m.Fields() {
		switch {
		case !f.Is(name):
			out = append(out, f.raw...)
		case !found:
			found = true
			out = appendField(out, name, value)
		}
	}
	if !found {
		m.Append(name, value)
		return
	}
	m.header = out
}

// Remove takes out the fields that drop names and says how many.
func (m *Message) Remove(drop func(Field) bool) int {
	var out []byte
	removed := 0
	for f := range m.Fields() {
		if drop(f) {
			removed++
		} else {
			out = append(out, f.raw...)
		}
	}
	if removed > 0 {
		m.header = out
	}
	return removed
}

// tail is the shared part of a message and its clones: the blank line and the body.
type tail struct {
	size  int64
	refs  atomic.Int64
	close func() error // nil: nothing to give up, but what follows

	spool  *Spool  // whose memory this is
	memory *[]byte // nil: it is not

	mu sync.RWMutex // nothing is given up while it is read
	at io.ReaderAt  // nil: all is given up
}

func newTail(at io.ReaderAt, size int64, close func() error) *tail {
	t := &tail{close: close}
	t.init(at, size)
	return t
}

func (t *tail) init(at io.ReaderAt, size int64) {
	t.at, t.size = at, size
	t.refs.Store(1)
}

// errClosed is the error of a reader that outlives its message.
var errClosed = fmt.Errorf("mailbricks: message is read after its end: %w", os.ErrClosed)

// ReadAt reads until the last message over the tail is closed: the memory may be another's then.
func (t *tail) ReadAt(p []byte, off int64) (int, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.at == nil {
		return 0, errClosed
	}
	return t.at.ReadAt(p, off)
}

func (t *tail) reader() io.Reader { return io.NewSectionReader(t, 0, t.size) }

// blank is the length of the blank line, 0 for a message that is all header.
func (t *tail) blank() int64 {
	var start [2]byte
	n, _ := t.ReadAt(start[:min(2, t.size)], 0)
	switch {
	case n == 2 && start[0] == '\r' && start[1] == '\n':
		return 2
	case n >= 1 && start[0] == '\n':
		return 1
	}
	return 0
}

// retain counts one more message over the tail, unless all is given up: what was there may be another's.
func (t *tail) retain() bool {
	for {
		n := t.refs.Load()
		if n <= 0 {
			return false
		}
		if t.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release counts one message less. With the last one all is given up, once.
func (t *tail) release() error {
	if t.refs.Add(-1) != 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.memory != nil {
		t.spool.giveBack(t.memory)
	}
	end := t.close
	t.at, t.memory, t.close = nil, nil, nil
	if end == nil {
		return nil
	}
	return end()
}
