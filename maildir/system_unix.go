//go:build !windows

package maildir

import (
	"errors"
	"syscall"
)

// lockedFoldersMove: a folder in which a file is locked can be renamed.
const lockedFoldersMove = true

// processGone says whether no process has this number.
func processGone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
