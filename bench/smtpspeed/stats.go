package main

import (
	"fmt"
	"slices"
)

// pairs are measurements of both servers, one after the other.
type pairs struct{ a, b []float64 }

func (p *pairs) add(a, b float64) { p.a, p.b = append(p.a, a), append(p.b, b) }

// ratios are those of the pairs, a to b, in order of size.
func (p *pairs) ratios() []float64 {
	ratios := make([]float64, len(p.a))
	for i := range ratios {
		ratios[i] = p.a[i] / p.b[i]
	}
	slices.Sort(ratios)
	return ratios
}

// ratio is the median of the ratios.
func (p *pairs) ratio() float64 { return median(p.ratios()) }

// String gives the median of the ratios and between what they were.
func (p *pairs) String() string {
	ratios := p.ratios()
	return fmt.Sprintf("%.3f (%.3f to %.3f)", p.ratio(), ratios[0], ratios[len(ratios)-1])
}

// median is the middle of the values, or between the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
