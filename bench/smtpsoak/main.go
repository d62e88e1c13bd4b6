// Command smtpsoak puts the smtpd server under attack and looks at what honest senders notice of it: thousands of idle
// connections and hundreds of senders that are as slow as they can be, while honest senders deliver their mail. It also
// measures the memory of an idle connection. See ../README.md.
//
// It ends by itself after some minutes, with 1 when a bound is broken, and with 2 when it could not measure.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/child"
	"github.com/mailbricks/mailbricks/bench/internal/rlimit"
)

// Bounds.
const (
	maxSlowdown    = 5.0      // p99 of honest senders' latency under attack to that in quiet
	maxPlainMemory = 20 << 10 // octets an idle connection
	maxTLSMemory   = 60 << 10 // with TLS
)

// plan is how much there is of all.
type plan struct {
	idle, slow, honest int
	runs               int
	quiet, attack      time.Duration // how long each run measures without and with the attack
	few, many          int           // idle connections between which memory is measured
	slowdown           float64       // that is borne
}

var (
	fullPlan  = plan{idle: 5000, slow: 500, honest: 200, runs: 5, quiet: 5 * time.Second, attack: 15 * time.Second, few: 1000, many: 5000, slowdown: maxSlowdown}
	quickPlan = plan{idle: 200, slow: 50, honest: 20, runs: 1, quiet: time.Second, attack: time.Second, few: 100, many: 300, slowdown: maxSlowdown}
)

// roles are what children run.
var roles = map[string]child.Role{"server": server}

func main() {
	child.Main(roles)
	quick := flag.Bool("quick", false, "a small attack of seconds")
	flag.Parse()
	p := fullPlan
	if *quick {
		p = quickPlan
	}
	ok, err := run(&p)
	if err != nil {
		fmt.Fprintln(os.Stderr, "smtpsoak:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// spareFiles is how many files are open beside the connections.
const spareFiles = 500

// run does all and says whether no bound is broken.
func run(p *plan) (ok bool, err error) {
	if err := rlimit.Need(uint64(max(2*p.idle+p.slow+p.honest, p.many) + spareFiles)); err != nil {
		return false, err
	}
	ok = true
	for _, tls := range []bool{false, true} {
		good, err := measureMemory(p, tls)
		if err != nil {
			return false, fmt.Errorf("memory: %w", err)
		}
		ok = ok && good
	}
	good, err := soak(p)
	return ok && good, err
}

// verdict is the end of a line of the report.
func verdict(good bool) string {
	if good {
		return "ok"
	}
	return "BROKEN"
}
