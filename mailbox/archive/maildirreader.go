package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/internal/packing"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Bounds of what is read of the files beside the messages.
const (
	maxUIDList       = 512 << 20
	maxKeywordsFile  = 1 << 20
	maxSubscriptions = 16 << 20
)

// maildirReader reads a Maildir++ tree.
type maildirReader struct {
	fsys       durable.FS
	root       string
	opts       Options
	folders    []string // still to come
	subscribed []string
	all        bool // are subscribed, as nothing tells
	begun      bool

	folder   string // now
	name     string
	keywords [maxKeywords]mailbox.Flag
	files    []maildirFile // still to come
	open     durable.File  // of the message given last
}

// maildirFile is a message.
type maildirFile struct {
	sub, name string
	base      string
	uid       mailbox.UID // 0: none
}

// openMaildir reads a tree that any program wrote. Its messages come in the order of their UIDs, then of their names. Symbolic
// links are passed over, and what no program takes for a message. Without a file of subscriptions all mailboxes are subscribed.
func openMaildir(fsys durable.FS, root string, opts Options) (Reader, error) {
	r := &maildirReader{fsys: fsys, root: root, opts: opts}
	entries, err := fsys.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if r.isMaildir("") {
		r.folders = append(r.folders, "")
	}
	for _, e := range entries {
		if _, ok := mailboxName(e.Name()); ok && e.IsDir() && r.isMaildir(e.Name()) {
			r.folders = append(r.folders, e.Name())
		}
	}
	if len(r.folders) == 0 {
		return nil, fmt.Errorf("%w: %s is no Maildir: it has no folder cur", ErrFormat, root)
	}
	data, err := durable.ReadFile(fsys, filepath.Join(root, maildirpp.SubscriptionsFile), maxSubscriptions)
	r.all = errors.Is(err, fs.ErrNotExist)
	if err != nil && !r.all {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if r.subscribed, err = parseSubscriptions(data); err != nil {
		return nil, err
	}
	return r, nil
}

// isMaildir says whether a folder is a mailbox.
func (r *maildirReader) isMaildir(folder string) bool {
	info, err := r.fsys.Lstat(filepath.Join(r.root, folder, "cur"))
	return err == nil && info.IsDir()
}

// parseSubscriptions gives the names that can be a mailbox's.
func parseSubscriptions(data []byte) ([]string, error) {
	names, err := maildirpp.ParseSubscriptions(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var out []string
	for _, name := range names {
		if name, err := mailbox.CleanName(name); err == nil {
			out = append(out, name)
		}
	}
	return out, nil
}

// Close implements Reader.
func (r *maildirReader) Close() error {
	if r.open == nil {
		return nil
	}
	file := r.open
	r.open = nil
	return file.Close()
}

// Next implements Reader.
func (r *maildirReader) Next(context.Context) (Entry, error) {
	if err := r.Close(); err != nil {
		return Entry{}, err
	}
	if !r.begun {
		r.begun = true
		return Entry{Account: r.account()}, nil
	}
	for len(r.files) > 0 {
		f := r.files[0]
		r.files = r.files[1:]
		m, err := r.message(f)
		if errors.Is(err, fs.ErrNotExist) { // renamed meanwhile, by another program
			continue
		}
		if err != nil {
			return Entry{}, fmt.Errorf("archive: %s: %w", filepath.Join(r.root, r.folder, f.sub, f.name), err)
		}
		return Entry{Message: m}, nil
	}
	if len(r.folders) == 0 {
		return Entry{}, io.EOF
	}
	r.folder, r.folders = r.folders[0], r.folders[1:]
	m, err := r.enter()
	if err != nil {
		return Entry{}, fmt.Errorf("archive: %s: %w", filepath.Join(r.root, r.folder), err)
	}
	return Entry{Mailbox: m}, nil
}

// account has the subscriptions that belong to no mailbox.
func (r *maildirReader) account() *Account {
	names := map[string]bool{mailbox.Inbox: true}
	for _, folder := range r.folders {
		name, _ := mailboxName(folder)
		names[name] = true
	}
	a := &Account{}
	for _, name := range r.subscribed {
		if !names[name] {
			a.Subscriptions = append(a.Subscriptions, name)
		}
	}
	return a
}

// enter reads a folder.
func (r *maildirReader) enter() (*Mailbox, error) {
	r.name = mailbox.Inbox
	if r.folder != "" {
		r.name, _ = mailboxName(r.folder)
	}
	m := &Mailbox{Name: r.name, Subscribed: r.all || slices.Contains(r.subscribed, r.name)}
	dir := filepath.Join(r.root, r.folder)
	data, err := durable.ReadFile(r.fsys, filepath.Join(dir, keywordsFile), maxKeywordsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r.keywords = parseKeywords(string(data))
	data, err = durable.ReadFile(r.fsys, filepath.Join(dir, uidlistFile), maxUIDList)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	uids := m.parseUIDList(string(data))
	seen := map[string]bool{}
	for _, sub := range []string{"new", "cur"} {
		names, err := r.fsys.ReadNames(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			base, _ := splitName(name)
			if strings.HasPrefix(name, ".") || seen[base] { // moved from new to cur while they were read
				continue
			}
			seen[base] = true
			r.files = append(r.files, maildirFile{sub, name, base, uids[base]})
		}
	}
	slices.SortFunc(r.files, func(a, b maildirFile) int {
		last := func(f maildirFile) uint64 { return uint64(f.uid) - 1 } // those without a UID
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a.base, b.base))
	})
	return m, nil
}

func parseKeywords(data string) (out [maxKeywords]mailbox.Flag) {
	for line := range strings.SplitSeq(data, "\n") {
		digits, name, ok := strings.Cut(line, " ")
		n, err := strconv.Atoi(digits)
		if ok && err == nil && n >= 0 && n < maxKeywords {
			out[n] = mailbox.Flag(name)
		}
	}
	return out
}

// parseUIDList takes UIDVALIDITY and UIDNEXT from a dovecot-uidlist, and gives the UIDs of file names; what is damaged is
// left out.
func (m *Mailbox) parseUIDList(data string) map[string]mailbox.UID {
	head, rest, _ := strings.Cut(data, "\n")
	fields := strings.Fields(head)
	if len(fields) < 2 || fields[0] != "3" {
		return nil
	}
	for _, f := range fields[1:] {
		n, err := strconv.ParseUint(f[1:], 10, 32)
		switch {
		case err == nil && f[0] == 'V':
			m.UIDValidity = uint32(n)
		case err == nil && f[0] == 'N':
			m.UIDNext = mailbox.UID(n)
		}
	}
	uids := map[string]mailbox.UID{}
	for line := range strings.SplitSeq(rest, "\n") {
		left, name, ok := strings.Cut(line, ":")
		digits, _, _ := strings.Cut(left, " ")
		uid, err := strconv.ParseUint(digits, 10, 32)
		if ok && err == nil {
			base, _ := splitName(name)
			uids[base] = mailbox.UID(uid)
			m.UIDNext = max(m.UIDNext, mailbox.UID(uid)+1)
		}
	}
	return uids
}

// splitName cuts a file's name into what stays the same and its flags.
func splitName(name string) (base, letters string) {
	for i := 1; i < len(name); i++ {
		if name[i] == ':' || strings.HasPrefix(name[i:], ";2,") {
			letters, _ := strings.CutPrefix(name[i+1:], "2,")
			return name[:i], letters
		}
	}
	return name, ""
}

// message opens a message.
func (r *maildirReader) message(f maildirFile) (*Message, error) {
	path := filepath.Join(r.root, r.folder, f.sub, f.name)
	info, err := r.fsys.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	if info.Size() > r.opts.maxMessage() {
		return nil, fmt.Errorf("%w: message has %d octets, more than %d", ErrTooLarge, info.Size(), r.opts.maxMessage())
	}
	if r.open, err = r.fsys.OpenFile(path, os.O_RDONLY, 0); err != nil {
		r.open = nil
		return nil, err
	}
	if err := r.unpacked(f.base, info.Size()); err != nil {
		return nil, err
	}
	size, err := io.Copy(io.Discard, newCRLF(r.open)) // it has to be known before
	if err == nil {
		_, err = r.open.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	m := &Message{UID: f.uid, InternalDate: dateOf(info.ModTime()), Size: size, Content: newCRLF(r.open), Where: path}
	_, letters := splitName(f.name)
	for _, l := range maildirLetters() {
		if strings.IndexByte(letters, l.letter) >= 0 {
			m.Flags = append(m.Flags, l.flag)
		}
	}
	for i := range len(letters) {
		if c := letters[i]; c >= 'a' && c <= 'z' && r.keywords[c-'a'] != "" {
			m.Flags = append(m.Flags, r.keywords[c-'a'])
		}
	}
	m.Flags = cleanFlags(m.Flags)
	return m, nil
}

// unpacked refuses the open message if Dovecot compressed or encrypted it: it is not as long as its name says then.
func (r *maildirReader) unpacked(base string, length int64) error {
	for part := range strings.SplitSeq(base, ",") {
		if part == "S="+strconv.FormatInt(length, 10) {
			return nil
		}
	}
	start := make([]byte, packing.Start)
	n, err := r.open.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if how := packing.Of(start[:n]); how != "" {
		return fmt.Errorf("%w: message was %s: convert the account with doveadm backup", ErrFormat, packing.Plugin(how))
	}
	return nil
}
