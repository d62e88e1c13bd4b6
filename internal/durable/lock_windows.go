package durable

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

func tryLock(name string, flag int) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|flag, 0o600)
	if err != nil {
		return nil, err
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	switch err {
	case nil:
		return f, nil // closing the handle ends the lock
	case windows.ERROR_LOCK_VIOLATION, windows.ERROR_IO_PENDING:
		f.Close()
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	f.Close()
	return nil, &os.PathError{Op: "LockFileEx", Path: name, Err: err}
}
