//go:build !windows

package maildir

import (
	"errors"
	"syscall"
)

// infoSeparator stands between a file's name and its flags.
const infoSeparator = ":"

// notInFileNames are characters that the system's file names cannot have, besides those that Maildir++ needs itself.
const notInFileNames = ""

// lockedFoldersMove: a folder in which a file is locked can be renamed.
const lockedFoldersMove = true

// processGone says whether no process has this number.
func processGone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
