package serving_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/serving"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	require.Equal(t, 7, serving.Limit(0, 7))
	require.Equal(t, 3, serving.Limit(3, 7))
	require.Equal(t, int64(-1), serving.Limit(int64(-1), 7))
	for _, c := range []struct {
		n, limit      int
		over, reached bool
	}{{0, 0, false, true}, {1, 0, true, true}, {2, 3, false, false}, {3, 3, false, true}, {4, 3, true, true}, {1 << 30, -1, false, false}} {
		require.Equal(t, c.over, serving.Over(c.n, c.limit), "%v", c)
		require.Equal(t, c.reached, serving.Reached(c.n, c.limit), "%v", c)
	}
	require.Equal(t, time.Minute, serving.Timeout(0, time.Minute))
	require.Equal(t, time.Minute, serving.Timeout(-1, time.Minute))
	require.Equal(t, time.Hour, serving.Timeout(time.Hour, time.Minute))
}

func TestHostnameAndLogger(t *testing.T) {
	t.Parallel()
	name, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, name, serving.Hostname(""))
	require.Equal(t, "mail.example.com", serving.Hostname("mail.example.com"))
	require.False(t, serving.Logger(nil).Enabled(t.Context(), slog.LevelError))
	require.Equal(t, slog.Default(), serving.Logger(slog.Default()))
}

func TestGuard(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	want := errors.New("failed")
	require.Equal(t, want, serving.Guard(logger, "test: step", func() error { return want }))
	require.NoError(t, serving.Guard(logger, "test: step", func() error { return nil }))
	require.Empty(t, log.String())

	err := serving.Guard(logger, "test: step", func() error { panic("boom") })
	require.EqualError(t, err, "test: step: panic: boom")
	require.ErrorAs(t, err, new(*serving.Panic))
	require.Contains(t, log.String(), `msg="test: step: panic" panic=boom stack=`)
}
