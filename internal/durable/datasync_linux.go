package durable

import (
	"os"
	"syscall"
)

// SyncData is File.Sync without the times of last access and modification: all
// that is needed to read the data back is on disk. It is cheaper for a log.
func SyncData(f File) error {
	osFile, ok := f.(*os.File)
	if !ok {
		return f.Sync()
	}
	conn, err := osFile.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if syncErr = syscall.Fdatasync(int(fd)); syncErr != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("fdatasync", syncErr)
}
