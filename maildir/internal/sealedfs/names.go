package sealedfs

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
)

type closer = io.Closer

var errForeign = errors.New("file of another account")

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

const (
	// NameFile is the file in a folder with a hidden name that has the name.
	NameFile = "mailbricks-name"
	// nameHead is its first line.
	nameHead = NameFile + " 1"
	// KeyFile is the key file in the root.
	KeyFile = "mailbricks-keys"
	// RolesFile says in the clear where mail for a use goes.
	RolesFile = "mailbricks-roles"

	maxNameFile  = 4096
	hiddenPrefix = ".="
	hiddenOctets = 20 // of the hash: 32 characters
	hiddenLength = len(hiddenPrefix) + hiddenOctets*8/5
	tempSuffix   = ".tmp"
	messageKind  = "message"
)

// Files that stay plain, in the folder of the account or of a mailbox.
func staysPlain(name string) bool {
	switch name {
	case "dovecot-uidlist", "mailbricks-moves", "maildirsize", "maildirfolder", "dovecot-uidvalidity", KeyFile, RolesFile:
		return true
	}
	return strings.HasPrefix(name, "dovecot-uidvalidity.") || strings.HasSuffix(name, ".lock")
}

// isLog says which files grow.
func isLog(name string) bool {
	return name == "mailbricks-index" || name == "mailbricks-summaries" || strings.HasPrefix(name, "mailbricks-summaries.")
}

func encoding() *base32.Encoding {
	return base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
}

// hide gives the name on disk of a mailbox's folder.
func hide(secret []byte, folder string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("mailbricks folder "))
	h.Write([]byte(folder))
	return hiddenPrefix + encoding().EncodeToString(h.Sum(nil)[:hiddenOctets])
}

// isHidden says whether a folder on disk can have a hidden name.
func isHidden(folder string) bool {
	if len(folder) != hiddenLength || !strings.HasPrefix(folder, hiddenPrefix) {
		return false
	}
	_, err := encoding().DecodeString(folder[len(hiddenPrefix):])
	return err == nil
}

// isMailbox says whether a folder in the account's can be a mailbox's.
func isMailbox(folder string) bool {
	return len(folder) > 1 && folder[0] == '.' && folder[1] != '.'
}

// place finds where a path is on disk. f.moving is held.
func (f *FS) place(path string) (place, error) {
	if !f.within(path) {
		return place{path: path}, nil
	}
	path = filepath.Clean(path)
	if path == f.root {
		return place{path: path}, nil
	}
	first, rest, below := strings.Cut(path[len(f.root)+1:], string(filepath.Separator))
	p, name := place{path: filepath.Join(f.root, first)}, first
	if isMailbox(first) {
		disk, err := f.folder(first)
		if err != nil {
			return place{}, err
		}
		p.path = filepath.Join(f.root, disk)
		if !below {
			p.folder = first
			return p, nil
		}
		p.path = filepath.Join(p.path, rest)
		name = rest
	} else if below && strings.HasPrefix(first, "..") { // a folder that is no mailbox's yet, or any more
		p.path, name = path, rest
	} else {
		p.path, name = path, path[len(f.root)+1:]
	}
	p.classify(name)
	return p, nil
}

// classify says what the file is that has this name within a mailbox's folder.
func (p *place) classify(name string) {
	dir, base := filepath.Split(name)
	switch filepath.Clean(dir) {
	case "new", "cur", "tmp":
		p.kind, p.temp = messageKind, filepath.Clean(dir) == "tmp"
	case ".":
		if base == "new" || base == "cur" || base == "tmp" || strings.HasPrefix(base, "..") {
			return
		}
		final, rest, isTemp := cutTemp(base)
		if p.temp = isTemp && rest; p.temp {
			base = final
		}
		if !staysPlain(base) {
			p.kind, p.log = base, isLog(base)
		}
	}
}

// cutTemp finds the name that a file of durable.WriteFile will have.
func cutTemp(base string) (final string, random, ok bool) {
	rest, ok := strings.CutSuffix(base, tempSuffix)
	if !ok {
		return base, false, false
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot <= 0 {
		return base, false, false
	}
	return rest[:dot], true, true
}

// folder gives the name on disk of a mailbox's folder, which may not be there yet.
func (f *FS) folder(folder string) (string, error) {
	mode := f.mode.Load()
	if isHidden(folder) { // as a locked account shows them, and those whose names are lost
		if exists, err := f.exists(folder); exists || err != nil {
			return folder, err
		}
	}
	if mode.Names != nil {
		hidden := hide(mode.Names, folder)
		f.mu.Lock()
		known := f.hidden[hidden]
		f.mu.Unlock()
		if known {
			return hidden, nil
		}
		exists, err := f.exists(hidden)
		if err != nil {
			return "", err
		}
		if exists {
			f.know(hidden)
			return hidden, nil
		}
		if exists, err = f.exists(folder); exists || err != nil || mode.Sealer == nil {
			return folder, err
		}
		return hidden, nil
	}
	exists, err := f.exists(folder)
	if err == nil && !exists && mode.Sealer != nil {
		err = f.locked
	}
	return folder, err
}

func (f *FS) exists(folder string) (bool, error) {
	_, err := f.under.Lstat(filepath.Join(f.root, folder))
	if isNotExist(err) {
		return false, nil
	}
	return err == nil, err
}

func (f *FS) know(hidden string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.hidden) >= maxNames {
		clear(f.hidden)
	}
	f.hidden[hidden] = true
}

// forget forgets what is known of a path on disk.
func (f *FS) forget(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.writers, path)
	delete(f.logs, path)
	delete(f.sizes, path)
	if f.within(path) && path != f.root {
		first, _, _ := strings.Cut(path[len(f.root)+1:], string(filepath.Separator))
		delete(f.hidden, first)
	}
}

// show gives names in the root as they are shown: empty for a folder whose mailbox is there with a hidden name as well.
func (f *FS) show(names []string) ([]string, error) {
	out := slices.Clone(names)
	if f.mode.Load().Names == nil {
		return out, nil
	}
	taken := map[string]bool{}
	for i, name := range names {
		if !isHidden(name) {
			continue
		}
		folder, err := f.nameOf(name)
		if err != nil {
			return nil, err
		}
		if folder != "" {
			out[i] = folder
			taken[folder] = true
		}
	}
	for i, name := range names {
		if out[i] == name && taken[name] {
			out[i] = ""
		}
	}
	return out, nil
}

// nameOf gives the folder of a mailbox by that on disk; empty if nobody can tell. It fails where it cannot be read now.
func (f *FS) nameOf(hidden string) (string, error) {
	f.mu.Lock()
	name, ok := f.names[hidden]
	f.mu.Unlock()
	if ok {
		return name, nil
	}
	secret := f.mode.Load().Names
	list, err := f.readNames(filepath.Join(f.root, hidden))
	for _, lost := range []error{fs.ErrNotExist, sealed.ErrDamaged, sealed.ErrNoKey, errNoNames, f.locked} {
		if errors.Is(err, lost) {
			return "", nil
		}
	}
	if err != nil || secret == nil {
		return "", err
	}
	for _, name := range list {
		if isMailbox(name) && hide(secret, name) == hidden {
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.names) >= maxNames {
				clear(f.names)
			}
			f.names[hidden] = name // it cannot become another one: the name on disk is its hash
			return name, nil
		}
	}
	return "", nil
}

// errNoNames is a file of names that is none.
var errNoNames = errors.New("sealedfs: no names")

// readNames reads the names in a folder on disk. f.moving is held.
func (f *FS) readNames(dir string) ([]string, error) {
	p := place{path: filepath.Join(dir, NameFile), kind: NameFile}
	file, err := f.open(p.path, p, 0, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxNameFile))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != nameHead {
		return nil, errNoNames
	}
	return lines[1:], nil
}

// noteNames writes the names into a folder on disk, before it has any of them. f.moving is held.
func (f *FS) noteNames(dir string, names ...string) error {
	var b bytes.Buffer
	b.WriteString(nameHead + "\n")
	for _, name := range names {
		b.WriteString(name + "\n")
	}
	return durable.WriteFile(raw{f}, filepath.Join(dir, NameFile), b.Bytes(), 0o600)
}

// raw is the layer for a path on disk, which is sealed but not found. f.moving is held.
type raw struct{ *FS }

func (r raw) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	p := place{path: name}
	p.classify(filepath.Base(name))
	return r.open(name, p, flag, perm)
}

func (r raw) Rename(oldName, newName string) error {
	r.FS.mu.Lock()
	delete(r.writers, oldName)
	r.FS.mu.Unlock()
	return r.under.Rename(oldName, newName)
}

func (r raw) Remove(name string) error  { return r.under.Remove(name) }
func (r raw) SyncDir(name string) error { return r.under.SyncDir(name) }

// Rename implements durable.FS. A folder that becomes a mailbox's gets a hidden name and a file with the name in it; a file that
// is to get its last name is first made such as new ones are now.
func (f *FS) Rename(oldName, newName string) error {
	if f.isFolder(newName) {
		return f.renameFolder(oldName, newName)
	}
	if f.refresh != nil && isTemp(oldName) {
		if err := f.refresh(); err != nil {
			return err
		}
	}
	return f.at(oldName, func(from place) error {
		to, err := f.place(newName)
		if err != nil {
			return err
		}
		if err := f.finish(from.path); err != nil {
			return err
		}
		if from.temp && !to.temp && to.kind != "" {
			if done, err := f.bring(from, to); done || err != nil {
				return err
			}
		}
		err = f.under.Rename(from.path, to.path)
		f.forgetFile(from.path)
		f.forgetFile(to.path)
		if from.folder != "" {
			f.forgetFolder(from.path)
		}
		return err
	})
}

// isTemp says whether a path is that of a message that is no mailbox's yet.
func isTemp(path string) bool { return filepath.Base(filepath.Dir(path)) == "tmp" }

// isFolder says whether a path is that of a mailbox's folder.
func (f *FS) isFolder(path string) bool {
	path = filepath.Clean(path)
	return filepath.Dir(path) == f.root && isMailbox(filepath.Base(path))
}

// renameFolder gives a folder the name of a mailbox.
func (f *FS) renameFolder(oldName, newName string) error {
	f.moving.Lock()
	defer f.moving.Unlock()
	from, err := f.place(oldName)
	if err != nil {
		return err
	}
	to, err := f.place(newName)
	if err != nil {
		return err
	}
	if isHidden(filepath.Base(to.path)) && to.folder != filepath.Base(to.path) {
		names := []string{to.folder}
		if from.folder != "" {
			names = append(names, from.folder)
		}
		if err := f.noteNames(from.path, names...); err != nil {
			return err
		}
	}
	err = f.under.Rename(from.path, to.path)
	f.forgetFolder(from.path)
	f.forgetFolder(to.path)
	return err
}

// forgetFile forgets a file on disk.
func (f *FS) forgetFile(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.writers, path)
	delete(f.logs, path)
	delete(f.sizes, path)
}

// forgetFolder forgets a folder on disk with all in it.
func (f *FS) forgetFolder(path string) {
	f.forget(path)
	f.mu.Lock()
	defer f.mu.Unlock()
	prefix := path + string(filepath.Separator)
	for p := range f.writers {
		if strings.HasPrefix(p, prefix) {
			delete(f.writers, p)
		}
	}
	for p := range f.logs {
		if strings.HasPrefix(p, prefix) {
			delete(f.logs, p)
		}
	}
	for p := range f.sizes {
		if strings.HasPrefix(p, prefix) {
			delete(f.sizes, p)
		}
	}
}
