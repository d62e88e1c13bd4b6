//go:build !unix

package mailbricks

import (
	"errors"
	"os"
)

// spoolFilesHaveNames says whether a file leaves something behind that is only closed.
const spoolFilesHaveNames = true

// createSpoolFile makes a named file: an open file cannot be removed here. One that a killed process left behind is
// named spool-*.
func createSpoolFile(dir string) (*os.File, error) { return os.CreateTemp(dir, "spool-*") }

func removeSpoolFile(f *os.File) error { return errors.Join(f.Close(), os.Remove(f.Name())) }
