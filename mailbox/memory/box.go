package memory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// box is a mailbox. What is in it is under account.mu.
type box struct {
	account     *Account
	name        string // as in account.boxes
	validity    uint32
	uses        []mailbox.Use
	annotations map[string][]byte
	gone        bool

	messages []*message // UIDs ascending
	next     mailbox.UID
	modseq   mailbox.ModSeq
	recent   mailbox.UID             // from here on no session was told
	keywords map[string]mailbox.Flag // lower case to the form that came first
	expunged []expunged              // modseqs ascending
	tooOld   mailbox.ModSeq          // what went up to here is forgotten
	watchers map[*watcher]struct{}
}

type message struct {
	uid     mailbox.UID
	modseq  mailbox.ModSeq
	flags   []mailbox.Flag // replaced, never changed
	date    time.Time
	saved   time.Time
	content []byte // never changed
	summary []byte // never changed; nil: nobody has asked for it
}

type expunged struct {
	uid    mailbox.UID
	modseq mailbox.ModSeq
}

// id names the mailbox for ever: no other one of the account has or had its UIDVALIDITY.
func (b *box) id() string { return "m" + strconv.FormatUint(uint64(b.validity), 10) }

func (m *message) meta() mailbox.Meta {
	return mailbox.Meta{
		UID: m.uid, ModSeq: m.modseq, Flags: m.flags,
		InternalDate: m.date, SaveDate: m.saved, Size: int64(len(m.content)),
	}
}

// add gives a message the next UID. Its flags have been through intern.
func (b *box) add(m *message) mailbox.UID {
	b.modseq++
	m.uid, m.modseq = b.next, b.modseq
	b.next++
	b.messages = append(b.messages, m)
	b.account.count(m, 1)
	return m.uid
}

// intern gives flags in the form in which each first came to this mailbox. It comes last of what may fail: a new keyword takes a
// place.
func (b *box) intern(flags []mailbox.Flag) ([]mailbox.Flag, error) {
	out := make([]mailbox.Flag, len(flags))
	fresh := map[string]mailbox.Flag{}
	for i, f := range flags {
		key := strings.ToLower(string(f))
		known, ok := b.keywords[key]
		switch {
		case f.System():
			known = f
		case !ok:
			known, fresh[key] = f, f
		}
		out[i] = known
	}
	if len(b.keywords)+len(fresh) > MaxKeywords {
		b.forget(out)
	}
	if len(b.keywords)+len(fresh) > MaxKeywords {
		return nil, fmt.Errorf("%w: more than %d keywords", mailbox.ErrFlags, MaxKeywords)
	}
	for key, f := range fresh {
		b.keywords[key] = f
	}
	return out, nil
}

// internAll is intern for the flags of several messages: all or none.
func (b *box) internAll(messages []*message) error {
	var all []mailbox.Flag
	for _, m := range messages {
		for _, f := range m.flags {
			if !mailbox.HasFlag(all, f) {
				all = append(all, f)
			}
		}
	}
	known, err := b.intern(all)
	if err != nil {
		return err
	}
	for _, m := range messages {
		flags := make([]mailbox.Flag, len(m.flags))
		for i, f := range m.flags {
			flags[i] = known[slices.IndexFunc(all, f.Is)]
		}
		m.flags = flags
	}
	return nil
}

// forget leaves out the keywords that no message has and that are not among keep.
func (b *box) forget(keep []mailbox.Flag) {
	used := map[string]mailbox.Flag{}
	note := func(flags []mailbox.Flag) {
		for _, f := range flags {
			key := strings.ToLower(string(f))
			if known, ok := b.keywords[key]; ok {
				used[key] = known
			}
		}
	}
	note(keep)
	for _, m := range b.messages {
		note(m.flags)
	}
	b.keywords = used
}

// find gives the index of a message, or where it would be.
func (b *box) find(uid mailbox.UID) (int, bool) {
	return slices.BinarySearchFunc(b.messages, uid, func(m *message, uid mailbox.UID) int { return cmp.Compare(m.uid, uid) })
}

// pick gives the messages with these UIDs that are there, ascending.
func (b *box) pick(uids []mailbox.UID) []*message {
	var out []*message
	for _, uid := range slices.Compact(slices.Sorted(slices.Values(uids))) {
		if i, ok := b.find(uid); ok {
			out = append(out, b.messages[i])
		}
	}
	return out
}

// remove takes messages out. The account's use is the caller's to settle.
func (b *box) remove(gone []*message) {
	if len(gone) == 0 {
		return
	}
	b.modseq++
	set := make(map[*message]bool, len(gone))
	for _, m := range gone {
		set[m] = true
		b.expunged = append(b.expunged, expunged{m.uid, b.modseq})
	}
	b.messages = slices.DeleteFunc(b.messages, func(m *message) bool { return set[m] })
	if extra := len(b.expunged) - MaxExpunged; extra > 0 {
		b.tooOld = b.expunged[extra-1].modseq
		b.expunged = slices.Clone(b.expunged[extra:])
	}
}
