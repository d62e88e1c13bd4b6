package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// told is what a client of one mailbox was told.
type told struct {
	validity uint32
	seq      mailbox.ModSeq
	last     mailbox.UID
	messages map[mailbox.UID]toldMessage
	expunged map[mailbox.UID]bool
	gone     []string // how the expunged ones end
	// asked are the UIDs of a change that was asked for and not answered: it may be done or not.
	asked map[mailbox.UID]bool
}

type toldMessage struct {
	text  string
	flags []mailbox.Flag
}

// client works with a mailbox and notes what it is told. Its first error ends it.
type client struct {
	b    mailbox.Mailbox
	m    *maildir.Maildir
	told told
	err  error
}

func (c *client) do(what func() error) {
	if c.err == nil {
		c.err = what()
	}
}

func (c *client) append(text string, flags ...mailbox.Flag) {
	c.do(func() error {
		uid, err := c.b.Append(context.Background(), strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text)), Flags: flags})
		if err == nil {
			c.told.messages[uid] = toldMessage{text, flags}
			c.told.last = max(c.told.last, uid)
		}
		return err
	})
}

func (c *client) flags(op mailbox.FlagOp, flags []mailbox.Flag, uids ...mailbox.UID) {
	c.do(func() error {
		c.told.ask(uids)
		change := mailbox.FlagChange{Op: op, Flags: flags}
		_, err := c.b.SetFlags(context.Background(), uids, change)
		if err == nil {
			clear(c.told.asked)
			for _, uid := range uids {
				m := c.told.messages[uid]
				c.told.messages[uid] = toldMessage{m.text, change.Apply(m.flags)}
			}
		}
		return err
	})
}

func (t *told) ask(uids []mailbox.UID) {
	for _, uid := range uids {
		t.asked[uid] = true
	}
}

func (c *client) expunge(uid mailbox.UID, ending string) {
	c.do(func() error {
		c.told.ask([]mailbox.UID{uid})
		_, err := c.b.Expunge(context.Background(), []mailbox.UID{uid})
		if err == nil {
			clear(c.told.asked)
			delete(c.told.messages, uid)
			c.told.expunged[uid] = true
			c.told.gone = append(c.told.gone, ending)
		}
		return err
	})
}

func (c *client) move(uid mailbox.UID) {
	c.do(func() error {
		c.told.ask([]mailbox.UID{uid})
		moved, err := c.b.Move(context.Background(), []mailbox.UID{uid}, mailbox.Inbox)
		if err == nil {
			clear(c.told.asked)
			c.told.messages[moved.Dest[0]] = c.told.messages[uid]
			c.told.last = max(c.told.last, moved.Dest[0])
			delete(c.told.messages, uid)
			c.told.expunged[uid] = true
		}
		return err
	})
}

// sync learns what there is.
func (c *client) sync() {
	c.do(func() error {
		uids, seq, err := c.b.UIDs(context.Background())
		if err != nil {
			return err
		}
		c.told.seq = seq
		for _, uid := range uids {
			if _, ok := c.told.messages[uid]; !ok {
				c.told.messages[uid] = toldMessage{text: "?"}
				c.told.last = max(c.told.last, uid)
			}
		}
		return nil
	})
}

func (c *client) deliver(text string) {
	c.do(func() error {
		env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
		return c.m.Handle(context.Background(), env, mailbricks.NewMessage([]byte(text)))
	})
}

// session does everything that changes a mailbox.
func session(m *maildir.Maildir) told {
	c := &client{m: m, told: told{
		messages: map[mailbox.UID]toldMessage{}, expunged: map[mailbox.UID]bool{}, asked: map[mailbox.UID]bool{},
	}}
	var s mailbox.Store
	c.do(func() (err error) {
		s, err = m.Store(context.Background(), mailbricks.Identity{User: ann})
		return err
	})
	c.do(func() (err error) {
		c.b, err = s.Open(context.Background(), mailbox.Inbox)
		return err
	})
	if c.err != nil {
		return c.told
	}
	defer s.Close()
	defer c.b.Close()
	c.do(func() error {
		st, err := c.b.Status(context.Background())
		c.told.validity, c.told.seq = st.UIDValidity, st.ModSeq
		return err
	})
	c.append("one\r\n", mailbox.Seen)
	c.append("two\r\n", "Kw")
	c.deliver("three\r\n")
	c.sync()
	c.flags(mailbox.AddFlags, []mailbox.Flag{mailbox.Flagged}, 1, 3)
	c.do(func() error {
		_, err := c.b.(mailbox.RecentKeeper).TakeRecent(context.Background())
		return err
	})
	c.sync()
	c.expunge(2, "two\r\n")
	c.append("four\r\n")
	c.do(func() error { return maildir.Compact(c.b) })
	c.move(1)
	c.flags(mailbox.ReplaceFlags, []mailbox.Flag{"Other"}, 3, 4)
	c.sync()
	c.expunge(3, "three\r\n")
	c.deliver("five\r\n") // expunged from cur while its name may still be in new
	c.sync()
	c.flags(mailbox.AddFlags, []mailbox.Flag{mailbox.Seen}, 6)
	c.expunge(6, "five\r\n")
	return c.told
}

// After a power cut at any point, in every state that it may leave, a client finds what it was told, under the UIDs that
// it was told, and hears of what it was not told.
func TestSessionSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	whole := crashfs.New()
	m := crashMaildir(whole)
	all := session(m)
	require.NoError(t, m.Close())
	require.Equal(t, map[mailbox.UID]bool{1: true, 2: true, 3: true, 6: true}, all.expunged)
	require.Len(t, all.messages, 2)
	for n := 1; n <= whole.Calls()+1; n++ { // the last time after all
		fsys := crashfs.New()
		fsys.CrashAfter(n)
		m := crashMaildir(fsys)
		told := session(m)
		require.NoError(t, m.Close())
		fsys.Crash()
		fsys.Settle("/mail/example.com/ann/tmp") // what stays behind there is nobody's
		for s := range fsys.States() {
			if !t.Run(fmt.Sprint(n), func(t *testing.T) { checkTold(t, s, told) }) {
				t.Fatalf("after call %s, in the state %s", fsys.Log()[len(fsys.Log())-1], s.What)
			}
		}
	}
}

func checkTold(t *testing.T, s crashfs.State, told told) {
	m := crashMaildir(s.FS)
	defer m.Close()
	b := open(t, m, mailbox.Inbox)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	if told.validity == 0 {
		return
	}
	require.Equal(t, told.validity, st.UIDValidity)
	require.GreaterOrEqual(t, st.ModSeq, told.seq, "a modseq never goes back")
	require.Greater(t, st.UIDNext, told.last)
	uids := uidsOf(t, b)
	for uid, want := range told.messages {
		if !slices.Contains(uids, uid) {
			require.True(t, told.asked[uid], "UID %d is lost", uid)
			continue
		}
		if want.text != "?" {
			require.Equal(t, want.text, text(t, b, uid))
		}
		if !told.asked[uid] {
			require.ElementsMatch(t, want.flags, one(t, b, uid).Flags, "UID %d", uid)
		}
	}
	for _, uid := range uids {
		require.False(t, told.expunged[uid], "UID %d is back", uid)
		for _, ending := range told.gone {
			require.False(t, strings.HasSuffix(text(t, b, uid), ending), "an expunged message is back as UID %d", uid)
		}
	}
	// Who asks for the changes since what it was told hears of everything else.
	c, err := b.Changes(t.Context(), told.seq)
	if !errors.Is(err, mailbox.ErrTooOld) {
		require.NoError(t, err)
		for _, uid := range uids {
			_, known := told.messages[uid]
			heard := slices.ContainsFunc(c.Changed, func(m mailbox.Meta) bool { return m.UID == uid })
			require.True(t, known || heard, "UID %d is new and nobody is told", uid)
		}
		for uid := range maps.Keys(told.messages) {
			require.True(t, slices.Contains(uids, uid) || slices.Contains(c.Expunged, uid), "UID %d went and nobody is told", uid)
		}
	}
	fresh := appendTo(t, b, "after\r\n")
	require.Greater(t, fresh, told.last)
	require.NoError(t, b.Close())
	require.NoError(t, m.Close())
	m = crashMaildir(s.FS)
	defer m.Close()
	b = open(t, m, mailbox.Inbox)
	require.Equal(t, append(uids, fresh), uidsOf(t, b), "the same after one more start")
}

// Whatever call fails, once, no client is told what is not so, and all works on afterwards.
func TestSessionFaults(t *testing.T) {
	t.Parallel()
	whole := crashfs.New()
	m := crashMaildir(whole)
	session(m)
	require.NoError(t, m.Close())
	for n := 1; n <= whole.Calls(); n++ {
		for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
			fsys := crashfs.New()
			fsys.FailCall(n, fault)
			m := crashMaildir(fsys)
			told := session(m)
			fsys.Fail(nil)
			call := func() string {
				if log := fsys.Log(); n <= len(log) {
					return fmt.Sprint(log[n-1])
				}
				return "of closing, which was not reached"
			}
			if told.validity != 0 {
				b := open(t, m, mailbox.Inbox)
				uids := uidsOf(t, b)
				for uid, want := range told.messages {
					if !told.asked[uid] {
						require.Contains(t, uids, uid, "call %d: %s", n, call())
					}
					if want.text != "?" && slices.Contains(uids, uid) {
						require.Equal(t, want.text, text(t, b, uid))
					}
				}
				for uid := range told.expunged {
					require.NotContains(t, uids, uid, "call %d: %s", n, call())
				}
				require.Greater(t, appendTo(t, b, "after\r\n"), told.last)
				require.NoError(t, b.Close())
			}
			require.NoError(t, m.Close())
			fsys.Crash()
			fsys.Settle("/mail/example.com/ann/tmp")
			count := 0
			for s := range fsys.States() {
				if count++; count > 3 { // all kept, all lost, and one more
					break
				}
				if !t.Run(fmt.Sprint(n), func(t *testing.T) { checkTold(t, s, told) }) {
					t.Fatalf("after the fault of call %d (%s), in the state %s", n, call(), s.What)
				}
			}
		}
	}
}

// A read that fails, once, is an error of the call that needs it: no message is taken for gone, none is lost.
func TestReadFaults(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		fsys := crashfs.New()
		m := crashMaildir(fsys)
		m.Linger = 0 // the folder stays in memory
		b := open(t, m, mailbox.Inbox)
		appendTo(t, b, "one\r\n", mailbox.Seen)
		appendTo(t, b, "two\r\n", "Kw")
		deliver(t, m, "three\r\n")
		require.Len(t, uidsOf(t, b), 3)

		reads := 0
		fsys.Fail(func(op crashfs.Op) error {
			if op.N == 0 && op.Kind != "close" && op.Kind != "lock" {
				if reads++; reads == n {
					return syscall.EIO
				}
			}
			return nil
		})
		told := session(m) // its own three, and more
		fsys.Fail(nil)
		if reads < n {
			require.NoError(t, m.Close())
			require.Greater(t, n, 50, "there are reads to fail")
			return
		}
		uids := uidsOf(t, b)
		for uid, want := range told.messages {
			if !told.asked[uid] {
				require.Contains(t, uids, uid, "read %d", n)
			}
			if want.text != "?" && slices.Contains(uids, uid) {
				require.Equal(t, want.text, text(t, b, uid), "read %d", n)
			}
		}
		if !told.asked[1] && !told.expunged[1] {
			require.Equal(t, "one\r\n", text(t, b, 1))
		}
		require.NoError(t, b.Close())
		require.NoError(t, m.Close())
	}
}
