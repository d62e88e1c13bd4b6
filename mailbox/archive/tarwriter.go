package archive

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

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
