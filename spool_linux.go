package mailbricks

import (
	"os"

	"golang.org/x/sys/unix"
)

// createSpoolFile makes a file without a name, so that nothing is left behind by a killed process.
func createSpoolFile(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600); err == nil {
		return f, nil
	}
	return createNamelessFile(dir) // not every file system can do that
}
