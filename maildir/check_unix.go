//go:build !windows

package maildir

import (
	"io/fs"
	"os"
	"syscall"
)

// hasModes says whether files have rights that mean something.
const hasModes = true

// ownedByOther gives the owner of a file if it is another user than this process is.
func ownedByOther(info fs.FileInfo) (uint32, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return 0, false
	}
	return stat.Uid, true
}
