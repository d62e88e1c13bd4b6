package sign

import "github.com/mailbricks/mailbricks/internal/durable"

// On puts the files of a Dir into another file system.
func (d *Dir) On(fsys durable.FS) *Dir {
	d.fsys = fsys
	return d
}

// Rewritten is the text of a state file as it is written when it was read.
func Rewritten(text string) (string, error) {
	s, err := parseState(text)
	if err != nil {
		return "", err
	}
	return s.String(), nil
}
