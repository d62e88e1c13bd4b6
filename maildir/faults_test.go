package maildir_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// The tests of this file and of the others whose names begin with faults show that nothing which a caller was told is lost,
// whatever happens to the process, the machine or the disk. Each row of faultOps is one operation on an account in memory.
//
//   - The process is cut before and after each call of the file layer, with every state of the disk that a power cut allows
//     (package crashfs), and by its end alone, whose unsynced files the next process finds. Another start follows, and one
//     more (faults_cut_test.go).
//   - Each call, also those that only read, fails once; and from each call on the disk is full until the operation has
//     returned (faults_errors_test.go).
//
// What is there afterwards has to be what was there before or what is there after an operation without faults, the second
// if the caller was told that it was done; each message for itself where the row says so (faults_facts_test.go).

// faultOp is an operation.
type faultOp struct {
	name string
	// prepare brings the account from the one that faultBase makes to where the operation begins; nil: it begins there.
	prepare func(*faultWorld) error
	// open are the mailboxes that are open when it begins; the others are not in memory.
	open []string
	// do is the operation. When it has returned nil, or called done, the caller was told that it was done.
	do func(w *faultWorld) error
	// pieces says that a part of it may be done and another not: of several messages, some.
	pieces bool
	// limit is the quota of the account in octets.
	limit int64
}

// faultCounts is a row of the table.
type faultCounts struct {
	mu sync.Mutex
	// calls of the file layer that change something, cuts made, states tried and those of them that differ.
	calls, cuts, states, distinct int
	// lost messages, doubled ones, UIDs of another meaning or modseqs that went back, and all else that is not as it should be.
	lost, doubled, meaning, wrong int
	// repaired are starts that changed files, errors the calls that were made to fail.
	repaired, errors int
	findings         []string
}

// maxFindings is how many findings of a row are told in full.
const maxFindings = 5

// find notes what is wrong.
func (c *faultCounts) find(kind *int, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*kind++
	if len(c.findings) < maxFindings {
		c.findings = append(c.findings, alike(fmt.Sprintf(format, args...)))
	}
}

func (c *faultCounts) bad() int { return c.lost + c.doubled + c.meaning + c.wrong }

const faultHead = "%-34s %5s %5s %7s %8s %4s %7s %7s %5s %8s %6s"

func (c *faultCounts) row(name string) string {
	return fmt.Sprintf("%-34s %5d %5d %7d %8d %4d %7d %7d %5d %8d %6d", name, c.calls, c.cuts, c.states, c.distinct, c.lost, c.doubled,
		c.meaning, c.wrong, c.repaired, c.errors)
}

// Whatever the process, the machine or the disk does, nothing that was told is lost, nothing is there twice, no UID gets
// another meaning, and the next start repairs what is to be repaired. The table says what was tried.
func TestFaults(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	rows := map[string]string{}
	ops := faultOps()
	t.Run("of", func(t *testing.T) {
		for _, op := range ops {
			t.Run(op.name, func(t *testing.T) {
				t.Parallel()
				c := &faultCounts{}
				run := newFaultRun(t, op, c)
				run.cutEverywhere()
				run.failEverywhere()
				mu.Lock()
				rows[op.name] = c.row(op.name)
				mu.Unlock()
				require.Zero(t, c.bad(), "%d lost, %d doubled, %d of another meaning, %d wrong:\n%s",
					c.lost, c.doubled, c.meaning, c.wrong, strings.Join(c.findings, "\n"))
				require.Positive(t, c.calls)
				require.Positive(t, c.errors)
			})
		}
	})
	t.Logf(faultHead, "operation", "calls", "cuts", "states", "distinct", "lost", "doubled", "meaning", "wrong", "repaired", "errors")
	for _, op := range ops {
		if row, done := rows[op.name]; done {
			t.Log(row)
		}
	}
}

// idle is a file layer that leaves out the syncs of files or of folders.
type idle struct {
	durable.FS
	files, names bool
}

func (i idle) SyncDir(name string) error {
	if i.names {
		return nil
	}
	return i.FS.SyncDir(name)
}

func (i idle) OpenFile(name string, flag int, perm faultMode) (durable.File, error) {
	f, err := i.FS.OpenFile(name, flag, perm)
	if err != nil || !i.files {
		return f, err
	}
	return unsyncedFile{f}, nil
}

// The test finds what it is for: a store that leaves out the syncs of files, or of names, loses messages in it.
func TestFaultsFindsMissingSyncs(t *testing.T) {
	t.Parallel()
	for _, lazy := range []idle{{files: true}, {names: true}} {
		for _, op := range faultOps() {
			if op.name != "append" && op.name != "delivery" {
				continue
			}
			c := &faultCounts{}
			run := newFaultRun(t, op, c)
			run.under = func(fsys durable.FS) durable.FS { return idle{fsys, lazy.files, lazy.names} }
			run.cutEverywhere()
			require.Positive(t, c.bad(), "%s without syncs of %+v", op.name, lazy)
		}
	}
}
