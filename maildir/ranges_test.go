package maildir

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestManyRanges has a short index tell of more messages than there can have been.
func TestManyRanges(t *testing.T) {
	t.Parallel()
	text := "mailbricks-index 2 V5 B1\nv 2 1\nv 3 " + strings.Repeat("1-1000000,", 8) + "1\nm 9\n"
	x, err := parseIndex([]byte(text))
	require.NoError(t, err)
	require.True(t, x.damaged && x.broken)
	require.LessOrEqual(t, len(x.expunged), maxGone)
}
