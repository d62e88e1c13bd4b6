package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The file mailbricks-rename of an account is there while folders get other names, so that a rename that a power cut
// interrupts is done to the end by whoever comes next: its name and version, a line "m <from>", a tab and "<to>" for each
// folder, and "u <use> <folder>" for each use that mailboxes have then.
const (
	renameFile    = "mailbricks-rename"
	renameVersion = "1"
	maxRenameFile = 16 << 20 // more than maxMailboxes need
)

// renaming is a folder that gets another name.
type renaming struct{ from, to string }

// journal is what is in the file.
type journal struct {
	moves []renaming
	uses  map[mailbox.Use][]string
}

func (j *journal) format() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", renameFile, renameVersion)
	for _, m := range j.moves {
		fmt.Fprintf(&b, "m %s\t%s\n", m.from, m.to)
	}
	for _, use := range slices.Sorted(maps.Keys(j.uses)) {
		for _, folder := range j.uses[use] {
			fmt.Fprintf(&b, "u %s %s\n", use, folder)
		}
	}
	return []byte(b.String())
}

func parseJournal(data string) (*journal, error) {
	header, rest, _ := strings.Cut(data, "\n")
	name, version, _ := strings.Cut(header, " ")
	if name != renameFile {
		return nil, errors.New("maildir: not a list of renames")
	}
	if version != renameVersion {
		return nil, fmt.Errorf("%w: renames of version %.20q", errNewer, version)
	}
	j := &journal{uses: map[mailbox.Use][]string{}}
	for line := range strings.SplitSeq(rest, "\n") {
		kind, line, _ := strings.Cut(line, " ")
		switch kind {
		case "m":
			if from, to, ok := strings.Cut(line, "\t"); ok && isFolderName(from) && isFolderName(to) && from != "." && to != "." {
				j.moves = append(j.moves, renaming{from, to})
			}
		case "u":
			name, folder, ok := strings.Cut(line, " ")
			if use := mailbox.Use(name); ok && knownUse(use) && isFolderName(folder) {
				j.uses[use] = append(j.uses[use], folder)
			}
		}
	}
	return j, nil
}

// beginRename writes the journal. The structure lock is held.
func (a *account) beginRename(j *journal) error {
	return durable.WriteFile(a.fs(), filepath.Join(a.dir, renameFile), j.format(), messagePerm)
}

// endRename removes the journal. What it lists must not be done again later, so this is on disk before anyone is told.
func (a *account) endRename() error {
	if err := a.fs().Remove(filepath.Join(a.dir, renameFile)); err != nil && !isNotExist(err) {
		return err
	}
	return a.syncDir(a.dir)
}

// finishRename does a rename that was interrupted to the end. The structure lock is held. In an account that is locked nobody
// can tell which mailboxes it was about: who opens it does it, and mail is delivered meanwhile.
func (a *account) finishRename() error {
	if a.vault.locked() {
		return nil
	}
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, renameFile), maxRenameFile)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("maildir: interrupted rename: %w", err)
	}
	j, err := parseJournal(string(data))
	if errors.Is(err, errNewer) {
		return err
	}
	if err != nil { // it is written in one step: this is none of ours
		a.maildir.logger().Warn("maildir: list of renames is damaged", "folder", a.dir, "error", err)
		return a.endRename()
	}
	if err := a.writeUses(&useFile{folders: j.uses}); err != nil {
		return err
	}
	for _, m := range j.moves {
		from, err := statOrNil(a.fs(), a.path(m.from))
		if err != nil {
			return err
		}
		to, err := statOrNil(a.fs(), a.path(m.to))
		if err != nil {
			return err
		}
		if from == nil || to != nil {
			continue
		}
		if err := a.fs().Rename(a.path(m.from), a.path(m.to)); err != nil {
			return fmt.Errorf("maildir: interrupted rename: %w", err)
		}
	}
	if err := a.syncDir(a.dir); err != nil {
		return err
	}
	a.renameIDs(j.moves)
	return a.endRename()
}

// move renames folders: all or, if one fails, none. The structure lock is held.
func (a *account) move(moves []renaming) error {
	inMemory := make([]*folder, len(moves))
	for i, m := range moves {
		f := a.folder(m.from)
		defer a.leave(f)
		f.writing.Lock() // in the order of names
		defer f.writing.Unlock()
		inMemory[i] = f
	}
	uses, err := a.loadUses()
	if err != nil {
		return err
	}
	before := &useFile{folders: maps.Clone(uses.folders)}
	for _, m := range moves {
		uses.rename(m.from, m.to)
	}
	if err := a.beginRename(&journal{moves, uses.folders}); err != nil {
		return errors.Join(fmt.Errorf("maildir: rename: %w", err), a.endRename())
	}
	if err := a.rename(moves, before, uses); err != nil {
		return err
	}
	a.renameInMemory(moves, inMemory)
	a.renameIDs(moves)
	for _, m := range moves {
		a.changedFolder(m.from)
		a.changedFolder(m.to)
	}
	if err := a.syncDir(a.dir); err != nil {
		return fmt.Errorf("maildir: rename: %w", err)
	}
	if err := a.endRename(); err != nil {
		return fmt.Errorf("maildir: rename: %w", err)
	}
	return nil
}

// rename gives the folders their names and uses, or leaves all as it was. The uses come last, so that nothing has to be
// written, for which there may be no room, to leave all as it was.
func (a *account) rename(moves []renaming, before, after *useFile) error {
	undo := func(done []renaming, err error) error {
		err = fmt.Errorf("maildir: rename: %w", err)
		for _, m := range slices.Backward(done) {
			if undoErr := a.fs().Rename(a.path(m.to), a.path(m.from)); undoErr != nil {
				a.maildir.unready(a.dir) // the journal stays: who comes next does it to the end
				return errors.Join(err, undoErr)
			}
		}
		return errors.Join(err, a.endRename())
	}
	for i, m := range moves {
		err := a.renameFolder(m.from, m.to)
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %w", mailbox.ErrExists, err)
		}
		if err != nil {
			return undo(moves[:i], err)
		}
	}
	if maps.EqualFunc(before.folders, after.folders, slices.Equal) {
		return nil
	}
	if err := a.writeUses(after); err != nil { // they may be there and not on disk
		return undo(moves, errors.Join(err, a.writeUses(before)))
	}
	return nil
}

// renameInMemory has the folders in memory go on under their new names.
func (a *account) renameInMemory(moves []renaming, inMemory []*folder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, m := range moves {
		f := inMemory[i]
		if a.folders[m.from] != f {
			continue // it was given up before it was locked
		}
		delete(a.folders, m.from)
		a.folders[m.to] = f
		f.mu.Lock()
		f.name = m.to
		f.mu.Unlock()
		if a.maildir.distrusts(a.path(m.from)) {
			a.maildir.distrust(a.path(m.from), false)
			a.maildir.distrust(a.path(m.to), true)
		}
	}
}
