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

// isDiskQuota says whether the file system's own quota is reached.
func isDiskQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }
