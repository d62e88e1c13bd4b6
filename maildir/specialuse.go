package maildir

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The file mailbricks-special-use of an account says which mailbox has which use (RFC 6154), where that is not clear from
// Maildir.Folders: its name and version, then a line "<use> <folder>" each.
const (
	useFileName = "mailbricks-special-use"
	useVersion  = "1"
	maxUseFile  = 1 << 16
)

// useFile is its contents.
type useFile struct {
	folders map[mailbox.Use]string
	// implied are the uses that folders have by their names.
	implied map[string]mailbox.Use
}

func knownUse(use mailbox.Use) bool {
	return slices.Contains([]mailbox.Use{mailbox.UseAll, mailbox.UseArchive, mailbox.UseDrafts, mailbox.UseFlagged,
		mailbox.UseJunk, mailbox.UseSent, mailbox.UseTrash}, use)
}

func (u *useFile) set(use mailbox.Use, folder string) { u.folders[use] = folder }

// drop takes the uses off a folder that goes.
func (u *useFile) drop(folder string) {
	maps.DeleteFunc(u.folders, func(_ mailbox.Use, f string) bool { return f == folder })
}

// rename leaves a folder its use under another name.
func (u *useFile) rename(from, to string) {
	for use, folder := range u.folders {
		if folder == from {
			u.folders[use] = to
		}
	}
	if use, ok := u.implied[from]; ok {
		u.folders[use] = to
	}
}

func (a *account) loadUses() (*useFile, error) {
	u := &useFile{folders: map[mailbox.Use]string{}, implied: map[string]mailbox.Use{}}
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, useFileName), maxUseFile)
	if err != nil && !isNotExist(err) {
		return nil, fmt.Errorf("maildir: special use: %w", err)
	}
	if err == nil {
		if err := u.parse(string(data)); err != nil {
			return nil, err
		}
	}
	for use, folder := range u.folders {
		if ok, err := a.isFolder(folder); err != nil {
			return nil, err
		} else if !ok { // removed by another program
			delete(u.folders, use)
		}
	}
	for _, d := range a.maildir.Folders {
		folder, err := folderName(d.Name)
		if _, taken := u.folders[d.Use]; err != nil || taken || d.Use == "" {
			continue
		}
		if ok, err := a.isFolder(folder); err != nil {
			return nil, err
		} else if ok {
			u.implied[folder] = d.Use
		}
	}
	return u, nil
}

func (u *useFile) parse(data string) error {
	header, rest, _ := strings.Cut(data, "\n")
	name, version, _ := strings.Cut(header, " ")
	if name == useFileName && version != useVersion {
		return fmt.Errorf("%w: special use of version %.20q", errNewer, version)
	}
	for line := range strings.Lines(rest) {
		use, folder, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, valid := mailboxName(folder); ok && valid && knownUse(mailbox.Use(use)) {
			u.folders[mailbox.Use(use)] = folder
		}
	}
	return nil
}

// changeUses changes the file if there is something to change. The structure lock is held.
func (a *account) changeUses(change func(*useFile)) error {
	u, err := a.loadUses()
	if err != nil {
		return err
	}
	before := maps.Clone(u.folders)
	change(u)
	if maps.Equal(before, u.folders) {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", useFileName, useVersion)
	for _, use := range slices.Sorted(maps.Keys(u.folders)) {
		fmt.Fprintf(&b, "%s %s\n", use, u.folders[use])
	}
	return durable.WriteFile(a.fs(), filepath.Join(a.dir, useFileName), b.Bytes(), messagePerm)
}

// uses gives the uses of mailboxes by name. folders are as list gives them.
func (a *account) uses(folders map[string]string) (map[string][]mailbox.Use, error) {
	u, err := a.loadUses()
	if err != nil {
		return nil, err
	}
	byFolder := map[string][]mailbox.Use{}
	for _, use := range slices.Sorted(maps.Keys(u.folders)) {
		byFolder[u.folders[use]] = append(byFolder[u.folders[use]], use)
	}
	for folder, use := range u.implied {
		byFolder[folder] = append(byFolder[folder], use)
	}
	out := map[string][]mailbox.Use{}
	for name, folder := range folders {
		if uses := byFolder[folder]; len(uses) > 0 {
			out[name] = uses
		}
	}
	return out, nil
}

// useFolder gives the folder for a use, which is made and subscribed if there is none.
func (a *account) useFolder(use mailbox.Use) (string, error) {
	unlock, err := a.lockStructure()
	if err != nil {
		return "", err
	}
	defer unlock()
	u, err := a.loadUses()
	if err != nil {
		return "", err
	}
	if folder, ok := u.folders[use]; ok {
		return folder, nil
	}
	for folder, implied := range u.implied {
		if implied == use {
			return folder, nil
		}
	}
	name := strings.TrimPrefix(string(use), `\`)
	for _, d := range a.maildir.Folders {
		if d.Use == use {
			name = d.Name
		}
	}
	if err := a.create(name, ""); err != nil {
		return "", err
	}
	if err := a.subscribe(name, true); err != nil {
		return "", err
	}
	folder, err := folderName(name)
	if err == nil {
		err = a.changeUses(func(u *useFile) {
			if u.implied[folder] != use {
				u.set(use, folder)
			}
		})
	}
	return folder, err
}
