package durable_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// counted are files whose syncs are counted.
type counted struct {
	durable.File
	syncs *int
}

func (c counted) Sync() error {
	*c.syncs++
	return c.File.Sync()
}

func TestBatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(b *durable.Batch, n int) (syncs int) {
		for i := range n {
			f, err := durable.OS().OpenFile(filepath.Join(dir, strconv.Itoa(i)), os.O_CREATE|os.O_WRONLY, 0o600)
			require.NoError(t, err)
			require.NoError(t, b.Sync(counted{f, &syncs}))
			require.NoError(t, f.Close())
		}
		return syncs
	}
	b := &durable.Batch{FS: durable.OS(), Dir: dir}
	require.Equal(t, 10, write(b, 10))
	require.NoError(t, b.Finish())
	many := 256
	if runtime.GOOS != "linux" {
		many = 300
	}
	require.Equal(t, many, write(b, 300), "the rest is synced at once")
	require.NoError(t, b.Finish())
	require.Equal(t, 1, write(b, 1), "it is as new")

	other := &durable.Batch{FS: struct{ durable.FS }{durable.OS()}, Dir: dir}
	require.Equal(t, 300, write(other, 300), "what is under another layer is not known")
	require.NoError(t, other.Finish())
	write(b, 300)
	b.Close()
	require.NoError(t, b.Finish())
}
