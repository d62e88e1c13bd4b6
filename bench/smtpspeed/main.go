// Command smtpspeed compares what a message costs the smtpd server and a trivial server of github.com/emersion/go-smtp: CPU
// time of the server's process per message, and messages a second. See ../README.md.
//
// Both servers throw messages away. They run in processes of their own, side by side, and are measured one after the other,
// again and again; what counts is the median of the ratios of such pairs, which changes less than either of them on a
// machine that does other things as well. It exits with 1 when a bound is broken.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/child"
	"github.com/mailbricks/mailbricks/bench/internal/stats"
)

// Bounds of the ratios, ours to go-smtp's.
const (
	maxSmall   = 1.0 / 2 // CPU time of a message of 1 KiB
	maxLarge   = 1.0 / 8 // CPU time of a message of 1 MiB
	minSpeedup = 1.0     // messages a second
)

// workload is one line of the table: messages of a size over a number of connections.
type workload struct {
	name  string
	size  int
	conns int
	bound float64 // of the CPU ratio
}

// roles are the servers.
var roles = map[string]child.Role{"smtpd": ours, "go-smtp": theirs}

func main() {
	child.Main(roles)
	quick := flag.Bool("quick", false, "one short pair each, and no verdict: that it runs")
	pairs := flag.Int("pairs", 7, "pairs of measurements for each line; at least 5 for a result that counts")
	each := flag.Duration("time", time.Second, "how long each measurement takes")
	spool := flag.String("spool", memoryFolder(), "folder for smtpd's spool files; should be in memory (tmpfs)")
	only := flag.String("only", "", "only the lines whose name is this")
	profile := flag.String("cpuprofile", "", "file for a CPU profile of the smtpd server")
	flag.Parse()
	if *quick {
		*pairs, *each = 1, 50*time.Millisecond
	}
	ok, err := run(&options{pairs: *pairs, each: *each, spool: *spool, only: *only, profile: *profile})
	if err != nil {
		fmt.Fprintln(os.Stderr, "smtpspeed:", err)
		os.Exit(2)
	}
	if !ok && !*quick {
		os.Exit(1)
	}
}

// memoryFolder is where Linux has a file system in memory; empty: the system's folder for temporary files.
func memoryFolder() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return ""
}

type options struct {
	pairs   int
	each    time.Duration
	spool   string
	only    string
	profile string
}

// run measures all and prints a table. ok says that no bound is broken.
func run(o *options) (ok bool, err error) {
	a, err := child.Start("smtpd", o.spool, o.profile)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := child.Start("go-smtp")
	if err != nil {
		return false, err
	}
	defer b.Close()
	fmt.Printf("%-8s %5s  %12s %12s %-24s %9s %9s %-24s\n", "size", "conns", "smtpd us", "go-smtp us", "CPU ratio (range)", "smtpd/s", "go-smtp/s", "throughput (range)")
	ok = true
	for _, size := range []workload{{name: "1KiB", size: 1 << 10, bound: maxSmall}, {name: "1MiB", size: 1 << 20, bound: maxLarge}} {
		for _, conns := range []int{1, 16, 64} {
			w := size
			w.conns = conns
			if o.only != "" && o.only != w.name && o.only != fmt.Sprintf("%s/%d", w.name, w.conns) {
				continue
			}
			good, err := compare(o, w, a, b)
			if err != nil {
				return false, fmt.Errorf("%s over %d connections: %w", w.name, w.conns, err)
			}
			ok = ok && good
		}
	}
	if o.profile != "" {
		return ok, a.Ask(endProfile, new(any))
	}
	return ok, nil
}

// compare measures pairs of one workload and prints its line.
func compare(o *options, w workload, a, b *child.Process) (good bool, err error) {
	ours, err := newLoad(a, w)
	if err != nil {
		return false, err
	}
	defer ours.close()
	theirs, err := newLoad(b, w)
	if err != nil {
		return false, err
	}
	defer theirs.close()
	var cpu, rate pairs
	for i := range o.pairs + 1 {
		x, err := ours.measure(o.each)
		if err != nil {
			return false, fmt.Errorf("smtpd: %w", err)
		}
		y, err := theirs.measure(o.each)
		if err != nil {
			return false, fmt.Errorf("go-smtp: %w", err)
		}
		if i > 0 { // the first is to warm up
			cpu.add(x.cpu, y.cpu)
			rate.add(x.rate, y.rate)
		}
	}
	good = cpu.ratio() <= w.bound && rate.ratio() >= minSpeedup
	verdict := ""
	if !good {
		verdict = fmt.Sprintf("  BROKEN: CPU at most %.3f, throughput at least %.1f", w.bound, minSpeedup)
	}
	fmt.Printf("%-8s %5d  %12.1f %12.1f %-24s %9.0f %9.0f %-24s%s\n", w.name, w.conns, stats.Median(cpu.a), stats.Median(cpu.b), cpu.String(), stats.Median(rate.a), stats.Median(rate.b), rate.String(), verdict)
	return good, nil
}
