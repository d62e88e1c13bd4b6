package sign

import "github.com/mailbricks/mailbricks/internal/durable"

// On puts the files of a Dir into another file system.
func (d *Dir) On(fsys durable.FS) *Dir {
	d.fsys = fsys
	return d
}
