package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/child"
	"github.com/mailbricks/mailbricks/bench/internal/stats"
)

// room is how many connections the server may have for each that there is to be: so it is under stress when all are there, as
// it is from four fifths on.
const room = 1.2

// soak does the runs and prints what came of them.
func soak(p *plan) (good bool, err error) {
	srv, err := child.Start("server", strconv.Itoa(int(room*float64(p.idle+p.slow+p.honest))), "")
	if err != nil {
		return false, err
	}
	defer srv.Close()
	var before child.Memory
	if err := srv.Ask(askMemory, &before); err != nil {
		return false, err
	}
	var slowdowns []float64
	good = true
	for i := range p.runs {
		r, err := soakOnce(p, srv, i)
		if err != nil {
			return false, err
		}
		slowdowns = append(slowdowns, r.slowdown)
		good = good && r.complete
	}
	slow := stats.Median(slowdowns) <= p.slowdown
	fmt.Printf("p99 under attack to p99 in quiet: %s, at most %.1f: %s\n", stats.Spread(slowdowns), p.slowdown, verdict(slow))
	left, err := goroutinesLeft(srv, before.Goroutines)
	if err != nil {
		return false, err
	}
	fmt.Printf("goroutines of the server: %d before, %d after: %s\n", before.Goroutines, before.Goroutines+left, verdict(left <= 0))
	return good && slow && left <= 0, nil
}

// result is what came of one run.
type result struct {
	slowdown float64
	complete bool // no message was lost or came twice
}

// soakOnce measures in quiet, begins an attack, measures, and ends it.
func soakOnce(p *plan, srv *child.Process, run int) (result, error) {
	quiet := deliver(srv.Addr, fmt.Sprintf("quiet-%d", run), p.honest, p.quiet)
	ctx, cancel := context.WithCancel(context.Background())
	a := &attack{addr: srv.Addr}
	defer a.wg.Wait()
	defer cancel()
	if err := a.begin(ctx, p); err != nil {
		return result{}, err
	}
	attacked := deliver(srv.Addr, fmt.Sprintf("attack-%d", run), p.honest, p.attack)
	held, thrownOut := a.up.Load(), a.lost.Load()
	var received map[string]int
	if err := srv.Ask(askReceived, &received); err != nil {
		return result{}, err
	}
	if len(quiet.seconds) == 0 || len(attacked.seconds) == 0 {
		return result{}, fmt.Errorf("no message got through: %v", append(quiet.failed, attacked.failed...))
	}
	before, under := stats.Percentile(quiet.seconds, 99), stats.Percentile(attacked.seconds, 99)
	complete := report(quiet, received) && report(attacked, received)
	fmt.Printf("run %d: quiet %d messages, p50 %.1f ms, p99 %.1f ms; attack %d messages, p50 %.1f ms, p99 %.1f ms, %d tried again; %d attackers connected, %d thrown out; %s\n",
		run+1, len(quiet.seconds), 1e3*stats.Median(quiet.seconds), 1e3*before, len(attacked.seconds), 1e3*stats.Median(attacked.seconds), 1e3*under,
		attacked.retries, held, thrownOut, verdict(complete))
	return result{under / before, complete}, nil
}

// report says what is wrong with what honest senders have sent: nothing, if it is complete.
func report(s *sent, received map[string]int) (complete bool) {
	complete = len(s.failed) == 0
	for _, err := range s.failed {
		fmt.Println("not delivered:", err)
	}
	for id := range s.acked {
		if received[id] != 1 {
			complete = false
			fmt.Printf("message %s was acknowledged and came %d times\n", id, received[id])
		}
	}
	return complete
}

// goroutinesLeft waits for the server to have no more goroutines than before, and says how many more it has.
func goroutinesLeft(srv *child.Process, before int) (int, error) {
	for range 100 {
		u, err := srv.Usage()
		if err != nil || u.Goroutines <= before {
			return u.Goroutines - before, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	u, err := srv.Usage()
	return u.Goroutines - before, err
}
