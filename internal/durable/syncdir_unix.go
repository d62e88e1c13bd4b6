//go:build unix

package durable

import (
	"errors"
	"os"
	"syscall"
)

func syncDir(name string) error {
	d, err := openFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	// Some network and user-space file systems cannot sync a directory and
	// say so; they have nothing better to offer.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
