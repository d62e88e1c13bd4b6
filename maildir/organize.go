package maildir

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Delete implements mailbox.Organizer. The folder gets a name that is no mailbox's, in one step, and is removed then.
func (s *store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	unlock, err := s.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	folder, err := s.resolve(name)
	if err != nil {
		if clean, nameErr := mailbox.CleanName(name); nameErr == nil && s.hasBelow(clean) {
			return fmt.Errorf("%w: %.100q has mailboxes below it", mailbox.ErrNotAllowed, clean)
		}
		return err
	}
	if folder == "" {
		return fmt.Errorf("%w: INBOX cannot be deleted", mailbox.ErrNotAllowed)
	}
	return s.delete(folder)
}

func (a *account) hasBelow(name string) bool {
	folders, err := a.list()
	for other := range folders {
		if err == nil && mailbox.IsBelow(other, name) {
			return true
		}
	}
	return false
}

func (a *account) delete(folder string) error {
	f := a.folder(folder)
	defer a.leave(f)
	f.writing.Lock()
	defer f.writing.Unlock()
	var freed usage
	for _, sub := range []string{"new", "cur"} {
		u, err := a.countFolder(filepath.Join(a.path(folder), sub))
		if err != nil {
			return fmt.Errorf("maildir: delete: %w", err)
		}
		freed.bytes -= u.bytes
		freed.messages -= u.messages
	}
	old := hiddenPrefix + "mailbricks-old-" + a.maildir.names.next()
	hidden := filepath.Join(a.dir, old)
	if err := a.renameFolder(folder, old); err != nil {
		return fmt.Errorf("maildir: delete: %w", err)
	}
	f.retire(fmt.Errorf("%w: it was deleted", mailbox.ErrNoMailbox))
	a.changedFolder(folder)
	a.maildir.distrust(a.path(folder), false)
	if err := a.syncDir(a.dir); err != nil {
		return fmt.Errorf("maildir: delete: %w", err)
	}
	a.addUsage(freed)
	// A use of a folder that is gone does not count, and goes at the latest when a folder of this name is made.
	if err := a.changeUses(func(u *useFile) { u.drop(func(f string) bool { return f == folder }) }); err != nil {
		a.maildir.logger().Warn("maildir: deleted mailbox still has its uses", "folder", folder, "error", err)
	}
	if err := a.removeTree(hidden); err != nil {
		a.maildir.logger().Warn("maildir: deleted mailbox is still on disk", "folder", hidden, "error", err)
	}
	return nil
}

// Rename implements mailbox.Organizer.
func (s *store) Rename(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from, err := mailbox.CleanName(from)
	if err != nil {
		return fmt.Errorf("%w (%w)", mailbox.ErrNoMailbox, err)
	}
	if _, err = folderName(to); err != nil {
		return err
	}
	to, _ = mailbox.CleanName(to)
	unlock, err := s.lockStructure()
	if err != nil {
		return err
	}
	if from == mailbox.Inbox {
		err := s.create(to, "")
		unlock()
		if err != nil {
			return err
		}
		return s.emptyInbox(ctx, to)
	}
	defer unlock()
	moves, err := s.plan(from, to)
	if err != nil {
		return err
	}
	return s.move(moves)
}

// emptyInbox moves all messages of INBOX, which is what renaming it does (RFC 3501 §6.3.5).
func (s *store) emptyInbox(ctx context.Context, to string) error {
	inbox, err := s.Open(ctx, mailbox.Inbox)
	if err != nil {
		return err
	}
	defer inbox.Close()
	uids, _, err := inbox.UIDs(ctx)
	if err != nil {
		return err
	}
	_, err = inbox.Move(ctx, uids, to)
	return err
}

// plan finds the folders that a mailbox and those below it have, and will have.
func (a *account) plan(from, to string) ([]renaming, error) {
	folders, err := a.list()
	if err != nil {
		return nil, err
	}
	var moves []renaming
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		if name != from && !mailbox.IsBelow(name, from) {
			continue
		}
		target := to + name[len(from):]
		folder, err := folderName(target)
		if err != nil {
			return nil, err
		}
		if _, taken := folders[target]; taken || folder == "" {
			return nil, fmt.Errorf("%w: %.100q", mailbox.ErrExists, target)
		}
		moves = append(moves, renaming{folders[name], folder})
	}
	switch {
	case len(moves) == 0:
		return nil, fmt.Errorf("%w: %.100q", mailbox.ErrNoMailbox, from)
	case mailbox.IsBelow(to, from):
		return nil, fmt.Errorf("%w: %.100q is below %.100q", mailbox.ErrNotAllowed, to, from)
	}
	if _, taken := folders[to]; taken || to == mailbox.Inbox {
		return nil, fmt.Errorf("%w: %.100q", mailbox.ErrExists, to)
	}
	return moves, nil
}
