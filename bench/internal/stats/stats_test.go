package stats_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/bench/internal/stats"
)

func TestStats(t *testing.T) {
	t.Parallel()
	require.Equal(t, 3.0, stats.Median([]float64{5, 1, 3}))
	require.Equal(t, 2.5, stats.Median([]float64{4, 1, 3, 2}))
	require.Equal(t, "3.000 (1.000 to 5.000)", stats.Spread([]float64{5, 1, 3}))
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(99 - i)
	}
	require.Equal(t, 99.0, stats.Percentile(hundred, 99))
	require.Equal(t, 50.0, stats.Percentile(hundred, 50))
	require.Equal(t, 7.0, stats.Percentile([]float64{7}, 99))
}
