package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
)

func TestRemoveTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "a", "b"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "a", "b", "file"), nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "other"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other", "file"), nil, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(dir, "other"), filepath.Join(tree, "link")))

	require.NoError(t, durable.RemoveTree(durable.OS(), tree))
	require.NoDirExists(t, tree)
	require.FileExists(t, filepath.Join(dir, "other", "file"), "what a link leads to stays")
	require.NoError(t, durable.RemoveTree(durable.OS(), tree), "nothing to remove")
}
