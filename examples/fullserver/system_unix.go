//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// hangup is the signal that asks for a reload.
const hangup = syscall.SIGHUP

// freeSpace is what an ordinary user may still write on the file system of a folder.
func freeSpace(dir string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return space{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	// The types differ between systems; some have less than none when only root may write.
	free := space{octets: uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize), files: math.MaxUint64}
	if st.Files > minFreeFiles { // others make room for files as they go
		free.files = uint64(max(int64(st.Ffree), 0))
	}
	return free, nil
}

// switchUser makes root that user ("name" or "uid:gid") for good. Another user may only name itself.
func switchUser(name, dataDir string) error {
	uid, gid, err := lookUpUser(name)
	if err != nil {
		return fmt.Errorf("run.user: %w", err)
	}
	if os.Geteuid() == uid && os.Getegid() == gid {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("run.user: only root can become %s", name)
	}
	if err := giveData(dataDir, uid, gid); err != nil {
		return fmt.Errorf("run.user: %w", err)
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("run.user: set groups: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("run.user: set group: %w", err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("run.user: set user: %w", err)
	}
	return nil
}

// mailboxDepth is how deep under data_dir a mailbox's folder is: mail/<domain>/<local part>/cur.
const mailboxDepth = 4

// giveData makes the data the user's own. A mailbox's folder that is already is not looked into: what is below it was
// made by its owner.
func giveData(dataDir string, uid, gid int) error {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	return filepath.WalkDir(dataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if int(st.Uid) != uid || int(st.Gid) != gid {
			return os.Lchown(path, uid, gid)
		}
		if relative, err := filepath.Rel(dataDir, path); err == nil && entry.IsDir() && isMailbox(relative) {
			return fs.SkipDir
		}
		return nil
	})
}

// isMailbox says whether a path under data_dir is deep enough to be a mailbox's folder.
func isMailbox(path string) bool {
	parts := strings.Split(path, string(filepath.Separator))
	return parts[0] == "mail" && len(parts) >= mailboxDepth
}

// giveSocket gives the file of a socket to its owner and group. Only root can give it to another user.
func giveSocket(e endpoint, runUser string) error {
	uid, gid := -1, -1 // as they are
	var errs [3]error
	if runUser != "" && os.Geteuid() == 0 {
		uid, gid, errs[0] = lookUpUser(runUser)
	}
	if e.owner != "" {
		uid, errs[1] = numberOf(e.owner, userNumber)
	}
	if e.group != "" {
		gid, errs[2] = numberOf(e.group, groupNumber)
	}
	if err := errors.Join(errs[:]...); err != nil || uid < 0 && gid < 0 {
		return err
	}
	return os.Lchown(e.address, uid, gid) // somebody may have put a link there
}

// numberOf is the number that a name stands for, or that is given.
func numberOf(name string, lookUp func(name string) (string, error)) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	number, err := lookUp(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(number)
}

func userNumber(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupNumber(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

func lookUpUser(name string) (uid, gid int, err error) {
	if u, g, ok := strings.Cut(name, ":"); ok {
		uid, err = strconv.Atoi(u)
		if err == nil {
			gid, err = strconv.Atoi(g)
		}
		if err != nil || uid < 0 || gid < 0 {
			return 0, 0, fmt.Errorf("%q is not uid:gid", name)
		}
		return uid, gid, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}
