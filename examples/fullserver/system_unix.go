//go:build unix

package main

import (
	"fmt"
	"io/fs"
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

// freeSpace is how many octets an ordinary user may still write on the file system of a folder.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil // the types differ between systems
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

// giveData makes the data the user's own, unless its folder is already.
func giveData(dataDir string, uid, gid int) error {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(dataDir, &st); err != nil {
		return err
	}
	if int(st.Uid) == uid {
		return nil
	}
	// The folder comes last: when this is interrupted, it is done again.
	err := filepath.WalkDir(dataDir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dataDir {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
	if err != nil {
		return err
	}
	return os.Chown(dataDir, uid, gid)
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
