//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package durable

import (
	"errors"
	"io"
	"os"
)

// tryLock says that there are no locks here: two servers on one folder would
// lose mail, so it does not pretend.
func tryLock(name string, _ int) (io.Closer, error) {
	return nil, &os.PathError{Op: "lock", Path: name, Err: errors.ErrUnsupported}
}
