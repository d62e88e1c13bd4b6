package main

import (
	"fmt"

	"github.com/mailbricks/mailbricks/bench/internal/stats"
)

// Names of the servers.
const (
	ours    = "fullserver"
	virtual = "Postfix, virtual"
	lmtp    = "Postfix, Dovecot LMTP"
)

// Aims of the ratios, ours to a peer's.
const (
	minVirtualAlone = 0.8 // delivered messages a second over one connection
	minVirtual      = 1.5 // over more
	minLMTP         = 3.0
	maxCPU          = 0.7 // CPU time of a message, beside virtual
)

// verdict says what must hold of a ratio; neither bound: nothing.
type verdict struct{ atLeast, atMost float64 }

// rateAim is what the rate beside a peer should be.
func rateAim(peer string, conns int) verdict {
	switch {
	case peer == virtual && conns == 1:
		return verdict{atLeast: minVirtualAlone}
	case peer == virtual:
		return verdict{atLeast: minVirtual}
	case peer == lmtp && conns > 1:
		return verdict{atLeast: minLMTP}
	}
	return verdict{}
}

// cpuAim is what the CPU time beside a peer should be.
func cpuAim(peer string) verdict {
	if peer == virtual {
		return verdict{atMost: maxCPU}
	}
	return verdict{}
}

// of tells the verdict on a ratio, as text too.
func (v verdict) of(ratio float64) (ok bool, text string) {
	switch {
	case v.atLeast > 0:
		ok, text = ratio >= v.atLeast, fmt.Sprintf("at least %.1f", v.atLeast)
	case v.atMost > 0:
		ok, text = ratio <= v.atMost, fmt.Sprintf("at most %.1f", v.atMost)
	default:
		return true, "no aim"
	}
	if !ok {
		return false, text + ": MISSED"
	}
	return true, text + ": ok"
}

// judge prints the ratios of one server's figures to those of the others and says whether all are as they should be.
func judge(all []*results, own *server) (ok bool) {
	ok = true
	fmt.Printf("\n%5s  %-22s %-13s %-26s %s\n", "conns", own.name+" beside", "figure", "ratio (range)", "aim")
	line := func(mine, peer *results, name string, figure func(result) float64, aim verdict) {
		r := ratios(mine.series(figure), peer.series(figure))
		good, text := aim.of(stats.Median(r))
		fmt.Printf("%5d  %-22s %-13s %-26s %s\n", peer.load.conns, peer.server.name, name, stats.Spread(r), text)
		ok = ok && good
	}
	for _, mine := range all {
		if mine.server != own {
			continue
		}
		for _, peer := range all {
			if peer.server == own || peer.load != mine.load {
				continue
			}
			line(mine, peer, "delivered/s", delivered, rateAim(peer.server.name, peer.load.conns))
			line(mine, peer, "CPU a message", cpu, cpuAim(peer.server.name))
		}
	}
	return ok
}

// ratios are those of figures of the same rounds, a to b.
func ratios(a, b []float64) []float64 {
	r := make([]float64, len(a))
	for i := range r {
		r[i] = a[i] / b[i]
	}
	return r
}
