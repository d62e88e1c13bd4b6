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
	named, ok := saidSize(f.base, 'S')
	crlf, hasCRLF := saidSize(f.base, 'W')
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
	to := c.trueName(f.base, size, size+bare)
	c.taken[to] = true
	c.lies[f.base] = to
	c.found(severity, filepath.Join(c.dir, f.path()), what, c.later)
}

// trueName is a name with the right sizes that no file has. It has the same stem, so that it is the same message for who has the
// mailbox open, and no sizes where there is no room for them.
func (c *folderCheck) trueName(base string, size, crlfSize int64) string {
	for n := 1; ; n++ {
		mark := otherParts(base)
		if n > 1 {
			mark += fmt.Sprintf(",%d", n)
		}
		to := withSizes(stem(base), size, crlfSize) + mark
		if len(to) > maxBase {
			to = stem(base) + mark
		}
		if len(to) > maxBase {
			return withSizes(c.account.maildir.names.next(), size, crlfSize)
		}
		if !c.taken[to] {
			return to
		}
	}
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
