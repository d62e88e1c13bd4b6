package durable_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// ReplaceFile leaves the name to the caller: a power cut before the folder's sync may take it, and never the contents of one
// that stays.
func TestReplaceFileLeavesTheFolderToTheCaller(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, fsys.Mkdir("dir", 0o700))
	require.NoError(t, fsys.SyncDir("."))
	require.NoError(t, durable.ReplaceFile(fsys, "dir/file", []byte("whole"), 0o600))
	lost := 0
	for state := range fsys.States() {
		data, err := durable.ReadFile(state.FS, "dir/file", 100)
		if err != nil {
			lost++
			continue
		}
		require.Equal(t, "whole", string(data), state.What)
	}
	require.NotZero(t, lost)
	require.NoError(t, fsys.SyncDir("dir"))
	for state := range fsys.States() {
		data, err := durable.ReadFile(state.FS, "dir/file", 100)
		require.NoError(t, err, state.What)
		require.Equal(t, "whole", string(data), state.What)
	}
}
