package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// syncCalls are the system calls by which a program waits for a disk.
const syncCalls = "fsync,fdatasync,sync_file_range,syncfs,sync,msync"

// countSyncs sends messages while strace counts the sync calls of the server, and tells how many there were for each. Where
// strace is missing or may not look, it says so instead.
func countSyncs(ctx context.Context, s *server, w workload) (string, error) {
	const notCounted = "not counted"
	if _, err := exec.LookPath("strace"); err != nil {
		return notCounted, nil
	}
	dir, err := os.MkdirTemp("", "delivery-strace-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	summary := filepath.Join(dir, "summary")
	stop, err := trace(ctx, s.roots, summary)
	if err != nil {
		return notCounted + ": " + err.Error(), nil
	}
	_, err = measure(ctx, s, w)
	if err := errors.Join(err, stop()); err != nil {
		return "", err
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		return "", err
	}
	calls, err := parseSummary(string(text))
	if err != nil {
		return "", err
	}
	return perMessage(calls, w.messages), nil
}

// trace has strace watch all processes of a server until stop is called.
func trace(ctx context.Context, roots []int, summary string) (stop func() error, err error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	pids := tree(all, roots)
	args := []string{"-f", "-c", "-qq", "-o", summary, "-e", "trace=" + syncCalls}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		err := cmd.Process.Signal(os.Interrupt) // it lets go of them and writes the summary
		_ = cmd.Wait()                          // it ends by the signal that it got
		return err
	}
	for began := time.Now(); !traced(pids); {
		if ctx.Err() != nil || time.Since(began) > startTime/4 {
			_ = stop() // there is nothing to stop if it could not begin
			return nil, errors.Join(ctx.Err(), errors.New("strace cannot watch the server"))
		}
		time.Sleep(pollTime)
	}
	return stop, nil
}

// traced says whether all threads of processes are watched, but of those that have ended.
func traced(pids []int) bool {
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			return false
		}
		for _, task := range tasks {
			status, err := os.ReadFile(task)
			if err == nil && strings.Contains(string(status), "\nTracerPid:\t0\n") {
				return false
			}
		}
	}
	return true
}

// call is how often a system call was made.
type call struct {
	name  string
	count int
}

// parseSummary reads what strace -c writes: a table with the columns "% time", seconds, usecs/call, calls, errors, which may
// be blank, and syscall, between two rules. It is empty where there was none.
func parseSummary(text string) (calls []call, err error) {
	rules := 0
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "------"):
			rules++
		case rules != 1 || len(fields) == 0: // outside
		case len(fields) < 5:
			return nil, fmt.Errorf("line %q of strace", line)
		default:
			n, err := strconv.Atoi(fields[3])
			if err != nil {
				return nil, err
			}
			calls = append(calls, call{fields[len(fields)-1], n})
		}
	}
	return calls, nil
}

// perMessage tells how many calls of each kind there are for each message.
func perMessage(calls []call, messages int) string {
	total := 0
	var kinds []string
	for _, c := range calls {
		total += c.count
		kinds = append(kinds, fmt.Sprintf("%s %.2f", c.name, float64(c.count)/float64(messages)))
	}
	if total == 0 {
		return "0: NOT DURABLE"
	}
	return fmt.Sprintf("%.2f (%s)", float64(total)/float64(messages), strings.Join(kinds, ", "))
}
