package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/mailbricks/mailbricks/bench/internal/stats"
)

// results are what was measured of one server under one load, round by round.
type results struct {
	server *server
	load   workload
	rounds []result
	syncs  string
}

// series gives one figure of each round.
func (r *results) series(figure func(result) float64) []float64 {
	values := make([]float64, len(r.rounds))
	for i, one := range r.rounds {
		values[i] = figure(one)
	}
	return values
}

func (r *results) median(figure func(result) float64) float64 { return stats.Median(r.series(figure)) }

// compare measures all servers under all loads, in turns, and prints what came of it.
func compare(ctx context.Context, o *options, servers []*server) (ok bool, err error) {
	var all []*results
	for _, load := range o.loads {
		for _, s := range servers {
			all = append(all, &results{server: s, load: load})
		}
	}
	for round := range o.rounds + 1 {
		for at := 0; at < len(all); at += len(servers) {
			turn := slices.Clone(all[at : at+len(servers)])
			if round%2 == 1 {
				slices.Reverse(turn) // who comes after whom is not always the same
			}
			for _, r := range turn {
				one, err := measure(ctx, r.server, r.load)
				if err != nil {
					return false, fmt.Errorf("%s over %d connections: %w", r.server.name, r.load.conns, err)
				}
				fmt.Fprintf(os.Stderr, "round %d of %d, %d connections, %s: %.0f delivered/s, %.3f s of CPU time for 1000\n",
					round, o.rounds, r.load.conns, r.server.name, one.delivered, one.cpu)
				if round > 0 { // the first is to warm up; it makes the mailboxes, too
					r.rounds = append(r.rounds, one)
				}
			}
		}
	}
	fmt.Fprintln(os.Stderr, "counting sync calls")
	for _, r := range all {
		if r.syncs, err = countSyncs(ctx, r.server, workload{r.load.conns, o.counted}); err != nil {
			return false, fmt.Errorf("%s under strace: %w", r.server.name, err)
		}
	}
	for _, s := range servers {
		if err := s.complete(); err != nil {
			return false, err
		}
	}
	printFigures(all)
	return judge(all, servers[0]), nil
}

// printFigures prints medians.
func printFigures(all []*results) {
	fmt.Printf("%5s  %-22s %10s %11s %10s %10s  %s\n",
		"conns", "server", "accepted/s", "delivered/s", "250 in ms", "CPU s/1000", "sync calls a message")
	for _, r := range all {
		fmt.Printf("%5d  %-22s %10.0f %11.0f %10.2f %10.3f  %s\n", r.load.conns, r.server.name,
			r.median(accepted), r.median(delivered), r.median(latency), r.median(cpu), r.syncs)
	}
}

func accepted(r result) float64  { return r.accepted }
func delivered(r result) float64 { return r.delivered }
func latency(r result) float64   { return r.latency }
func cpu(r result) float64       { return r.cpu }
