//go:build !windows

package durable_test

// systemFull are the errors that the system itself gives for a full disk, beyond those of package syscall.
var systemFull []error
