//go:build unix

package sign

import "io/fs"

// readableByOthers says whether somebody else than the owner may read a file.
func readableByOthers(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
