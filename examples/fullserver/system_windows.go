package main

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	"golang.org/x/sys/windows"
)

// hangup stands for the signal that asks for a reload, which Windows does not send.
const hangup = syscall.SIGHUP

// freeSpace is what the user may still write on the volume of a folder.
func freeSpace(dir string) (space, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return space{}, err
	}
	free := space{files: math.MaxUint64}
	if err := windows.GetDiskFreeSpaceEx(name, &free.octets, nil, nil); err != nil {
		return space{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return free, nil
}

func giveSocket(e endpoint, _ string) error {
	if e.owner != "" || e.group != "" {
		return errors.New("owner and group: not possible on Windows")
	}
	return nil
}

func switchUser(string, string) error { return errors.New("run.user: not possible on Windows") }
