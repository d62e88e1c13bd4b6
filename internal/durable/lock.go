package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// How long Lock waits between two tries: doubled from the first to the second.
const (
	lockFirstWait = time.Millisecond
	lockMaxWait   = 50 * time.Millisecond
)

// Lock takes the exclusive lock of FS.TryLock, waiting for another holder until
// the context ends; the error then wraps both ErrLocked and the context's.
func Lock(ctx context.Context, fsys FS, name string) (io.Closer, error) {
	wait := lockFirstWait
	for {
		l, err := fsys.TryLock(name)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("durable: lock %s: %w: %w", name, err, context.Cause(ctx))
		case <-t.C:
		}
		wait = min(2*wait, lockMaxWait)
	}
}
