//go:build !linux

package rlimit

import "errors"

func raise(uint64) error {
	return errors.New("this is for Linux, where 127.0.0.0/8 is all loopback")
}
