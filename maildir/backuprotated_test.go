package maildir_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/maildir"
)

// After a rotation of the keys messages have the same names, sizes and dates, and other octets: a backup on another disk gets them.
func TestBackupElsewhereAfterARotationOfKeys(t *testing.T) {
	t.Parallel()
	m, _, s := unlocked(t)
	dir := filepath.Join(t.TempDir(), "backup")
	maildir.SetFS(m, elsewhere{unsynced{durable.OS()}, dir})
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	_, err = m.RotateKey(t.Context(), ann, maildir.Secret{Password: password})
	require.NoError(t, err)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	want := everything(t, s)
	var told [][2]int
	stats, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{Progress: func(done, total int) { told = append(told, [2]int{done, total}) }})
	require.NoError(t, err)
	require.Equal(t, stats.Messages, stats.Copied)
	require.Equal(t, [][2]int{{6, 6}}, told)
	stats, err = m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	require.Zero(t, stats.Copied)

	copied := rawCopy(t, treeOf(t, dir))
	require.NoError(t, copied.Unlock(t.Context(), ann, password))
	require.Equal(t, want, everything(t, mustStoreOf(t, copied)))
}
