package archive

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// tarReader reads what tarWriter writes.
type tarReader struct {
	opts   Options
	in     io.Reader
	tar    *tar.Reader
	begun  bool
	done   bool
	dir    string // of the mailbox
	counts tarEndJSON

	noTar bool // what is read does not look like a tar
}

// NewTarReader reads a tar that NewTarWriter wrote, compressed or not. It fails with ErrFormat for any other, for links and
// special files in it, and where it was cut short or messages are missing.
func NewTarReader(r io.Reader, opts Options) Reader { return &tarReader{opts: opts, in: r} }

// Close implements Reader.
func (r *tarReader) Close() error { return nil }

// Next implements Reader.
func (r *tarReader) Next(context.Context) (Entry, error) {
	if r.done {
		return Entry{}, io.EOF
	}
	e, err := r.next()
	if err == io.EOF {
		r.done = true
		return e, err
	}
	return e, r.explain(err)
}

// explain says what errors of the formats below mean.
func (r *tarReader) explain(err error) error {
	if r.noTar && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader)) {
		return fmt.Errorf("%w: it is no tar, and an mbox begins with \"From \"", ErrFormat)
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: tar was cut short after %d messages: %w", ErrFormat, r.counts.Messages, err)
	case errors.Is(err, tar.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || isFlate(err):
		return fmt.Errorf("%w: tar is damaged after %d messages: %w", ErrFormat, r.counts.Messages, err)
	}
	return err
}

func isFlate(err error) bool {
	_, ok := errors.AsType[flate.CorruptInputError](err)
	return ok
}

// tarContent reads a message.
type tarContent struct{ r *tarReader }

func (c tarContent) Read(p []byte) (int, error) {
	n, err := c.r.tar.Read(p)
	if err != nil && err != io.EOF {
		err = c.r.explain(err)
	}
	return n, err
}

func (r *tarReader) next() (Entry, error) {
	if r.tar == nil {
		if err := r.open(); err != nil {
			return Entry{}, err
		}
	}
	h, err := r.tar.Next()
	if err == io.EOF {
		return Entry{}, fmt.Errorf("no %s: %w", tarEnd, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return Entry{}, err
	}
	if !r.begun && h.Name != tarAccount {
		return Entry{}, r.foreign(h)
	}
	if err := r.checkHeader(h); err != nil {
		return Entry{}, err
	}
	dir, file, inDir := strings.Cut(h.Name, "/")
	switch {
	case !r.begun:
		return r.account(h)
	case h.Name == tarEnd:
		return Entry{}, r.end(h)
	case inDir && file == tarMailbox:
		return r.mailbox(h, dir)
	case inDir && dir == r.dir && strings.HasSuffix(file, ".eml"):
		return r.message(h, file)
	}
	return Entry{}, fmt.Errorf("%w: unexpected entry %.100q", ErrFormat, h.Name)
}

// open finds out whether the stream is compressed.
func (r *tarReader) open() error {
	var start [len(tarAccount)]byte
	n, err := io.ReadFull(r.in, start[:])
	if n < 2 && err != nil {
		return io.ErrUnexpectedEOF
	}
	if err != nil && err != io.ErrUnexpectedEOF {
		return err
	}
	r.in = io.MultiReader(bytes.NewReader(start[:n]), r.in)
	if start[0] == 0x1f && start[1] == 0x8b {
		if r.in, err = gzip.NewReader(r.in); err != nil {
			return err
		}
	} else {
		r.noTar = !strings.HasPrefix(tarAccount, string(start[:n]))
	}
	r.tar = tar.NewReader(r.in)
	return nil
}

// checkHeader refuses what no writer of ours makes.
func (r *tarReader) checkHeader(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%w: %.100q is no plain file", ErrFormat, h.Name)
	}
	for key := range maps.Keys(h.PAXRecords) {
		if strings.HasPrefix(key, "GNU.sparse.") { // it could say any size without having it
			return fmt.Errorf("%w: %.100q is sparse", ErrFormat, h.Name)
		}
	}
	if h.Size > r.opts.maxMessage() {
		return fmt.Errorf("%w: %.100q has %d octets, more than %d", ErrTooLarge, h.Name, h.Size, r.opts.maxMessage())
	}
	return nil
}

func (r *tarReader) json(h *tar.Header, into any) error {
	if h.Size > maxJSON {
		return fmt.Errorf("%w: %.100q has %d octets", ErrTooLarge, h.Name, h.Size)
	}
	data, err := io.ReadAll(r.tar)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %.100q: %w", ErrFormat, h.Name, err)
	}
	return nil
}

func (r *tarReader) account(h *tar.Header) (Entry, error) {
	var a tarAccountJSON
	if err := r.json(h, &a); err != nil {
		return Entry{}, err
	}
	if a.Format != tarFormat || a.Version < 1 {
		return Entry{}, fmt.Errorf("%w: format %.50q version %d", ErrFormat, a.Format, a.Version)
	}
	if a.Version > tarVersion {
		return Entry{}, fmt.Errorf("%w: version %d", ErrVersion, a.Version)
	}
	r.begun = true
	return Entry{Account: &Account{a.Subscriptions, fromJSON(a.Annotations)}}, nil
}

// foreign is the error for a tar that is not one of this package's.
func (r *tarReader) foreign(h *tar.Header) error {
	return fmt.Errorf("%w: the tar begins with %.100q, not with %s: unpack it and take what is in it", ErrFormat, h.Name, tarAccount)
}

func (r *tarReader) mailbox(h *tar.Header, dir string) (Entry, error) {
	var m tarMailboxJSON
	if err := r.json(h, &m); err != nil {
		return Entry{}, err
	}
	name, err := mailbox.CleanName(m.Name)
	if err != nil {
		return Entry{}, fmt.Errorf("%w: %.100q: %w", ErrFormat, h.Name, err)
	}
	r.dir = dir
	r.counts.Mailboxes++
	return Entry{Mailbox: &Mailbox{name, m.ID, m.UIDValidity, m.UIDNext, m.ModSeq, m.Uses, m.Subscribed, fromJSON(m.Annotations)}}, nil
}

func (r *tarReader) message(h *tar.Header, file string) (Entry, error) {
	m := &Message{Size: h.Size, Content: tarContent{r}, Where: fmt.Sprintf("%.150q", h.Name)}
	if uid, err := strconv.ParseUint(strings.TrimSuffix(file, ".eml"), 10, 32); err == nil {
		m.UID = mailbox.UID(uid)
	}
	if !h.ModTime.Equal(epoch()) {
		m.InternalDate = h.ModTime
	}
	for word := range strings.FieldsSeq(h.PAXRecords[paxFlags]) {
		m.Flags = append(m.Flags, mailbox.Flag(word))
	}
	if text := h.PAXRecords[paxModSeq]; text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return Entry{}, fmt.Errorf("%w: %.100q: modseq: %w", ErrFormat, h.Name, err)
		}
		m.ModSeq = mailbox.ModSeq(n)
	}
	if text := h.PAXRecords[paxSaved]; text != "" {
		var err error
		if m.SaveDate, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return Entry{}, fmt.Errorf("%w: %.100q: save date: %w", ErrFormat, h.Name, err)
		}
	}
	r.counts.Messages++
	return Entry{Message: m}, nil
}

// end checks that nothing is missing. It gives io.EOF if so.
func (r *tarReader) end(h *tar.Header) error {
	var end tarEndJSON
	if err := r.json(h, &end); err != nil {
		return err
	}
	if end != r.counts {
		return fmt.Errorf("%w: %d mailboxes and %d messages where there should be %d and %d", ErrFormat,
			r.counts.Mailboxes, r.counts.Messages, end.Mailboxes, end.Messages)
	}
	if h, err := r.tar.Next(); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("%w: %.100q comes after the end", ErrFormat, h.Name)
		}
		return err
	}
	// The checksum of gzip comes last.
	if _, err := io.CopyN(io.Discard, r.in, maxTail); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("%w: much comes after the end", ErrFormat)
		}
		return err
	}
	return io.EOF
}
