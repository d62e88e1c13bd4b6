package archive

import (
	"github.com/mailbricks/mailbricks/internal/durable"
)

// CreateOn is Create on other files than the system's.
func CreateOn(fsys durable.FS, path string, opts CreateOptions) (Writer, error) {
	return create(fsys, path, opts)
}

// OpenOn is Open likewise.
func OpenOn(fsys durable.FS, path string, format Format, opts Options) (Reader, error) {
	return open(fsys, path, format, opts)
}
