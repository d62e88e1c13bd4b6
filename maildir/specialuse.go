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
// Maildir.Folders: its name and version, then a line "<use> <folder>" each. Of several mailboxes with one use (RFC 6154 §2)
// the first is the one that mail for this use goes to. The file also says that the account has had its folders made.
const (
	useFileName = "mailbricks-special-use"
	useVersion  = "1"
	maxUseFile  = 4 << 20 // more than maxMailboxes need
)

// useFile is its contents.
type useFile struct {
	folders map[mailbox.Use][]string
	// implied are the folders that have a use by their names, where the file has none for it.
	implied map[mailbox.Use][]string
	// stale says that the file has folders that are no more.
	stale bool
}

func knownUse(use mailbox.Use) bool {
	return slices.Contains(knownUses(), use)
}

// knownUses are those of RFC 6154, sorted.
func knownUses() []mailbox.Use {
	return []mailbox.Use{mailbox.UseAll, mailbox.UseArchive, mailbox.UseDrafts, mailbox.UseFlagged,
		mailbox.UseJunk, mailbox.UseSent, mailbox.UseTrash}
}

// of gives the folders with a use. The slice is not changed.
func (u *useFile) of(use mailbox.Use) []string {
	if folders := u.folders[use]; len(folders) > 0 {
		return folders
	}
	return u.implied[use]
}

// give has one more folder with a use; those that have it keep it.
func (u *useFile) give(use mailbox.Use, folder string) {
	folders := slices.Clone(u.of(use))
	if !slices.Contains(folders, folder) {
		folders = append(folders, folder)
	}
	u.folders[use] = folders
}

// drop takes the uses off the folders that gone says are no more.
func (u *useFile) drop(gone func(folder string) bool) {
	for use, folders := range u.folders {
		u.folders[use] = slices.DeleteFunc(slices.Clone(folders), gone)
		if len(u.folders[use]) == 0 {
			delete(u.folders, use)
		}
	}
}

// rename leaves a folder its uses under another name.
func (u *useFile) rename(from, to string) {
	for _, use := range knownUses() {
		if at := slices.Index(u.of(use), from); at >= 0 {
			folders := slices.Clone(u.of(use))
			folders[at] = to
			u.folders[use] = folders
		}
	}
}

func (a *account) loadUses() (*useFile, error) {
	u := &useFile{folders: map[mailbox.Use][]string{}, implied: map[mailbox.Use][]string{}}
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, useFileName), maxUseFile)
	if err != nil && !isNotExist(err) {
		return nil, fmt.Errorf("maildir: special use: %w", err)
	}
	if err == nil {
		if err := u.parse(string(data)); err != nil {
			return nil, err
		}
	}
	var failed error
	u.drop(func(folder string) bool { // removed by another program
		ok, err := a.mayBeFolder(folder)
		if err != nil {
			failed = err
		}
		u.stale = u.stale || !ok
		return !ok
	})
	if failed != nil {
		return nil, failed
	}
	for _, d := range a.maildir.Folders {
		folder, err := folderName(d.Name)
		if err != nil || d.Use == "" || len(u.folders[d.Use]) > 0 {
			continue
		}
		if ok, err := a.mayBeFolder(folder); err != nil {
			return nil, err
		} else if ok {
			u.implied[d.Use] = append(u.implied[d.Use], folder)
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
	seen := map[string]bool{}
	for line := range strings.SplitSeq(rest, "\n") {
		name, folder, ok := strings.Cut(line, " ")
		use := mailbox.Use(name)
		if _, valid := mailboxName(folder); ok && valid && knownUse(use) && !seen[line] {
			seen[line] = true
			u.folders[use] = append(u.folders[use], folder)
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
	if !u.stale && maps.EqualFunc(before, u.folders, slices.Equal) {
		return nil
	}
	return a.writeUses(u)
}

func (a *account) writeUses(u *useFile) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", useFileName, useVersion)
	for _, use := range knownUses() {
		for _, folder := range u.folders[use] {
			fmt.Fprintf(&b, "%s %s\n", use, folder)
		}
	}
	a.noteRoles(u)
	return durable.WriteFile(a.fs(), filepath.Join(a.dir, useFileName), b.Bytes(), messagePerm)
}

// uses gives the uses of mailboxes by name. folders are as list gives them.
func (a *account) uses(folders map[string]string) (map[string][]mailbox.Use, error) {
	u, err := a.loadUses()
	if err != nil {
		return nil, err
	}
	byFolder := map[string][]mailbox.Use{}
	for _, use := range knownUses() {
		for _, folder := range u.of(use) {
			byFolder[folder] = append(byFolder[folder], use)
		}
	}
	out := map[string][]mailbox.Use{}
	for name, folder := range folders {
		if uses := byFolder[folder]; len(uses) > 0 {
			out[name] = uses
		}
	}
	return out, nil
}

// useFolder gives the first folder for a use, which is made and subscribed if there is none.
func (a *account) useFolder(use mailbox.Use) (string, error) {
	if a.vault.locked() {
		return a.lockedFolder(use)
	}
	unlock, err := a.lockStructure()
	if err != nil {
		return "", err
	}
	defer unlock()
	u, err := a.loadUses()
	if err != nil {
		return "", err
	}
	if folders := u.of(use); len(folders) > 0 {
		return folders[0], nil
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
			if !slices.Contains(u.of(use), folder) {
				u.give(use, folder)
			}
		})
	}
	return folder, err
}
