package sealedfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/sealed"
)

// Needs says whether a file is not kept as new ones are: plain where they are sealed, sealed where they are plain, or sealed
// for another key. Folders and what stays plain need nothing.
func (f *FS) Needs(name string) (needs bool, err error) {
	err = f.at(name, func(p place) error {
		needs, err = f.needs(p, filepath.Base(p.path))
		return err
	})
	return needs, err
}

// needs is Needs for a file that has, or is to have, this name.
func (f *FS) needs(p place, base string) (bool, error) {
	if p.kind == "" {
		return false, nil
	}
	info, err := f.under.Lstat(p.path)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	file, err := f.under.OpenFile(p.path, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	form, id, err := f.form(base, p, file)
	if err != nil {
		return false, err
	}
	sealer := f.mode.Load().Sealer
	if sealer == nil {
		return form != sealed.Plain, nil
	}
	return form == sealed.Plain || id != sealer.ID(), nil
}

// Copy makes a copy of a file, kept as new ones are, under a name that nobody else uses, with its time of modification, and
// syncs it. It gives what the file was like.
func (f *FS) Copy(name, temp string) (was fs.FileInfo, err error) {
	err = f.at(name, func(p place) error {
		to, err := f.place(temp)
		if err != nil {
			return err
		}
		to.kind, to.log = p.kind, p.log
		was, err = f.copy(p, to)
		return err
	})
	return was, err
}

func (f *FS) copy(from, to place) (fs.FileInfo, error) {
	in, err := f.open(from.path, from, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	was, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if !was.Mode().IsRegular() {
		return nil, fmt.Errorf("sealedfs: %s is no file", from.path)
	}
	out, err := f.create(to.path, to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, was.Mode().Perm())
	if err != nil {
		return nil, err
	}
	if _, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, sealed.ChunkSize)); err == nil {
		err = f.finish(to.path)
	}
	if err == nil && !from.log {
		err = f.under.Chtimes(to.path, was.ModTime())
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, errors.Join(err, f.discard(to.path))
	}
	return was, nil
}

// discard removes a copy.
func (f *FS) discard(path string) error {
	f.forgetFile(path)
	return f.under.Remove(path)
}

// Swap puts a copy in the place of the file that it was made of, if that is still there and as it was; if not, it removes
// the copy and says so. The caller makes sure that nobody renames the file meanwhile.
func (f *FS) Swap(temp, name string, was fs.FileInfo) (swapped bool, err error) {
	err = f.at(temp, func(from place) error {
		to, err := f.place(name)
		if err != nil {
			return err
		}
		now, err := f.under.Lstat(to.path)
		if isNotExist(err) || err == nil && !(now.ModTime().Equal(was.ModTime()) && sameUnder(now, was)) {
			return f.discard(from.path)
		}
		if err == nil {
			err = f.under.Rename(from.path, to.path)
		}
		if isNotExist(err) { // the copy looks old, and so somebody has tidied it away; or the file is gone
			f.forgetFile(from.path)
			if err := f.under.Remove(from.path); !isNotExist(err) {
				return err
			}
			return nil
		}
		if err != nil {
			return errors.Join(err, f.discard(from.path))
		}
		f.forgetFile(from.path)
		f.forgetFile(to.path)
		swapped = true
		return nil
	})
	return swapped, err
}

// sameUnder is os.SameFile for what Stat of this layer gave as well.
func sameUnder(now, was fs.FileInfo) bool {
	if i, ok := was.(info); ok {
		was = i.FileInfo
	}
	return sameFile(now, was)
}

// bring gives a file its last name, kept as new ones are; false: it is so already. It may have been begun before the mode was
// this one, be another name of a file that is for an older key, or be another program's.
func (f *FS) bring(from, to place) (bool, error) {
	if id, ok := f.madeBy(from.path); ok {
		if sealer := f.mode.Load().Sealer; sealer != nil && sealer.ID() == id {
			return false, nil
		}
	}
	from.kind, from.log = to.kind, to.log
	needs, err := f.needs(from, filepath.Base(to.path))
	if err != nil || !needs {
		return false, err
	}
	temp := to
	temp.path = from.path + ".sealed" + tempSuffix
	if err := f.under.Remove(temp.path); err != nil && !isNotExist(err) { // of a try before
		return false, err
	}
	if _, err := f.copy(from, temp); err != nil {
		return false, err
	}
	if err := f.under.Rename(temp.path, to.path); err != nil {
		return false, errors.Join(err, f.discard(temp.path))
	}
	f.forgetFile(temp.path)
	f.forgetFile(to.path)
	return true, f.discard(from.path)
}

// Settle gives the folder of a mailbox the name on disk that new ones have. Nobody may be using paths within it.
func (f *FS) Settle(folder string) error {
	f.moving.Lock()
	defer f.moving.Unlock()
	mode := f.mode.Load()
	if mode.Names == nil {
		return f.locked
	}
	now, err := f.folder(folder)
	if err != nil {
		return err
	}
	want := folder
	if mode.Sealer != nil {
		want = hide(mode.Names, folder)
	}
	if now == folder && isHidden(folder) { // nobody can tell what it is called
		return nil
	}
	from, to := filepath.Join(f.root, now), filepath.Join(f.root, want)
	if now != want {
		if mode.Sealer != nil {
			err = f.noteNames(from, folder)
		}
		if err == nil {
			err = f.under.Rename(from, to)
		}
		f.forgetFolder(from)
		f.forgetFolder(to)
		if err == nil {
			err = f.under.SyncDir(f.root)
		}
	}
	if err != nil || mode.Sealer != nil {
		return err
	}
	if err := f.under.Remove(filepath.Join(to, NameFile)); err != nil && !isNotExist(err) {
		return err
	}
	return nil
}

// Hidden gives the name on disk of a mailbox's folder that has a hidden one; empty: it has none.
func (f *FS) Hidden(folder string) (string, error) {
	f.moving.RLock()
	defer f.moving.RUnlock()
	disk, err := f.folder(folder)
	if err != nil || !isHidden(disk) {
		return "", err
	}
	return disk, nil
}

// IsHidden says whether the folder on disk of a mailbox has a name that says nothing.
func IsHidden(folder string) bool { return isHidden(folder) }
