package maildir_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/maildir"
)

// BenchmarkBackup renews a backup of 2000 messages in which nothing has changed.
func BenchmarkBackup(b *testing.B) {
	m := newMaildir(b, b.TempDir(), 0)
	s := mustStoreOf(b, m)
	box := mustOpen(b, s, "INBOX")
	for i := range 2000 {
		storeText(b, box, fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	require.NoError(b, box.Close())
	dir := filepath.Join(b.TempDir(), "backup")
	for b.Loop() {
		stats, err := m.Backup(b.Context(), ann, dir, maildir.BackupOptions{})
		require.NoError(b, err)
		require.Equal(b, 2000, stats.Messages)
	}
}
