package mailboxtest

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// ledger is what many clients of one mailbox were told.
type ledger struct {
	clients int

	mu     sync.Mutex
	texts  int
	born   map[mailbox.UID]birth
	gone   map[mailbox.UID]bool
	absent map[mailbox.UID]bool // not there when somebody looked
	seq    mailbox.ModSeq       // the largest that was acknowledged
}

// birth is how a message came.
type birth struct {
	text  string
	flags []mailbox.Flag
	known bool        // flags are known; those of a copy are those that its source had, whatever they were
	of    mailbox.UID // the source of a copy whose text was not known yet
}

func newLedger(clients int) *ledger {
	return &ledger{
		clients: clients, born: map[mailbox.UID]birth{}, gone: map[mailbox.UID]bool{}, absent: map[mailbox.UID]bool{},
	}
}

// text gives a message that no other one is like.
func (l *ledger) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts++
	return message(l.texts)
}

// came notes the UID that a message was given.
func (l *ledger) came(uid mailbox.UID, b birth) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, taken := l.born[uid]; taken {
		return fmt.Errorf("UID %d was given twice: to %.30q and %.30q", uid, old.text, b.text)
	}
	l.born[uid] = b
	return nil
}

// copied notes a copy, whose source may not have been noted yet.
func (l *ledger) copied(from, to mailbox.UID) error {
	l.mu.Lock()
	text := l.born[from].text
	l.mu.Unlock()
	return l.came(to, birth{text: text, of: from})
}

// went notes the messages that one client was told to have removed.
func (l *ledger) went(uids []mailbox.UID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, uid := range uids {
		if l.gone[uid] {
			return fmt.Errorf("UID %d was removed twice", uid)
		}
		l.gone[uid] = true
	}
	return nil
}

// missed notes that a message was not there.
func (l *ledger) missed(uid mailbox.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.absent[uid] = true
}

// reads compares a text with what the message came with, if that is known by now.
func (l *ledger) reads(uid mailbox.UID, text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.born[uid]; ok && b.text != "" && b.text != text {
		return fmt.Errorf("UID %d reads %.40q and came as %.40q", uid, text, b.text)
	}
	return nil
}

// modseq is the largest that anybody was told.
func (l *ledger) modseq() mailbox.ModSeq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

func (l *ledger) reached(seq mailbox.ModSeq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq = max(l.seq, seq)
}

// grew checks the modseq of a change that began when before was known.
func (l *ledger) grew(what string, before mailbox.ModSeq, m mailbox.Meta) error {
	if m.ModSeq <= before {
		return fmt.Errorf("%s gave UID %d modseq %d, when one had seen %d already", what, m.UID, m.ModSeq, before)
	}
	l.reached(m.ModSeq)
	return nil
}

// settle compares the mailbox with the ledger and with what the clients know when all have ended.
func (l *ledger) settle(w *world, b box, clients []*client) {
	w.Helper()
	want := []mailbox.UID{}
	for uid := range l.born {
		if !l.gone[uid] {
			want = append(want, uid)
		}
	}
	slices.Sort(want)
	require.Equal(w, want, b.uids(), "those that came and did not go")
	for uid := range l.gone {
		_, came := l.born[uid]
		require.True(w, came, "UID %d went and had not come", uid)
	}
	for uid := range l.absent {
		require.True(w, l.gone[uid], "UID %d was not there once, and nobody had removed it", uid)
	}
	metas, err := b.Messages(w.ctx, want)
	require.NoError(w, err)
	count := mailbox.Status{}
	for _, m := range metas {
		l.checkMessage(w, b, m, clients)
		count.Messages++
		count.Size += m.Size
		if !mailbox.HasFlag(m.Flags, mailbox.Seen) {
			count.Unseen++
		}
		if mailbox.HasFlag(m.Flags, mailbox.Deleted) {
			count.Deleted++
		}
	}
	st := b.status()
	require.Equal(w, count, mailbox.Status{Messages: st.Messages, Size: st.Size, Unseen: st.Unseen, Deleted: st.Deleted})
	require.Greater(w, st.UIDNext, slices.Max(append(slices.Collect(maps.Keys(l.born)), 0)))
	require.GreaterOrEqual(w, st.ModSeq, l.seq)
	for _, c := range clients {
		require.NoError(w, c.follow(w.ctx), "client %d", c.id)
		require.Empty(w, c.known.differs(metas), "client %d", c.id)
	}
}

// checkMessage compares a message with how it came and what the owners of its flags have done since.
func (l *ledger) checkMessage(w *world, b box, m mailbox.Meta, clients []*client) {
	w.Helper()
	born := l.born[m.UID]
	text := born.text
	for of := born.of; text == "" && of != 0; of = l.born[of].of {
		text = l.born[of].text
	}
	require.Equal(w, text, b.text(m.UID), "UID %d", m.UID)
	if clients == nil {
		return
	}
	for n, flag := range slots() {
		want := mailbox.HasFlag(born.flags, flag)
		set, changed := clients[(int(m.UID)+n)%len(clients)].mine[slot{m.UID, n}]
		switch {
		case changed:
			want = set
		case !born.known:
			continue
		}
		require.Equal(w, want, mailbox.HasFlag(m.Flags, flag), "UID %d: %s as its owner left it", m.UID, flag)
	}
}
