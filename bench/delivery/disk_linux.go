package main

import "syscall"

// tmpfsMagic is the type of file systems in memory (TMPFS_MAGIC of linux/magic.h).
const tmpfsMagic = 0x01021994

// inMemory says whether a folder is on a file system in memory.
func inMemory(dir string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(dir, &s) == nil && s.Type == tmpfsMagic
}

// flushDisks writes what waits to be written.
func flushDisks() { syscall.Sync() }
