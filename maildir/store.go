package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// maxMailboxes is how many mailboxes an account may have.
const maxMailboxes = 10_000

// store is a session with an account.
type store struct {
	*account
	closing sync.Once
}

var _ interface {
	mailbox.Store
	mailbox.Organizer
	mailbox.AccountWatcher
	mailbox.QuotaKeeper
	mailbox.Annotator
} = (*store)(nil)

// Close implements mailbox.Store.
func (s *store) Close() error {
	s.closing.Do(func() { s.maildir.release(s.account) })
	return nil
}

// Open implements mailbox.Store.
func (s *store) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	return &session{f: f}, nil
}

// open gives a loaded folder, to be given back with leave.
func (a *account) open(name string) (*folder, error) {
	for try := 0; ; try++ {
		folder, err := a.resolve(name)
		if err != nil {
			return nil, err
		}
		f := a.folder(folder)
		err = f.refresh()
		if err == nil {
			return f, nil
		}
		a.leave(f)
		switch {
		case try == 2:
		case errors.Is(err, mailbox.ErrNoMailbox) && folder == "":
			err = a.make() // the account's folder was removed meanwhile
			if err == nil {
				continue
			}
		case errors.Is(err, mailbox.ErrNoMailbox):
			continue // the object may be that of a mailbox that was replaced
		}
		return nil, err
	}
}

// resolve gives the folder of a mailbox that exists.
func (a *account) resolve(name string) (string, error) {
	folder, err := folderName(name)
	if err != nil {
		return "", fmt.Errorf("%w (%w)", mailbox.ErrNoMailbox, err)
	}
	if folder == "" {
		return folder, nil
	}
	if ok, err := a.isFolder(folder); ok || err != nil {
		return folder, err
	}
	folders, err := a.list()
	if err != nil {
		return "", err
	}
	if name, err = mailbox.CleanName(name); err == nil {
		if folder, ok := folders[name]; ok {
			return folder, nil
		}
	}
	return "", fmt.Errorf("%w: %.100q", mailbox.ErrNoMailbox, name)
}

// isFolder says whether a folder is a mailbox.
func (a *account) isFolder(folder string) (bool, error) {
	info, err := statOrNil(a.fs(), filepath.Join(a.path(folder), "cur"))
	if err != nil {
		return false, fmt.Errorf("maildir: %w", err)
	}
	return info != nil && info.IsDir(), nil
}

// mayBeFolder is isFolder for lists of mailboxes: one that cannot be looked at is one, as it was, and takes none of the others
// with it.
func (a *account) mayBeFolder(folder string) (bool, error) {
	ok, err := a.isFolder(folder)
	if err == nil || errors.Is(err, mailbox.ErrLocked) {
		return ok, err
	}
	info, statErr := a.fs().Stat(a.path(folder))
	return statErr != nil || info.IsDir(), nil
}

// list gives the folders of all mailboxes but INBOX by their names. Where two folders have one name, written in two manners
// (modified UTF-7 and UTF-8), the other one has a number behind it, so that its mail is not out of reach.
func (a *account) list() (map[string]string, error) {
	folders, err := a.mailFolders()
	if err != nil {
		return nil, fmt.Errorf("maildir: list: %w", err)
	}
	out := make(map[string]string, len(folders))
	var others []string
	for _, folder := range folders {
		name, _ := mailboxName(folder)
		had, taken := out[name]
		if canonical, _ := folderName(name); taken && canonical != folder {
			others = append(others, folder)
			continue
		}
		if taken {
			others = append(others, had)
		}
		out[name] = folder
	}
	slices.Sort(others)
	for _, folder := range others {
		name, _ := mailboxName(folder)
		n := 2
		for out[numbered(name, n)] != "" {
			n++
		}
		out[numbered(name, n)] = folder
	}
	return out, nil
}

func numbered(name string, n int) string { return fmt.Sprintf("%s #%d", name, n) }

// mailFolders gives the folders of all mailboxes but INBOX. A folder may be a symbolic link, as administrators make them to
// share a mailbox; one to a folder that is in the account already is left out.
func (a *account) mailFolders() ([]string, error) {
	entries, err := a.fs().ReadDir(a.dir)
	if err != nil {
		return nil, err
	}
	folders, links := []string{}, []string{}
	for _, e := range entries {
		link := e.Type()&fs.ModeSymlink != 0
		if _, ok := mailboxName(e.Name()); !ok || !e.IsDir() && !link {
			continue
		}
		if link {
			if info, err := a.fs().Stat(a.path(e.Name())); err != nil || !info.IsDir() {
				continue // it leads nowhere
			}
		}
		if ok, err := a.mayBeFolder(e.Name()); err != nil {
			return nil, err
		} else if ok && link {
			links = append(links, e.Name())
		} else if ok {
			folders = append(folders, e.Name())
		}
	}
	for _, link := range links {
		if again, err := a.isAgain(link, folders); err != nil {
			return nil, err
		} else if !again {
			folders = append(folders, link)
		}
	}
	return folders, nil
}

// isAgain says whether a link leads to a folder that is known without it.
func (a *account) isAgain(link string, folders []string) (bool, error) {
	to, err := a.fs().Stat(a.path(link))
	if err != nil {
		return false, err
	}
	for _, folder := range append([]string{""}, folders...) {
		if info, err := a.fs().Stat(a.path(folder)); err == nil && durable.SameFile(to, info) {
			return true, nil
		}
	}
	return false, nil
}

// List implements mailbox.Store.
func (s *store) List(ctx context.Context) ([]mailbox.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	folders, err := s.list()
	if err != nil {
		return nil, err
	}
	subscribed, err := s.subscriptions()
	if err != nil {
		return nil, err
	}
	uses, err := s.uses(folders)
	if err != nil {
		return nil, err
	}
	ids := s.idsOf(append(slices.Collect(maps.Values(folders)), ""))
	infos := map[string]*mailbox.Info{mailbox.Inbox: {Name: mailbox.Inbox, ID: ids[""]}}
	for name, folder := range folders {
		infos[name] = &mailbox.Info{Name: name, ID: ids[folder], Uses: uses[name]}
	}
	for name := range folders {
		for _, level := range mailbox.Above(name) {
			if infos[level] == nil {
				infos[level] = &mailbox.Info{Name: level, NoSelect: true}
			}
		}
	}
	for _, name := range subscribed {
		if infos[name] == nil {
			infos[name] = &mailbox.Info{Name: name, NonExistent: true}
		}
		infos[name].Subscribed = true
	}
	out := make([]mailbox.Info, 0, len(infos))
	for _, info := range infos {
		out = append(out, *info)
	}
	slices.SortFunc(out, func(a, b mailbox.Info) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Create implements mailbox.Organizer. A use that another mailbox has is shared (RFC 6154 §3): neither loses it, and mail for
// it goes where it went before.
func (s *store) Create(ctx context.Context, name string, use mailbox.Use) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if use != "" && !knownUse(use) {
		return fmt.Errorf("%w: unknown use %.20q", mailbox.ErrNotAllowed, use)
	}
	unlock, err := s.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	return s.create(name, use)
}

// create makes a mailbox. It is there with all that belongs to it or not at all.
func (a *account) create(name string, use mailbox.Use) error {
	folder, err := folderName(name)
	if err != nil {
		return err
	}
	name, _ = mailbox.CleanName(name)
	folders, err := a.list()
	if err != nil {
		return err
	}
	if _, taken := folders[name]; taken || folder == "" {
		return fmt.Errorf("%w: %.100q", mailbox.ErrExists, name)
	}
	if len(folders) >= maxMailboxes {
		return fmt.Errorf("maildir: more than %d mailboxes", maxMailboxes)
	}
	validity, err := a.nextValidity()
	if err != nil {
		return err
	}
	// The use first: one of a folder that is not there does not count. What a folder of this name had before goes as well.
	if err := a.changeUses(func(u *useFile) {
		if use != "" {
			u.give(use, folder)
		}
	}); err != nil {
		return err
	}
	hidden := filepath.Join(a.dir, hiddenPrefix+"mailbricks-new-"+a.maildir.names.next())
	err = a.fill(hidden, validity)
	if err == nil {
		err = a.fs().Rename(hidden, a.path(folder))
	}
	if err != nil {
		_ = a.removeTree(hidden)
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %w", mailbox.ErrExists, err)
		}
		return fmt.Errorf("maildir: create: %w", err)
	}
	if err := a.syncDir(a.dir); err != nil {
		if a.fs().Rename(a.path(folder), hidden) == nil { // so that it can be made once more
			_ = a.removeTree(hidden)
		}
		return fmt.Errorf("maildir: create: %w", err)
	}
	a.changed(name)
	return nil
}

// fill makes the folder of a new mailbox.
func (a *account) fill(dir string, validity uint32) error {
	if err := a.fs().Mkdir(dir, folderPerm); err != nil {
		return err
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := a.fs().Mkdir(filepath.Join(dir, sub), folderPerm); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(a.fs(), filepath.Join(dir, maildirFolder), nil, messagePerm); err != nil {
		return err
	}
	list := uidlist{validity: validity, next: 1, guid: newGUID()}
	return durable.WriteFile(a.fs(), filepath.Join(dir, uidlistFile), list.header(), messagePerm)
}

// Subscribe implements mailbox.Organizer.
func (s *store) Subscribe(ctx context.Context, name string, on bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := mailbox.CleanName(name)
	if err != nil {
		return err
	}
	unlock, err := s.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	return s.subscribe(name, on)
}
