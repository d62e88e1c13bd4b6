// Package stats has the few figures that benchmarks are told by.
package stats

import (
	"fmt"
	"slices"
)

// Median is the middle of the values, or between the two in the middle. There must be one.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Percentile is the least value that p percent of the values are not above. There must be one.
func Percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := int(float64(len(sorted)) * p / 100)
	return sorted[min(at, len(sorted)-1)]
}

// Spread gives the median of the values and between what they are.
func Spread(values []float64) string {
	return fmt.Sprintf("%.3f (%.3f to %.3f)", Median(values), slices.Min(values), slices.Max(values))
}
