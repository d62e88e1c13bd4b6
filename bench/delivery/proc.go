package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, which is the same on all of Linux's machines of today.
const tick = time.Second / 100

// process is what /proc/PID/stat says.
type process struct {
	parent int
	cpu    time.Duration // in user and kernel mode, with that of its ended children
}

// parseStat reads a /proc/PID/stat (proc_pid_stat(5)). The name of the program, in brackets, can have anything in it.
func parseStat(text string) (process, error) {
	i := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[i+1:])
	const parent, utime, cstime = 1, 11, 14 // behind the name
	if i < 0 || len(fields) <= cstime {
		return process{}, fmt.Errorf("process status %q", text)
	}
	var p process
	var err error
	if p.parent, err = strconv.Atoi(fields[parent]); err != nil {
		return process{}, err
	}
	for _, field := range fields[utime : cstime+1] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return process{}, err
		}
		p.cpu += time.Duration(n) * tick
	}
	return p, nil
}

// processes are all that run now.
func processes() (map[int]process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]process{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		if all[pid], err = parseStat(string(text)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// tree are the processes of a server with all their descendants.
func tree(all map[int]process, roots []int) (pids []int) {
	children := map[int][]int{}
	for pid, p := range all {
		children[p.parent] = append(children[p.parent], pid)
	}
	next := append([]int(nil), roots...)
	for len(next) > 0 {
		pid := next[0]
		next = append(next[1:], children[pid]...)
		pids = append(pids, pid)
	}
	return pids
}

// cpuTime is what the processes of a server have computed so far, those included that have ended.
func cpuTime(roots []int) (sum time.Duration, err error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	for _, root := range roots {
		if _, ok := all[root]; !ok {
			return 0, fmt.Errorf("process %d has ended, or this system has no /proc", root)
		}
	}
	for _, pid := range tree(all, roots) {
		sum += all[pid].cpu
	}
	return sum, nil
}
