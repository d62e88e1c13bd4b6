package smtpd

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAppendDateIsThatOfPackageTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-14*60, 14*60).Draw(t, "zone")*60)
		at := time.Unix(rapid.Int64Range(-1<<35, 1<<37).Draw(t, "time"), 0).In(zone)
		require.Equal(t, "x"+at.Format(time.RFC1123Z), string(appendDate([]byte("x"), at)))
	})
}

func TestNewID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	digits := map[rune]bool{}
	for range 1000 {
		id := newID()
		require.Regexp(t, "^[A-Z2-7]{16}$", id)
		require.False(t, seen[id], id)
		seen[id] = true
		for _, digit := range id {
			digits[digit] = true
		}
	}
	require.Len(t, digits, 32)
}
