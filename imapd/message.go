package imapd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// message is a message that is being looked at, opened and read as far as needed.
type message struct {
	box   mailbox.Mailbox
	uid   mailbox.UID
	cache *parsedMessage // nil: none

	// sum is its summary, if it is summarized.
	sum        mimeindex.Summary
	summarized bool

	content mailbox.Content
	header  mimeindex.Header // its start, if it is longer than the limit
	bodyAt  int64            // where the body starts; -1 while the header was not read
	root    *mimeindex.Part
	env     *mimeindex.Envelope
	// sections are those of the items that it was prepared for, by their place.
	sections []sectionData
}

// parsedMessage is the structure of one message, kept for the next command: clients fetch the parts of a large message
// one after the other.
type parsedMessage struct {
	uid  mailbox.UID
	root *mimeindex.Part
}

// open opens the content. It fails with mimeindex.ErrSummary, but has opened it, if the summary is not that of this content.
func (m *message) open(ctx context.Context) error {
	if m.content != nil {
		return nil
	}
	content, err := m.box.Content(ctx, m.uid)
	if err != nil {
		return err
	}
	m.content, m.bodyAt = content, -1
	if m.summarized && content.Size() != m.sum.Size {
		return mimeindex.ErrSummary
	}
	return nil
}

func (m *message) close() {
	if m.content != nil {
		_ = m.content.Close() // it was only read
	}
}

// prepare reads what the items need, so that writing them cannot fail any more but by a broken disk. What the summary has is
// not read.
func (m *message) prepare(ctx context.Context, items []fetchItem) error {
	return m.withoutSummary(func() error {
		for i := range items {
			if err := m.prepareItem(ctx, items, i); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *message) prepareItem(ctx context.Context, items []fetchItem, i int) error {
	switch it := &items[i]; it.kind {
	case fetchEnvelope:
		if !m.summarized {
			return m.readHeader(ctx)
		}
	case fetchBodyStructure:
		if !m.summarized {
			return m.parse(ctx)
		}
	case fetchBody:
		return m.parse(ctx)
	case fetchSection:
		if m.sections == nil {
			m.sections = make([]sectionData, len(items))
		}
		data, err := m.section(ctx, &it.section)
		if err == nil && data.found && data.bytes == nil {
			off, n := it.section.cut(data.n)
			if err = serving.Probe(m.content, data.off+off, n); err != nil {
				err = fmt.Errorf("imapd: read message: %w", err)
			}
		}
		m.sections[i] = data
		return err
	}
	return nil
}

// maxParsed is the size, in octets of headers, of the largest structure that is kept.
const maxParsed = 64 << 10

// headerSize is the size of all headers in a message: what its structure takes of memory, about.
func headerSize(root *mimeindex.Part) (n int64) {
	root.Walk(func(_ []int, p *mimeindex.Part) bool {
		n += p.HeaderSize()
		return n <= maxParsed
	})
	return n
}

// parse finds the structure of the message: in the summary, or by reading the whole message. It fails with
// mimeindex.ErrSummary.
func (m *message) parse(ctx context.Context) (err error) {
	switch {
	case m.root != nil:
		return nil
	case m.cache != nil && m.cache.uid == m.uid:
		m.root = m.cache.root
		return nil
	case m.summarized:
		m.root, err = m.sum.Root()
		return err
	}
	if err := m.open(ctx); err != nil {
		return err
	}
	root, err := mimeindex.Parse(io.NewSectionReader(m.content, 0, m.content.Size()), mimeindex.Limits{})
	if err != nil {
		return err
	}
	m.root = root
	if m.cache != nil && headerSize(root) <= maxParsed {
		*m.cache = parsedMessage{m.uid, root}
	}
	return nil
}

// headerChunk is how much is read at a time to find the end of a header, in octets.
const headerChunk = 8 << 10

// readHeader finds the end of the header and reads it, up to mimeindex.DefaultHeaderBytes of it.
func (m *message) readHeader(ctx context.Context) error {
	if err := m.open(ctx); err != nil || m.bodyAt >= 0 {
		return err
	}
	size := m.content.Size()
	var buf []byte // the header so far, as far as it is kept
	var line lineStart
	var after, off int64
	chunk := make([]byte, min(headerChunk, size))
	for after == 0 && off < size {
		n, err := m.content.ReadAt(chunk[:min(int64(len(chunk)), size-off)], off)
		if n == 0 {
			return fmt.Errorf("imapd: read header: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		end, found := line.headerEnd(chunk[:n])
		if found {
			after = off + int64(end)
		}
		if keep := min(end, mimeindex.DefaultHeaderBytes-len(buf)); keep > 0 {
			buf = append(buf, chunk[:keep]...)
		}
		off += int64(n)
	}
	if after == 0 { // all header
		after = size
	}
	m.header, m.bodyAt = buf, after
	return nil
}

// lineStart is the part of a line that the chunks so far had: how many octets, and the last of them.
type lineStart struct {
	n    int
	last byte
}

// headerEnd says how much of the next chunk belongs to the header, and whether the empty line that ends it is in it.
func (l *lineStart) headerEnd(chunk []byte) (n int, found bool) {
	for n < len(chunk) {
		nl := bytes.IndexByte(chunk[n:], '\n')
		if nl < 0 {
			l.n += len(chunk) - n
			l.last = chunk[len(chunk)-1]
			return len(chunk), false
		}
		if nl > 0 {
			l.n, l.last = l.n+nl, chunk[n+nl-1]
		}
		n += nl + 1
		if l.n == 0 || l.n == 1 && l.last == '\r' {
			return n, true
		}
		l.n = 0
	}
	return n, false
}

// envelope is the envelope of a message whose header was read.
func (m *message) envelope() *mimeindex.Envelope {
	if m.env == nil {
		m.env = m.header.Envelope()
	}
	return m.env
}

// sectionData are the octets of a section: n octets at off of bytes, or of the content where that is nil.
type sectionData struct {
	found  bool // the message has such a section
	bytes  []byte
	off, n int64
}

// section finds a section of the message, and reads the fields of one that are asked for by their names.
func (m *message) section(ctx context.Context, s *section) (data sectionData, err error) {
	if len(s.path) > 0 {
		if err := m.parse(ctx); err != nil {
			return data, err
		}
		if data.off, data.n, data.found = m.root.Section(s.path, s.spec); !data.found {
			return data, nil
		}
	} else if data.found = true; s.names != nil {
		header, err := m.fields(ctx, s)
		return data.subset(header, s), err
	}
	if err := m.open(ctx); err != nil {
		return data, err
	}
	switch {
	case len(s.path) > 0 && s.names != nil:
		header := make(mimeindex.Header, min(data.n, mimeindex.DefaultHeaderBytes))
		if n, err := m.content.ReadAt(header, data.off); n < len(header) {
			return data, fmt.Errorf("imapd: read header of a part: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		data = data.subset(header, s)
	case len(s.path) > 0:
	case s.spec == mimeindex.Body:
		data.n = m.content.Size()
	default:
		at, err := m.headerSize(ctx)
		if err != nil {
			return data, err
		}
		if data.n = at; s.spec == mimeindex.Text {
			data.off, data.n = at, m.content.Size()-at
		}
	}
	return data, nil
}

// subset makes it the fields of a header that are asked for.
func (data sectionData) subset(header mimeindex.Header, s *section) sectionData {
	data.bytes = header.Subset(s.names, s.not)
	data.off, data.n = 0, int64(len(data.bytes))
	return data
}

// fields gives a header that has the fields that are asked for: the message's own, or those that the summary has of it.
func (m *message) fields(ctx context.Context, s *section) (mimeindex.Header, error) {
	if m.summarized && !s.not && m.sum.HasAll(s.names) {
		return m.sum.Fields(), nil
	}
	if err := m.readHeader(ctx); err != nil {
		return nil, err
	}
	return m.header, nil
}

// headerSize is the size of the message's header.
func (m *message) headerSize(ctx context.Context) (int64, error) {
	if m.summarized {
		return m.sum.HeaderSize, nil
	}
	err := m.readHeader(ctx)
	return m.bodyAt, err
}
