package maildir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ErrLayout says that the folder of an account is not that of a Maildir++: there is mail in folders below it whose names do
// not begin with a dot. Either Dovecot had it with LAYOUT=fs, or it is a folder above the Maildir. To show such an account
// without these mailboxes would have clients delete what they have of them.
var ErrLayout = errors.New("maildir: not a Maildir++")

// checkLayout refuses a tree of another layout when it is opened for the first time.
func (a *account) checkLayout() error {
	info, err := statOrNil(a.fs(), filepath.Join(a.dir, useFileName))
	if err != nil || info != nil {
		return err
	}
	entries, err := a.fs().ReadDir(a.dir)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "mailbricks-") || slices.Contains([]string{"cur", "new", "tmp"}, name) {
			continue
		}
		sub, err := statOrNil(a.fs(), filepath.Join(a.dir, name, "cur"))
		if err != nil {
			return err
		}
		if sub != nil && sub.IsDir() {
			return fmt.Errorf("%w: %s has mail in the folder %q", ErrLayout, a.dir, name)
		}
	}
	return nil
}
