package durable_test

import "golang.org/x/sys/windows"

// systemFull are the errors that the system itself gives for a full disk.
var systemFull = []error{
	windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED, windows.ERROR_DISK_RESOURCES_EXHAUSTED,
}
