package main

import "github.com/mailbricks/mailbricks/bench/internal/stats"

// pairs are measurements of both servers, one after the other.
type pairs struct{ a, b []float64 }

func (p *pairs) add(a, b float64) { p.a, p.b = append(p.a, a), append(p.b, b) }

// ratios are those of the pairs, a to b.
func (p *pairs) ratios() []float64 {
	ratios := make([]float64, len(p.a))
	for i := range ratios {
		ratios[i] = p.a[i] / p.b[i]
	}
	return ratios
}

// ratio is the median of the ratios.
func (p *pairs) ratio() float64 { return stats.Median(p.ratios()) }

// String gives the median of the ratios and between what they are.
func (p *pairs) String() string { return stats.Spread(p.ratios()) }
