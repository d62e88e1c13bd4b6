package arc_test

import (
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

func TestChainsOfAllLengths(t *testing.T) {
	t.Parallel()
	z := new(zone)
	m := message
	status := arc.None
	for i := range arc.MaxSets {
		m = seal(t, newSealer(t, z, domainOf(i)), status, m)
		z.forget()
		r := verify(t, z, m)
		require.NoError(t, r.Err)
		require.Equal(t, arc.Pass, r.Status)
		require.Zero(t, r.OldestPass)
		require.Zero(t, r.Instance)
		require.Len(t, r.Sets, i+1)
		require.Len(t, z.asked, i+1, "one question a key")
		status = r.Status
	}
	set, err := newSealer(t, z, "more.example").Seal(strings.NewReader(m), arc.Pass, "")
	require.NoError(t, err)
	require.Empty(t, set, "no 51st set")
}
