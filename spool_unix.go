//go:build unix

package mailbricks

import "os"

// createSpoolFile makes a file that has no name any more, so that nothing is left behind by a killed process.
func createSpoolFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func removeSpoolFile(f *os.File) error { return f.Close() }
