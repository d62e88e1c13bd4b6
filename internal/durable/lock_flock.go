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
		return f, nil // closing the only descriptor ends the lock
	case syscall.EWOULDBLOCK:
		f.Close()
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	f.Close()
	return nil, &os.PathError{Op: "flock", Path: name, Err: err}
}
