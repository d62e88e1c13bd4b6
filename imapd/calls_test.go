package imapd_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// countedBox counts the calls of a mailbox, and fails at one of them.
type countedBox struct {
	mailbox.Mailbox
	calls *calls
}

type calls struct {
	mu     sync.Mutex
	counts map[string]int
	// failAt is the call of SetFlags that fails; 0: none.
	failAt int
}

func (c *calls) count(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[method]++
	return c.counts[method]
}

// take gives the counts and begins again.
func (c *calls) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts = map[string]int{}
	return counts
}

func (b countedBox) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if n := b.calls.count("SetFlags"); n == b.calls.failAt {
		return nil, errDisk
	}
	return b.Mailbox.SetFlags(ctx, uids, change)
}

func (b countedBox) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	b.calls.count("Messages")
	return b.Mailbox.Messages(ctx, uids)
}

func (b countedBox) Summaries(ctx context.Context, uids []mailbox.UID) ([]mailbox.Summary, error) {
	b.calls.count("Summaries")
	return b.Mailbox.(mailbox.Summarizer).Summaries(ctx, uids)
}

func startCounted(t *testing.T, failAt int) (*world, *calls) {
	c := &calls{counts: map[string]int{}, failAt: failAt}
	return startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return countedBox{b, c} }), c
}

// Each call of a store may cost a sync or a transaction: messages that do not stand in a row are no reason for more of them.
func TestScatteredMessagesAreOneCall(t *testing.T) {
	t.Parallel()
	w, calls := startCounted(t, 0)
	w.numbered(9)
	c := w.selected()
	calls.take()
	c.Talk(`
		C: a STORE 1,3,5,9 +FLAGS (\Flagged)
		S: * 1 FETCH (FLAGS (\Flagged))
		S: * 3 FETCH (FLAGS (\Flagged))
		S: * 5 FETCH (FLAGS (\Flagged))
		S: * 9 FETCH (FLAGS (\Flagged))
		S: a OK STORE completed
	`)
	require.Equal(t, map[string]int{"SetFlags": 1}, calls.take())
	c.do("b UID STORE 2,4,6:7 +FLAGS.SILENT (kw)")
	require.Equal(t, map[string]int{"SetFlags": 1}, calls.take())
	c.Talk(`
		C: c FETCH 9,1,7,3 (UID FLAGS)
		S: * 1 FETCH (UID 1 FLAGS (\Flagged))
		S: * 3 FETCH (UID 3 FLAGS (\Flagged))
		S: * FLAGS (<>)
		S: * OK [PERMANENTFLAGS <>] Flags permitted
		S: * 7 FETCH (UID 7 FLAGS (kw))
		S: * 9 FETCH (UID 9 FLAGS (\Flagged))
		S: c OK FETCH completed
	`)
	require.Equal(t, map[string]int{"Messages": 1}, calls.take())
	require.Len(t, c.do("d FETCH 1,3,5,9 ENVELOPE"), 5)
	require.Equal(t, map[string]int{"Messages": 1, "Summaries": 1}, calls.take())
}

// RFC 3501 §6.4.6: with .SILENT the client goes by what it asked for, which a NO says is not what came about. So it is told
// what did.
func TestSilentStoreThatFailsHalfWay(t *testing.T) {
	t.Parallel()
	const n = 10_001 // one more than a store is told at a time
	w, _ := startCounted(t, 2)
	w.put(repeated("x\n", n)...)
	c := w.selected()
	lines := c.do("a STORE 1:* +FLAGS.SILENT (\\Flagged)")
	require.Len(t, lines, n)
	for i, line := range lines[:n-1] {
		require.Equal(t, fmt.Sprintf(`* %d FETCH (FLAGS (\Flagged))`, i+1), line)
	}
	require.True(t, strings.HasPrefix(lines[n-1], "a NO [UNAVAILABLE]"), lines[n-1])
	require.Len(t, c.do("b NOOP"), 1, "all has been told")
}

func repeated(text string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = text
	}
	return out
}
