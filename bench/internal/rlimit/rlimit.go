// Package rlimit has the limit of open files raised.
package rlimit

import "fmt"

// Need makes sure that the process may have n files open, and its children.
func Need(n uint64) error {
	if err := raise(n); err != nil {
		return fmt.Errorf("%d files must be open at a time, which the system does not allow (see ulimit -n): %w", n, err)
	}
	return nil
}
