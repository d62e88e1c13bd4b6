package maildir_test

import (
	"io/fs"
	"os"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// hooked is a file layer that calls what it is told before it does something; an error is given instead.
type hooked struct {
	durable.FS
	openFile, readNames, lstat, stat, link, readDir, remove func(name string) error
}

func (h *hooked) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	if err := callHook(h.openFile, name); err != nil {
		return nil, err
	}
	return h.FS.OpenFile(name, flag, perm)
}

func (h *hooked) ReadNames(name string) ([]string, error) {
	if err := callHook(h.readNames, name); err != nil {
		return nil, err
	}
	return h.FS.ReadNames(name)
}

func (h *hooked) Stat(name string) (fs.FileInfo, error) {
	if err := callHook(h.stat, name); err != nil {
		return nil, err
	}
	return h.FS.Stat(name)
}

func (h *hooked) Lstat(name string) (fs.FileInfo, error) {
	if err := callHook(h.lstat, name); err != nil {
		return nil, err
	}
	return h.FS.Lstat(name)
}

func (h *hooked) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := callHook(h.readDir, name); err != nil {
		return nil, err
	}
	return h.FS.ReadDir(name)
}

func (h *hooked) Link(from, to string) error {
	if err := callHook(h.link, to); err != nil {
		return err
	}
	return h.FS.Link(from, to)
}

func (h *hooked) Remove(name string) error {
	if err := callHook(h.remove, name); err != nil {
		return err
	}
	return h.FS.Remove(name)
}

func callHook(hook func(string) error, name string) error {
	if hook == nil {
		return nil
	}
	return hook(name)
}
