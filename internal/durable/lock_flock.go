//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package durable

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

func tryLock(name string, flag int) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|flag, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	switch err {
	case nil:
		return flocked{f}, nil
	case syscall.EWOULDBLOCK:
		f.Close()
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	f.Close()
	return nil, &os.PathError{Op: "flock", Path: name, Err: err}
}

// flocked is a file that is locked.
type flocked struct{ *os.File }

// Close ends the lock. Closing the descriptor alone would not, where another process that is about to begin has it for a moment.
func (l flocked) Close() error {
	_ = syscall.Flock(int(l.Fd()), syscall.LOCK_UN) // if not, closing does
	return l.File.Close()
}
