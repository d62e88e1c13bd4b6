package mailboxtest

import (
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// testOrder has one session make changes that build on each other. Whoever follows sees them in that order: never a later one
// without those before it.
func testOrder(w *world) {
	w.begin()
	b, follower := w.open(mailbox.Inbox), w.openIn(w.session(), mailbox.Inbox)
	const rounds = 30
	var uids []mailbox.UID
	var mu sync.Mutex // uids
	var wg sync.WaitGroup
	done, pace := make(chan struct{}), newPace()
	wg.Go(func() {
		defer close(done)
		for n := range rounds { // each comes, then the one before it is marked, then the one before that goes
			pace.keep()
			uid := b.append(message(n))
			mu.Lock()
			uids = append(uids, uid)
			mu.Unlock()
			if n > 0 {
				b.setFlags(uids[n-1], mailbox.AddFlags, mailbox.Seen)
			}
			if n > 1 {
				b.expunge(uids[n-2])
			}
		}
	})
	r := newReplica()
	var wrong error
	for running := true; running && wrong == nil; {
		select {
		case <-done:
			running = false
		default:
		}
		if wrong = r.follow(w.ctx, follower.Mailbox); wrong != nil {
			break
		}
		pace.looked()
		mu.Lock()
		wrong = inOrder(uids, r.messages)
		mu.Unlock()
	}
	pace.stop()
	wg.Wait()
	require.NoError(w, wrong)
	require.NoError(w, r.follow(w.ctx, follower.Mailbox))
	require.Equal(w, uids[rounds-2:], r.uids())
	metas, err := b.Messages(w.ctx, uids)
	require.NoError(w, err)
	require.Empty(w, r.differs(metas))
	require.Less(w, metas[1].ModSeq, metas[0].ModSeq, "the last came before the one before it was marked")
}

// inOrder says whether there are at most three messages in a row, the older ones marked. uids are those that are known to have
// been there; the last one may have come since.
func inOrder(uids []mailbox.UID, there map[mailbox.UID]mailbox.Meta) error {
	var states []string
	var at []int
	for i, uid := range uids {
		if m, ok := there[uid]; ok {
			at = append(at, i)
			states = append(states, fmt.Sprint(m.Flags))
		}
	}
	for i := range at {
		if i > 0 && at[i] != at[i-1]+1 {
			return fmt.Errorf("messages %v are there, one between them is not", at)
		}
	}
	for i := 0; i+1 < len(at); i++ {
		if last := i+2 == len(at); last && (len(at) > 2 || at[i] == 0) {
			continue // it may be marked next
		}
		if !mailbox.HasFlag(there[uids[at[i]]].Flags, mailbox.Seen) {
			return fmt.Errorf("message %d is there and %d is not marked: %v", at[len(at)-1], at[i], states)
		}
	}
	if len(at) > 3 {
		return fmt.Errorf("messages %v are there: those that went before the last came have not gone", at)
	}
	return nil
}

// pace keeps who changes a mailbox from being done with it before anybody has looked.
type pace struct{ looks, end chan struct{} }

func newPace() *pace { return &pace{make(chan struct{}), make(chan struct{})} }

// keep waits until somebody has looked from now on, unless nobody will. The first look may have begun before.
func (p *pace) keep() {
	for range 2 {
		select {
		case <-p.looks:
		case <-p.end:
		}
	}
}

func (p *pace) looked() {
	select {
	case p.looks <- struct{}{}:
	default:
	}
}

func (p *pace) stop() { close(p.end) }
