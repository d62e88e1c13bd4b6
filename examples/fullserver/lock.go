package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// Times of the lock on the data.
const (
	// lockWait is how long to wait for another fullserver that does not run for long, such as a command, or that begins to
	// run and will take commands soon.
	lockWait = 5 * time.Second
	// lockPause is how long to wait between two looks at it.
	lockPause = 50 * time.Millisecond
)

var (
	// errInUse says that another fullserver works on the data.
	errInUse = errors.New("is in use by another fullserver")
	// errAnswers says that it is a server that takes commands.
	errAnswers = errors.New("the server takes commands")
)

// lockData makes sure that nobody else works on the data. It waits for somebody who does, but fails with errAnswers as soon as
// it is a server that takes commands.
func lockData(ctx context.Context, c *config) (io.Closer, error) {
	if err := os.MkdirAll(c.path("state"), 0o700); err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockWait); ; {
		lock, err := durable.OS().TryLock(c.path("state", "lock"))
		if !errors.Is(err, durable.ErrLocked) {
			return lock, err
		}
		if conn, err := dialControl(c.path("state")); err == nil {
			_ = conn.Close() // nothing was asked
			return nil, fmt.Errorf("%s %w: %w", c.dataDir, errInUse, errAnswers)
		}
		if !time.Now().Before(end) {
			return nil, fmt.Errorf("%s %w, for more than %s", c.dataDir, errInUse, lockWait)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %w: %w", c.dataDir, errInUse, context.Cause(ctx))
		case <-time.After(lockPause):
		}
	}
}
