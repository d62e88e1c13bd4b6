//go:build unix

package mailbricks

import "os"

// spoolFilesHaveNames says whether a file leaves something behind that is only closed.
const spoolFilesHaveNames = false

// createNamelessFile makes a file and takes its name away.
func createNamelessFile(dir string) (*os.File, error) {
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
