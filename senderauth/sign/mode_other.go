//go:build !unix

package sign

import "io/fs"

// readableByOthers cannot be told from the mode here.
func readableByOthers(fs.FileMode) bool { return false }
