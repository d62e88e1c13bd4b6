package pop3d_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/pop3d"
)

func TestMessageCannotBeRead(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: b\n\n")
		w.store.fail = map[string]error{"Content": errors.New("disk")}
		w.talk(login + `
			C: RETR 1
			S: -ERR [SYS/TEMP] Message cannot be read now
			C: TOP 1 1
			S: -ERR [SYS/TEMP] Message cannot be read now
			C: QUIT
			S: +OK Bye
		`)
		require.Empty(t, w.seen())
		w.store.set(func() { w.store.fail = nil; w.store.panics = "Content" })
		w.talk(login + `
			C: RETR 1
			S: -ERR [SYS/TEMP] Message cannot be read now
			C: QUIT
			S: +OK Bye
		`)
	})
}

// TestMessageEndsEarly: a message whose rest cannot be read never looks whole.
func TestMessageEndsEarly(t *testing.T) {
	var got error
	inWorld(t, func(s *pop3d.Server) {
		s.Trace.Retrieved = func(_ *pop3d.Session, _ mailbox.UID, _ int64, err error) { got = err }
	}, func(w *world) {
		w.put("a: b\n\n" + strings.Repeat("line\n", 20000))
		w.store.short = true
		c := w.dial("203.0.113.9")
		c.Talk(login + "C: DELE 1\nC: RSET\nC: RETR 1\nS: +OK *\nS: +OK *\n")
		rest, err := io.ReadAll(c.Reader)
		require.NoError(t, err)
		require.NotContains(t, string(rest), "\r\n.\r\n")
		synctest.Wait()
		require.ErrorIs(t, got, io.ErrUnexpectedEOF)
		require.Empty(t, w.seen())
	})
}

// TestDamagedMessage: a message that is damaged in its middle is refused, and the client gets to those behind it.
func TestDamagedMessage(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: b\n\n"+strings.Repeat("line\n", 20000), "a: 2\n\ntwo\n")
		w.store.damaged = 1
		w.talk(login + `
			C: RETR 1
			S: -ERR [SYS/TEMP] Message cannot be read now
			C: TOP 1 0
			S: +OK *
			S: a: b
			S:
			S: .
			C: RETR 2
			S: +OK *
			S: a: 2
			S:
			S: two
			S: .
			C: QUIT
			S: +OK Bye
		`)
		require.Equal(t, []mailbox.UID{2}, w.seen())
	})
}

func TestUpdateFails(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: 1\n\n", "a: 2\n\n", "a: 3\n\n")
		delete2 := login + `
			C: DELE 1
			S: +OK *
			C: DELE 3
			S: +OK *
			C: QUIT
		`
		w.store.fail = map[string]error{"Expunge": errors.New("disk")}
		w.talk(delete2 + "S: -ERR [SYS/TEMP] 2 of 2 deleted messages not removed\nS$")
		require.Len(t, w.left(), 3)
		w.store.set(func() { w.store.fail, w.store.panics = nil, "Expunge" })
		w.talk(delete2 + "S: -ERR [SYS/TEMP] 2 of 2 deleted messages not removed\nS$")
		w.store.set(func() { w.store.panics, w.store.slow = "", "Expunge" })
		w.talk(delete2 + "S: -ERR [SYS/TEMP] 2 of 2 deleted messages not removed\nS$")
		w.store.set(func() { w.store.slow = "" })
		c := w.dial("203.0.113.9")
		c.Talk(login + "C: DELE 1\nS: +OK *\nC: RETR 2\nS: +OK *\nS: a: 2\nS:\nS: .")
		w.store.set(func() { w.store.fail = map[string]error{"SetFlags": errors.New("disk"), "Close": errors.New("disk")} })
		c.Talk("C: QUIT\nS: +OK Bye\nS$")
		require.Equal(t, []mailbox.UID{2, 3}, w.left(), "a flag that is not set is no reason to fail")
		synctest.Wait()
		require.Zero(t, w.store.opened)
	})
}

// TestUpdateOutlivesPeer: once QUIT has come the messages go, even if the peer does not wait for the answer.
func TestUpdateOutlivesPeer(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: 1\n\n")
		c := w.dial("203.0.113.9")
		c.Talk(login + "C: DELE 1\nS: +OK *\nC: QUIT")
		require.NoError(t, c.Conn.Close())
		synctest.Wait()
		require.Empty(t, w.left())
	})
}
