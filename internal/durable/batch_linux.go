package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncfs is a folder that was opened before anything was written: the call tells of failures since then (Linux 5.8).
type syncfs struct{ *os.File }

func newBarrier(dir string) (barrier, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return syncfs{f}, nil
}

// Sync implements barrier.
func (s syncfs) Sync() error {
	conn, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if syncErr = unix.Syncfs(int(fd)); syncErr != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("syncfs", syncErr)
}
