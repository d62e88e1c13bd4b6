// Command delivery measures how fast mail comes in over SMTP until it is durably in a mailbox: fullserver, beside Postfix with
// its own virtual delivery, and beside Postfix that hands mail on to Dovecot over LMTP. See ../README.md.
//
// All servers run side by side, with their mailboxes on the same disk, and are measured in turns. What counts is the median of
// the ratios of measurements of the same round, since disks and shared machines change their speed within minutes. How many
// sync calls each server makes for a message is counted apart, under strace: a server that does not sync looks fast. It exits
// with 1 when an aim is missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// users is how many mailboxes each server has; messages go to them in turn.
const users = 10

// messageSize is how long a message is, in octets.
const messageSize = 4 << 10

// workload is a number of messages that come over a number of connections.
type workload struct{ conns, messages int }

type options struct {
	rounds     int // that count; there is one more before them
	loads      []workload
	counted    int // messages while sync calls are counted
	dir        string
	fullserver string
}

func full() *options {
	return &options{rounds: 7, loads: []workload{{1, 300}, {10, 1000}, {50, 1000}}, counted: 300}
}

func quick() *options {
	return &options{rounds: 1, loads: []workload{{1, 20}, {10, 50}}, counted: 20}
}

func main() {
	short := flag.Bool("quick", false, "one short round, and no verdict: that it runs")
	rounds := flag.Int("rounds", 0, "rounds of measurements, 7 if it is 0; at least 5 for a result that counts")
	dir := flag.String("dir", "", "folder on the disk to measure that all users can enter; empty: that for temporary files")
	fullserver := flag.String("fullserver", "", "fullserver's program file; it is built from the source if this is empty")
	flag.Parse()
	o := full()
	if *short {
		o = quick()
	}
	if *rounds > 0 {
		o.rounds = *rounds
	}
	o.dir, o.fullserver = *dir, *fullserver
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "delivery:", err)
		os.Exit(2)
	}
	if !ok && !*short {
		os.Exit(1)
	}
}

// run measures all and prints tables. ok says that no aim is missed.
func run(ctx context.Context, o *options) (ok bool, err error) {
	dir, err := workFolder(o.dir)
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if inMemory(dir) {
		fmt.Println("Note:", dir, "is in memory, where a sync costs nothing. Name a folder on a disk with -dir.")
	}
	var servers []*server
	defer func() {
		for _, s := range servers {
			if stopErr := s.stop(); err == nil {
				err = stopErr
			}
		}
	}()
	for _, start := range []func(context.Context, *options, string) (*server, error){startOurs, startVirtual, startLMTP} {
		s, err := start(ctx, o, dir)
		if err != nil {
			return false, err
		}
		servers = append(servers, s)
	}
	return compare(ctx, o, servers)
}

// workFolder makes a folder that the users of other servers can enter.
func workFolder(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "delivery-*")
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}
