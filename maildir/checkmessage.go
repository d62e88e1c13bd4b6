package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/internal/packing"
	"github.com/mailbricks/mailbricks/mailbox"
)

// message looks at one message.
func (c *folderCheck) message(f *found) error {
	path := filepath.Join(c.dir, f.path())
	info, err := c.account.fs().Lstat(path)
	if isNotExist(err) || errors.Is(err, mailbox.ErrLocked) {
		return nil // renamed or gone meanwhile, or not to be read
	}
	if err != nil {
		c.found(Damage, path, "cannot be read: "+err.Error(), nil)
		return nil
	}
	if !info.Mode().IsRegular() {
		what := "is no file"
		if info.Mode()&fs.ModeSymlink != 0 {
			what = "is a symbolic link, which is not followed"
		}
		c.foreign(path, what)
		return nil
	}
	c.checkMode(path, info)
	size, bare, err := c.readAll(path)
	switch {
	case isNotExist(err) || errors.Is(err, mailbox.ErrLocked):
		return nil
	case errors.Is(err, os.ErrPermission):
		c.found(Damage, path, "cannot be read: "+err.Error(), nil)
		return nil
	case err != nil:
		c.found(Damage, path, "cannot be read to its end: "+err.Error(), nil)
		return nil
	}
	if how, err := packedFile(c.account.fs(), path, f.base); err == nil && how != "" {
		c.found(Damage, path, "was "+packing.Plugin(how)+": it cannot be read until doveadm backup converts it", nil)
		return nil // its name alone says how long it is
	}
	named, ok := nameSize(f.base, 'S')
	crlf, hasCRLF := nameSize(f.base, 'W')
	switch {
	case ok && named > size:
		c.lie(f, Damage, size, bare, fmt.Sprintf("has %d octets, fewer than the %d that its name says: it was cut off", size, named))
	case ok && named != size:
		c.lie(f, Warning, size, bare, fmt.Sprintf("has %d octets, but its name says %d", size, named))
	case hasCRLF && crlf != size+bare:
		c.lie(f, Warning, size, bare, fmt.Sprintf("has %d octets with CRLF line ends, but its name says %d", size+bare, crlf))
	case size == 0:
		c.found(Note, path, "is empty", nil)
	}
	return nil
}

// lie tells of a name that says a wrong length.
func (c *folderCheck) lie(f *found, severity Severity, size, bare int64, what string) {
	if c.double[f.base] {
		return // one of them gets another name, which says nothing of its length
	}
	stem, _, _ := strings.Cut(f.base, ",")
	c.lies[f.base] = withSizes(stem, size, size+bare) + otherParts(f.base)
	c.found(severity, filepath.Join(c.dir, f.path()), what, c.later)
}

// otherParts is what a name has behind its first comma besides sizes.
func otherParts(base string) string {
	var out string
	_, rest, _ := strings.Cut(base, ",")
	for part := range strings.SplitSeq(rest, ",") {
		if part != "" && !strings.HasPrefix(part, "S=") && !strings.HasPrefix(part, "W=") {
			out += "," + part
		}
	}
	return out
}
