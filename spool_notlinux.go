//go:build unix && !linux

package mailbricks

import "os"

// createSpoolFile makes a file that has no name any more, so that nothing is left behind by a killed process.
func createSpoolFile(dir string) (*os.File, error) { return createNamelessFile(dir) }
