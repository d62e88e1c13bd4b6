//go:build !unix && !windows

package durable

// isDiskFull is false: the system has no code for it.
func isDiskFull(error) bool { return false }
