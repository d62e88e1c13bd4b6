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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// The tar of an account has these entries, in this order:
//
//	mailbricks-archive.json    {"format": "mailbricks-archive", "version": 1, …}: what is in Account
//	NAME/mailbox.json          what is in Mailbox; the names of folders are only for people
//	NAME/<UID>.eml             a message; the time of the file is its internal date, and PAX records have the rest:
//	                           MAILBRICKS.flags (with spaces between them), MAILBRICKS.modseq, MAILBRICKS.saved (RFC 3339)
//	…
//	end.json                   how many mailboxes and messages there were: without it the tar is not whole
const (
	tarFormat  = "mailbricks-archive"
	tarVersion = 1
	tarAccount = tarFormat + ".json"
	tarMailbox = "mailbox.json"
	tarEnd     = "end.json"

	paxFlags  = "MAILBRICKS.flags"
	paxModSeq = "MAILBRICKS.modseq"
	paxSaved  = "MAILBRICKS.saved"

	// maxJSON is more than the annotations of a mailbox need.
	maxJSON = 16 << 20
	// maxTail is how much may stand behind the end.
	maxTail = 1 << 20
)

type tarAccountJSON struct {
	Format        string           `json:"format"`
	Version       int              `json:"version"`
	Subscriptions []string         `json:"subscriptions,omitempty"`
	Annotations   []annotationJSON `json:"annotations,omitempty"`
}

type tarMailboxJSON struct {
	Name        string           `json:"name"`
	ID          string           `json:"id,omitempty"`
	UIDValidity uint32           `json:"uidvalidity,omitempty"`
	UIDNext     mailbox.UID      `json:"uidnext,omitempty"`
	ModSeq      mailbox.ModSeq   `json:"modseq,omitempty"`
	Uses        []mailbox.Use    `json:"uses,omitempty"`
	Subscribed  bool             `json:"subscribed,omitempty"`
	Annotations []annotationJSON `json:"annotations,omitempty"`
}

// annotationJSON has the value in base64.
type annotationJSON struct {
	Entry string `json:"entry"`
	Value []byte `json:"value"`
}

type tarEndJSON struct {
	Mailboxes int `json:"mailboxes"`
	Messages  int `json:"messages"`
}

func toJSON(list []mailbox.Annotation) []annotationJSON {
	var out []annotationJSON
	for _, a := range list {
		out = append(out, annotationJSON(a))
	}
	return out
}

func fromJSON(list []annotationJSON) []mailbox.Annotation {
	var out []mailbox.Annotation
	for _, a := range list {
		if a.Value == nil {
			a.Value = []byte{} // nil would take it off
		}
		out = append(out, mailbox.Annotation(a))
	}
	return out
}

// tarWriter writes the tar of an account.
type tarWriter struct {
	tar    *tar.Writer
	gz     *gzip.Writer // nil: none
	dir    string       // of the mailbox
	last   mailbox.UID
	unseen int // messages without a UID of their own
	dirs   map[string]bool
	begun  bool
	done   bool
	end    tarEndJSON
}

// NewTarWriter writes a tar of an account to w, compressed with gzip or not. It is made of PAX entries that any tar
// unpacks: a folder a mailbox with mailbox.json and a file for each message, whose time is the internal date; flags, modseq and
// save date are in PAX records, and the last entry says how many there were. Equal mail gives equal octets. Finish ends the
// stream, and does not close w.
func NewTarWriter(w io.Writer, compress bool) Writer {
	t := &tarWriter{dirs: map[string]bool{}}
	if compress {
		t.gz = gzip.NewWriter(w)
		w = t.gz
	}
	t.tar = tar.NewWriter(w)
	return t
}

// Close implements Writer.
func (w *tarWriter) Close() error { return nil }

// Finish implements Writer.
func (w *tarWriter) Finish() error {
	if w.done {
		return nil
	}
	w.done = true
	err := w.begin(&Account{})
	if err == nil {
		err = w.json(tarEnd, w.end)
	}
	if err == nil {
		err = w.tar.Close()
	}
	if err == nil && w.gz != nil {
		err = w.gz.Close()
	}
	if err != nil {
		return fmt.Errorf("archive: tar: %w", err)
	}
	return nil
}

// Write implements Writer.
func (w *tarWriter) Write(_ context.Context, e Entry) (bool, error) {
	switch {
	case e.Account != nil:
		return true, w.begin(e.Account)
	case e.Mailbox != nil:
		if err := w.begin(&Account{}); err != nil {
			return false, err
		}
		return true, w.mailbox(e.Mailbox)
	case e.Message != nil:
		return true, w.message(e.Message)
	}
	return false, nil
}

func (w *tarWriter) begin(a *Account) error {
	if w.begun {
		return nil
	}
	w.begun = true
	return w.json(tarAccount, tarAccountJSON{tarFormat, tarVersion, a.Subscriptions, toJSON(a.Annotations)})
}

func (w *tarWriter) mailbox(m *Mailbox) error {
	w.dir = fileName(m.Name)
	for n := 2; w.dirs[strings.ToLower(w.dir)]; n++ { // folders of some systems do not know case
		w.dir = fileName(m.Name) + "%~" + strconv.Itoa(n)
	}
	w.dirs[strings.ToLower(w.dir)] = true
	w.last = 0
	w.end.Mailboxes++
	return w.json(w.dir+"/"+tarMailbox, tarMailboxJSON{
		m.Name, m.ID, m.UIDValidity, m.UIDNext, m.ModSeq, m.Uses, m.Subscribed, toJSON(m.Annotations)})
}

// epoch is the time of entries that have none.
func epoch() time.Time { return time.Unix(0, 0) }

func (w *tarWriter) json(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	err = w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: epoch(), Format: tar.FormatPAX})
	if err == nil {
		_, err = w.tar.Write(data)
	}
	return err
}

func (w *tarWriter) message(m *Message) error {
	if w.dir == "" {
		return fmt.Errorf("%w: message without a mailbox", ErrFormat)
	}
	name := strconv.FormatUint(uint64(m.UID), 10)
	if m.UID <= w.last { // it has none, or not one of its own
		w.unseen++
		name = "n" + strconv.Itoa(w.unseen)
	} else {
		w.last = m.UID
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: w.dir + "/" + name + ".eml", Mode: 0o600, Size: m.Size, ModTime: epoch(),
		Format: tar.FormatPAX, PAXRecords: map[string]string{}}
	if !m.InternalDate.IsZero() {
		h.ModTime = m.InternalDate
	}
	if list := slices.Clone(m.Flags); len(list) > 0 {
		slices.Sort(list)
		words := make([]string, len(list))
		for i, f := range list {
			words[i] = string(f)
		}
		h.PAXRecords[paxFlags] = strings.Join(words, " ")
	}
	if m.ModSeq != 0 {
		h.PAXRecords[paxModSeq] = strconv.FormatUint(uint64(m.ModSeq), 10)
	}
	if !m.SaveDate.IsZero() {
		h.PAXRecords[paxSaved] = m.SaveDate.UTC().Format(time.RFC3339Nano)
	}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	w.end.Messages++
	_, err := io.Copy(w.tar, &exact{m.Content, m.Size})
	return err
}

// tarReader reads what tarWriter writes.
type tarReader struct {
	opts   Options
	in     io.Reader
	tar    *tar.Reader
	begun  bool
	done   bool
	dir    string // of the mailbox
	counts tarEndJSON
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
	var magic [2]byte
	n, err := io.ReadFull(r.in, magic[:])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	r.in = io.MultiReader(bytes.NewReader(magic[:n]), r.in)
	if magic == [2]byte{0x1f, 0x8b} {
		if r.in, err = gzip.NewReader(r.in); err != nil {
			return err
		}
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
	if h.Name != tarAccount {
		return Entry{}, fmt.Errorf("%w: begins with %.100q, not with %s", ErrFormat, h.Name, tarAccount)
	}
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
