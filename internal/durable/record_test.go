package durable_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	buf, err := durable.AppendRecord([]byte("before\n"), map[string]int{"a": 1})
	require.NoError(t, err)
	line, ok := strings.CutPrefix(strings.TrimSuffix(string(buf), "\n"), "before\n")
	require.True(t, ok)

	var got map[string]int
	require.NoError(t, durable.ParseRecord([]byte(line), &got))
	require.Equal(t, map[string]int{"a": 1}, got)
	for i := range line {
		changed := []byte(line)
		changed[i] ^= 1
		require.ErrorIs(t, durable.ParseRecord(changed, &got), durable.ErrCorrupt, "%s", changed)
		require.ErrorIs(t, durable.ParseRecord([]byte(line[:i]), &got), durable.ErrCorrupt)
	}
	var other []string
	require.ErrorIs(t, durable.ParseRecord([]byte(line), &other), durable.ErrCorrupt)
	_, err = durable.AppendRecord(nil, func() {})
	require.Error(t, err)
}

// 0xe3069283 is the check value of CRC-32C for these digits.
func TestRecordsHaveCRC32C(t *testing.T) {
	t.Parallel()
	var n int
	require.NoError(t, durable.ParseRecord([]byte("e3069283 123456789"), &n))
	require.Equal(t, 123456789, n)
}

func TestCheckFormat(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]error{
		"x 1": nil, "x 2": nil, "x 3": durable.ErrNewer, "x 0": durable.ErrCorrupt, "x -1": durable.ErrCorrupt,
		"x": durable.ErrCorrupt, "": durable.ErrCorrupt, "y 1": durable.ErrCorrupt, "x 1 ": durable.ErrCorrupt,
		"x 99999999999999999999": durable.ErrCorrupt,
	} {
		require.ErrorIs(t, durable.CheckFormat([]byte(line), "x", 2), want, "%q", line)
	}
}
