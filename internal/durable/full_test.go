package durable_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

func TestIsDiskFull(t *testing.T) {
	t.Parallel()
	for _, full := range append([]error{syscall.ENOSPC, syscall.EDQUOT}, systemFull...) {
		require.True(t, durable.IsDiskFull(full), "%v", full)
		require.True(t, durable.IsDiskFull(fmt.Errorf("store: %w", &os.PathError{Op: "write", Path: "x", Err: full})))
		require.True(t, durable.IsDiskFull(errors.Join(errors.New("other"), full)))
	}
	for _, other := range []error{nil, syscall.EIO, syscall.EACCES, os.ErrNotExist, errors.New("no space left on device")} {
		require.False(t, durable.IsDiskFull(other), "%v", other)
	}
}

// What writes a file hands the failure on, so that callers can tell.
func TestWriteFileSaysThatTheDiskIsFull(t *testing.T) {
	t.Parallel()
	for call := 1; call <= 4; call++ { // create, write, sync, rename
		fsys := crashfs.New()
		fsys.FailCall(call, syscall.ENOSPC)
		err := durable.WriteFile(fsys, "file", []byte("x"), 0o600)
		require.True(t, durable.IsDiskFull(err), "call %d: %v", call, err)
	}
}
