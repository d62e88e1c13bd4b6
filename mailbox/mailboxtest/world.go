package mailboxtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// world is what a test works with.
type world struct {
	testing.TB
	ctx     context.Context
	backend Backend
	account Account
	store   mailbox.Store
}

// begin makes an account without quota and a session.
func (w *world) begin() *world { return w.beginLimit(mailbox.Limit{}) }

func (w *world) beginLimit(limit mailbox.Limit) *world {
	w.Helper()
	w.account = w.backend.New(w.TB, limit)
	if w.account.Close != nil {
		w.Cleanup(w.account.Close)
	}
	w.store = w.session()
	return w
}

// session begins one more session, which ends with the test.
func (w *world) session() mailbox.Store {
	w.Helper()
	s, err := w.account.Open()
	require.NoError(w, err)
	w.Cleanup(func() { s.Close() })
	return s
}

// restart closes the session and begins again from what is on disk, if the store has one.
func (w *world) restart() {
	w.Helper()
	if w.account.Restart == nil {
		return
	}
	require.NoError(w, w.store.Close())
	require.NoError(w, w.account.Restart())
	w.store = w.session()
}

// organizer gives the store as one that can be changed, or skips the test.
func (w *world) organizer() mailbox.Organizer {
	w.Helper()
	o, ok := w.store.(mailbox.Organizer)
	if !ok {
		w.Skip("the store is no mailbox.Organizer")
	}
	return o
}

// open opens a mailbox until the test ends.
func (w *world) open(name string) box {
	w.Helper()
	return w.openIn(w.store, name)
}

func (w *world) openIn(s mailbox.Store, name string) box {
	w.Helper()
	m, err := s.Open(w.ctx, name)
	require.NoError(w, err)
	w.Cleanup(func() { m.Close() })
	return box{m, w}
}

// box is an open mailbox whose errors end the test.
type box struct {
	mailbox.Mailbox
	w *world
}

func (b box) append(content string, flags ...mailbox.Flag) mailbox.UID {
	b.w.Helper()
	uid, err := b.Append(b.w.ctx, strings.NewReader(content),
		mailbox.AppendOptions{Flags: flags, Size: int64(len(content)), InternalDate: testDate})
	require.NoError(b.w, err)
	return uid
}

func (b box) status() mailbox.Status {
	b.w.Helper()
	s, err := b.Status(b.w.ctx)
	require.NoError(b.w, err)
	return s
}

func (b box) uids() []mailbox.UID {
	b.w.Helper()
	uids, _, err := b.UIDs(b.w.ctx)
	require.NoError(b.w, err)
	if uids == nil {
		uids = []mailbox.UID{}
	}
	return uids
}

func (b box) modseq() mailbox.ModSeq {
	b.w.Helper()
	_, seq, err := b.UIDs(b.w.ctx)
	require.NoError(b.w, err)
	sameModSeq(b.w, b.status().ModSeq, seq, "UIDs and Status tell the same modseq")
	return seq
}

func (b box) meta(uid mailbox.UID) mailbox.Meta {
	b.w.Helper()
	metas, err := b.Messages(b.w.ctx, []mailbox.UID{uid})
	require.NoError(b.w, err)
	require.Len(b.w, metas, 1)
	require.Equal(b.w, uid, metas[0].UID)
	return metas[0]
}

func (b box) text(uid mailbox.UID) string {
	b.w.Helper()
	c, err := b.Content(b.w.ctx, uid)
	require.NoError(b.w, err)
	defer c.Close()
	data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	require.NoError(b.w, err)
	require.EqualValues(b.w, c.Size(), len(data))
	require.Equal(b.w, b.meta(uid).Size, c.Size())
	return string(data)
}

func (b box) setFlags(uid mailbox.UID, op mailbox.FlagOp, flags ...mailbox.Flag) mailbox.Meta {
	b.w.Helper()
	metas, err := b.SetFlags(b.w.ctx, []mailbox.UID{uid}, mailbox.FlagChange{Op: op, Flags: flags})
	require.NoError(b.w, err)
	require.Len(b.w, metas, 1)
	require.Equal(b.w, b.meta(uid), metas[0], "SetFlags tells the state after it")
	return metas[0]
}

func (b box) expunge(uids ...mailbox.UID) []mailbox.UID {
	b.w.Helper()
	gone, err := b.Expunge(b.w.ctx, uids)
	require.NoError(b.w, err)
	return gone
}

func (b box) changes(since mailbox.ModSeq) mailbox.Changes {
	b.w.Helper()
	c, err := b.Changes(b.w.ctx, since)
	require.NoError(b.w, err)
	return c
}

// testDate is a date with a second's precision, as IMAP has it.
var testDate = time.Date(2024, time.February, 29, 23, 59, 58, 0, time.UTC)

// message makes a message that no other test message is.
func message(n int) string {
	return fmt.Sprintf("Subject: number %d\r\n\r\nText of %d\r\n%s", n, n, strings.Repeat("more\r\n", n%7))
}

// sameFlags requires a set of flags, in any order.
func sameFlags(w *world, want []mailbox.Flag, got []mailbox.Flag) {
	w.Helper()
	require.ElementsMatch(w, want, got)
}

// sameModSeq requires a modseq, and says both in decimal.
func sameModSeq(t require.TestingT, want, got mailbox.ModSeq, rule string) {
	require.True(t, want == got, "%s, but the modseq is %d and not %d", rule, got, want)
}

// checkReader reads a content in every manner.
func checkReader(w *world, c mailbox.Content, want string) {
	w.Helper()
	require.EqualValues(w, len(want), c.Size())
	for _, step := range []int{1, 7, 4096, len(want) + 10} {
		if len(want)/step > 20_000 {
			continue
		}
		var got bytes.Buffer
		buf := make([]byte, step)
		for off := int64(0); ; {
			n, err := c.ReadAt(buf, off)
			got.Write(buf[:n])
			off += int64(n)
			if err == io.EOF {
				break
			}
			require.NoError(w, err)
			require.Equal(w, step, n, "ReadAt fills the buffer unless the content ends")
		}
		require.True(w, want == got.String(), "content in pieces of %d", step)
	}
	for off := len(want) - 1; off >= 0; off -= max(1, len(want)/97) { // backwards
		var one [3]byte
		n, err := c.ReadAt(one[:], int64(off))
		require.Equal(w, want[off:min(off+3, len(want))], string(one[:n]))
		if n < len(one) {
			require.Equal(w, io.EOF, err)
		}
	}
	n, err := c.ReadAt(make([]byte, 1), c.Size()+5)
	require.Zero(w, n)
	require.Equal(w, io.EOF, err)
}
