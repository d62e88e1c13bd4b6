package rlimit

import "syscall"

func raise(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= n {
		return nil
	}
	limit.Cur = n
	limit.Max = max(limit.Max, n)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
