package durable

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// isDiskFull knows the system's own codes besides those of package syscall, which the system never gives but tests do.
func isDiskFull(err error) bool {
	for _, full := range [...]error{
		windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED, windows.ERROR_DISK_RESOURCES_EXHAUSTED,
		syscall.ENOSPC, syscall.EDQUOT,
	} {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}
