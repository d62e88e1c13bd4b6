package maildir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// A restored tree that is to take the account's place has a file mailbricks-arrivals until it does: its name and version, then
// a line "since <file name>", a name as messages got it when Restore began. What has a later one has come since.
const (
	arrivalsFile    = "mailbricks-arrivals"
	arrivalsVersion = "1"
	maxArrivalsFile = 4096
)

func writeArrivals(fsys durable.FS, tree, began string) error {
	text := fmt.Sprintf("%s %s\nsince %s\n", arrivalsFile, arrivalsVersion, began)
	return durable.WriteFile(fsys, filepath.Join(tree, arrivalsFile), []byte(text), messagePerm)
}

// readArrivals gives a file name; empty if nothing is to be kept.
func readArrivals(fsys durable.FS, tree string) (began string, err error) {
	data, err := durable.ReadFile(fsys, filepath.Join(tree, arrivalsFile), maxArrivalsFile)
	if isNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	head, rest, _ := strings.Cut(string(data), "\n")
	if head != arrivalsFile+" "+arrivalsVersion {
		return "", fmt.Errorf("%w: %s: %.50q", errNewer, arrivalsFile, head)
	}
	began, _ = strings.CutPrefix(strings.TrimSpace(rest), "since ")
	return began, nil
}

// keepArrivals gives messages that came to the tree that is replaced since Restore began a name in the restored one, and has
// it on disk. Nothing gets into the tree that is replaced any more. It can be done again.
func (a *account) keepArrivals(replaced, restored string) error {
	fsys := a.maildir.files
	began, err := readArrivals(fsys, restored)
	if err != nil || began == "" {
		return err
	}
	folders, err := rawFolders(fsys, replaced)
	if err != nil && !isNotExist(err) {
		return err
	}
	for _, folder := range folders {
		for _, sub := range []string{"new", "cur"} {
			to := filepath.Join(restored, folder, sub)
			if info, err := statOrNil(fsys, to); err != nil {
				return err
			} else if info == nil { // a mailbox that the backup does not have
				to = filepath.Join(restored, sub)
			}
			if err := linkLater(fsys, began, filepath.Join(replaced, folder, sub), to); err != nil {
				return err
			}
		}
	}
	if err := fsys.Remove(filepath.Join(restored, arrivalsFile)); err != nil {
		return err
	}
	return fsys.SyncDir(restored)
}

// linkLater gives the messages of a folder that came later than began names in another.
func linkLater(fsys durable.FS, began, from, to string) error {
	names, err := fsys.ReadNames(from)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		base, _ := splitName(name)
		return !validBase(base) || nameOrder(base, began) < 0
	})
	if len(names) == 0 {
		return nil
	}
	c := copier{durable.Batch{FS: fsys, Dir: to}}
	defer c.Close()
	for _, name := range names {
		source, target := filepath.Join(from, name), filepath.Join(to, name)
		info, err := fsys.Lstat(source)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if err := fsys.Remove(target); err != nil && !isNotExist(err) { // a copy that was interrupted
			return err
		}
		if _, err := c.linkOrCopy(source, target, info); err != nil {
			return err
		}
	}
	return errors.Join(c.Finish(), fsys.SyncDir(to))
}
