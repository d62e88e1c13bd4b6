package archive

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// maildirLetters are the flags that have a letter in file names, in the order of the letters.
func maildirLetters() [5]statusLetter {
	return [...]statusLetter{{'D', mailbox.Draft}, {'F', mailbox.Flagged}, {'R', mailbox.Answered}, {'S', mailbox.Seen}, {'T', mailbox.Deleted}}
}

// maxKeywords is how many keywords a folder has letters for.
const maxKeywords = 26

// Files of a Maildir++ tree, as Dovecot has them.
const (
	uidlistFile   = "dovecot-uidlist"
	keywordsFile  = "dovecot-keywords"
	maildirFolder = "maildirfolder"
)

// maildirWriter writes a Maildir++ tree.
type maildirWriter struct {
	fsys       durable.FS
	root       string
	subscribed []string

	messages durable.Batch
	dirs     []string // of the mailboxes
	dir      string   // of the mailbox; empty: none yet
	now      *Mailbox
	keywords []mailbox.Flag
	uidlist  strings.Builder
	last     mailbox.UID // in uidlist
	plain    bool        // uidlist cannot be written: UIDs are missing or do not ascend
	count    int
}

func newMaildirWriter(fsys durable.FS, root string) *maildirWriter {
	return &maildirWriter{fsys: fsys, root: root, messages: durable.Batch{FS: fsys, Dir: filepath.Dir(root)}}
}

func (w *maildirWriter) Write(_ context.Context, e Entry) (bool, error) {
	switch {
	case e.Account != nil:
		w.subscribed = append(w.subscribed, e.Account.Subscriptions...)
	case e.Mailbox != nil:
		if err := w.close(); err != nil {
			return false, err
		}
		return true, w.enter(e.Mailbox)
	case e.Message != nil && w.now == nil:
		return false, fmt.Errorf("%w: message without a mailbox", ErrFormat)
	case e.Message != nil:
		return true, w.message(e.Message)
	}
	return true, nil
}

func (w *maildirWriter) abort() { w.messages.Close() }

func (w *maildirWriter) finish() error {
	if err := w.close(); err != nil {
		return err
	}
	if _, err := w.fsys.Lstat(filepath.Join(w.root, "cur")); err != nil { // there was no INBOX, without which it is no Maildir
		if err := w.makeFolders(w.root); err != nil {
			return err
		}
	}
	if err := w.writeSubscriptions(); err != nil {
		return err
	}
	return w.sync()
}

// sync returns when all is on disk, but for the names in root.
func (w *maildirWriter) sync() error {
	if err := w.messages.Finish(); err != nil {
		return err
	}
	for _, dir := range w.dirs {
		if err := w.fsys.SyncDir(filepath.Join(dir, "cur")); err != nil {
			return err
		}
		if err := w.fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (w *maildirWriter) writeSubscriptions() error {
	if len(w.subscribed) == 0 {
		return nil
	}
	slices.Sort(w.subscribed)
	data := maildirpp.FormatSubscriptions(slices.Compact(w.subscribed))
	return durable.WriteFile(w.fsys, filepath.Join(w.root, maildirpp.SubscriptionsFile), data, 0o600)
}

func (w *maildirWriter) makeFolders(dir string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := w.fsys.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (w *maildirWriter) enter(m *Mailbox) error {
	w.dir = filepath.Join(w.root, folderName(m.Name))
	if w.dir != w.root {
		if err := w.fsys.Mkdir(w.dir, 0o700); err != nil {
			return err
		}
		if err := durable.WriteFile(w.fsys, filepath.Join(w.dir, maildirFolder), nil, 0o600); err != nil {
			return err
		}
	}
	w.now, w.keywords, w.last, w.plain = m, nil, 0, m.UIDValidity == 0
	w.uidlist.Reset()
	if m.Subscribed {
		w.subscribed = append(w.subscribed, m.Name)
	}
	w.dirs = append(w.dirs, w.dir)
	return w.makeFolders(w.dir)
}

// close writes the files of the folder.
func (w *maildirWriter) close() error {
	if w.now == nil {
		return nil
	}
	m := w.now
	w.now = nil
	if len(w.keywords) > 0 {
		var b strings.Builder
		for i, k := range w.keywords {
			fmt.Fprintf(&b, "%d %s\n", i, k)
		}
		if err := durable.WriteFile(w.fsys, filepath.Join(w.dir, keywordsFile), []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	if w.plain {
		return nil
	}
	var guid [16]byte
	_, _ = rand.Read(guid[:]) // never fails
	head := fmt.Sprintf("3 V%d N%d G%s\n", m.UIDValidity, max(m.UIDNext, w.last+1), hex.EncodeToString(guid[:]))
	return durable.WriteFile(w.fsys, filepath.Join(w.dir, uidlistFile), []byte(head+w.uidlist.String()), 0o600)
}

func (w *maildirWriter) message(m *Message) error {
	w.count++
	date := m.InternalDate
	if date.IsZero() {
		date = epoch()
	}
	temp := filepath.Join(w.dir, "tmp", fmt.Sprintf("%d.M%dP%d.archive", date.Unix(), w.count, os.Getpid()))
	size, err := w.writeFile(temp, m, date)
	base := fmt.Sprintf("%s,S=%d,W=%d", filepath.Base(temp), size, m.Size)
	if err == nil {
		err = w.fsys.Rename(temp, filepath.Join(w.dir, "cur", base+maildirpp.InfoSeparator+w.letters(m.Flags)))
	}
	if err != nil {
		return err
	}
	if m.UID <= w.last {
		w.plain = true
	}
	if !w.plain {
		w.last = m.UID
		fmt.Fprintf(&w.uidlist, "%d :%s\n", m.UID, base)
	}
	return nil
}

// letters are those that the flags have in a file's name.
func (w *maildirWriter) letters(flags []mailbox.Flag) string {
	out := "2,"
	for _, l := range maildirLetters() {
		if mailbox.HasFlag(flags, l.flag) {
			out += string(l.letter)
		}
	}
	var words []byte
	for _, f := range flags {
		if f.System() {
			continue
		}
		at := slices.IndexFunc(w.keywords, f.Is)
		if at < 0 && len(w.keywords) < maxKeywords {
			at = len(w.keywords)
			w.keywords = append(w.keywords, f)
		}
		if at >= 0 {
			words = append(words, byte('a'+at))
		}
	}
	slices.Sort(words)
	return out + string(words)
}

// writeFile writes a message with LF line ends and a date, and gives its length.
func (w *maildirWriter) writeFile(path string, m *Message, date time.Time) (int64, error) {
	file, err := w.fsys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(file, bufferSize)
	size, err := toLF(out, bufio.NewReaderSize(&exact{m.Content, m.Size}, bufferSize))
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = w.fsys.Chtimes(path, date)
	}
	if err == nil {
		err = w.messages.Sync(file)
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return size, err
}

// toLF copies with LF line ends and counts.
func toLF(out *bufio.Writer, in *bufio.Reader) (size int64, err error) {
	for {
		line, whole, err := readPiece(in)
		if err != nil && err != io.EOF {
			return size, err
		}
		if n := len(line); whole && n > 1 && line[n-2] == '\r' {
			line = append(line[:n-2], '\n') // within the buffer
		}
		n, writeErr := out.Write(line)
		size += int64(n)
		if writeErr != nil {
			return size, writeErr
		}
		if err == io.EOF {
			return size, nil
		}
	}
}

// dateOf is a time as file names and files have it.
func dateOf(t time.Time) time.Time { return t.Truncate(time.Second) }
