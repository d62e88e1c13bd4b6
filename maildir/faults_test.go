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
//     (package crashfs), and by its end alone, whose unsynced files the next process finds. Another start follows, which is
//     cut as well, and one more (faults_cut_test.go).
//   - Each call, also those that only read, fails once, a write after its first half; from each call on the disk is full until
//     the operation has returned; and from each call on nothing can be changed at all (faults_errors_test.go). A sync that
//     failed may have lost what it covered for good, even if the next one succeeds.
//
// What is there afterwards has to be what was there before or what is there after an operation without faults, the second
// if the caller was told that it was done; each message for itself where the row says so (faults_facts_test.go). A delivery that
// was refused may be there all the same, once: the disk failed when it was to be taken back, and RFC 1047 prefers that to
// a loss. Who tries it again has it twice then, as after a connection that breaks before the reply.
//
// An ordinary run looks at fewer states of each cut, and at some of the calls of the longest operations. With MAILBRICKS_LONG=1
// it is everything.

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
	// verify looks, in the second process after the cut, at what clients do not see; nil: there is nothing. note is what
	// the operation has noted in its world.
	verify func(w *faultWorld, told bool, note string) error
	// stays says which files may be left behind until the operation is done once more; nil: none.
	stays func(name string) bool
	// all says that it is one on all accounts, not only on the first.
	all bool
	// strict says that nothing is doubled even where the disk is broken and the operation is tried again.
	strict bool
	// silent says that the operation works on although a call fails.
	silent bool
}

// faultCounts is a row of the table.
type faultCounts struct {
	mu sync.Mutex
	// calls of the file layer that change something, cuts made, states tried and those of them that differ.
	calls, cuts, recuts, states, distinct int
	// outcomes after a cut.
	done, undone, partly int
	// errors are the calls that were made to fail: the operation was refused, or done all the same.
	errors, refused, accepted int
	// lost messages, doubled ones, UIDs of another meaning or modseqs that went back, and all else that is not as it should be.
	lost, doubled, meaning, wrong int
	// repaired are starts that changed files.
	repaired int
	findings []string
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

const faultHead = "%-30s %5s %5s %6s %6s %8s | %5s %6s %6s %8s | %6s %7s %5s | %4s %7s %7s %5s"

func (c *faultCounts) row(name string) string {
	row := strings.ReplaceAll(faultHead, "s", "d")
	return fmt.Sprintf(strings.Replace(row, "-30d", "-30s", 1), name, c.calls, c.cuts, c.recuts, c.states, c.distinct,
		c.done, c.undone, c.partly, c.repaired, c.errors, c.refused, c.accepted, c.lost, c.doubled, c.meaning, c.wrong)
}

// Whatever the process, the machine or the disk does, nothing that was told is lost, nothing is there twice, no UID gets
// another meaning, and the next start repairs what is to be repaired. The table says what was tried and what came of it.
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
				require.Positive(t, c.done)
				require.Positive(t, c.accepted+c.refused)
				require.True(t, op.silent || withRace || c.refused > 0, "no failure was told")
			})
		}
	})
	t.Log("After cuts: done, not done, done in part, and starts that had something to repair. After failed calls: refused, done all the same.")
	t.Logf(faultHead, "operation", "calls", "cuts", "again", "states", "distinct", "done", "undone", "partly", "repaired", "failed",
		"refused", "done", "lost", "doubled", "meaning", "wrong")
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
