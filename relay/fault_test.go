package relay_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/relay"
)

// Nobody is dialled as long as the attempt cannot be noted.
func TestAttemptThatCannotBeNotedIsPutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{})
		require.NoError(t, o.Hold(t.Context(), o.send("other@example.net")))
		pass(time.Second)
		o.tr.attempts = nil
		o.stop()
		require.NoError(t, <-o.done)
		id := o.send("bob@example.net")
		o.fs.Fail(func(op crashfs.Op) error {
			if strings.Contains(op.Name, "journal") {
				return errors.New("no space left")
			}
			return nil
		})
		begin := time.Now()
		go func() { o.done <- o.Run(context.Background()) }()
		pass(30 * time.Second)
		require.Empty(t, o.tr.times("bob@example.net"))
		entry, err := o.Show(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, relay.Deferred, entry.Recipients[0].State)
		require.Contains(t, entry.Recipients[0].Text, "no space left", "an administrator sees why")
		require.Zero(t, entry.Recipients[0].Attempts)
		o.fs.Fail(nil)
		pass(time.Hour)
		require.Equal(t, []time.Duration{time.Minute}, offsets(begin, o.tr.times("bob@example.net")))
		require.Equal(t, []relay.Kind{relay.Queued, relay.Deferred, relay.Attempted, relay.Delivered}, o.kinds("bob@example.net"))
	})
}

// What could not be noted after a delivery is noted later, as the queue knows it.
func TestOutcomeThatCannotBeNotedIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Minute})
		o.send("bob@example.net")
		pass(time.Second)
		o.fs.Fail(func(op crashfs.Op) error {
			if strings.Contains(op.Name, "journal") {
				return errors.New("no space left")
			}
			return nil
		})
		pass(time.Hour)
		o.fs.Fail(nil)
		require.Zero(t, o.left())
		o.reopen()
		pass(time.Hour)
		require.Len(t, o.tr.times("bob@example.net"), 1)
		require.Zero(t, o.left())
	})
}

// A sync that failed proves nothing when it works the next time: the message stays in the journal.
func TestFailedSyncIsNotBelievedLater(t *testing.T) {
	for _, kind := range []string{"sync", "syncdir"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			fs := crashfs.New()
			opts := relay.Options{Hostname: "out.example.com", FS: fs}
			q, err := relay.Open("queue", opts)
			require.NoError(t, err)
			relay.RewriteAlways(q)
			send := func() string {
				id, err := q.Send(t.Context(), envelope("ann@example.com", "bob@example.net"), message(letter))
				if err != nil {
					return ""
				}
				return id
			}
			ids := []string{send(), send()}
			fs.Fail(func(op crashfs.Op) error {
				if op.Kind == kind && strings.Contains(op.Name, "msg") {
					return errors.New("input/output error")
				}
				return nil
			})
			ids = append(ids, send(), send())
			fs.Fail(nil)
			ids = append(ids, send(), send(), send())
			fs.Crash()
			_ = q.Close()
			for state := range fs.States() {
				opts.FS = state.FS
				q, err := relay.Open("queue", opts)
				require.NoError(t, err)
				for _, id := range ids {
					if id != "" {
						_, err := q.Show(t.Context(), id)
						require.NoError(t, err, state.What)
					}
				}
				require.NoError(t, q.Close())
			}
		})
	}
}

// A full disk refuses mail for now, and takes it when there is room.
func TestFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{})
		large := letter + strings.Repeat("line\r\n", 20_000)
		for _, text := range []string{letter, large} {
			for _, fault := range []struct {
				err   error
				reply string
			}{{syscall.ENOSPC, "452 4.3.1"}, {syscall.EDQUOT, "452 4.3.1"}, {syscall.EIO, "451 4.3.0"}} {
				o.fs.Fail(func(op crashfs.Op) error {
					if op.Kind == "write" {
						return &fs.PathError{Op: op.Kind, Path: op.Name, Err: fault.err}
					}
					return nil
				})
				requireReply(t, fault.reply, o.Handle(t.Context(), envelope("ann@example.com", "bob@example.net"), message(text)))
			}
			o.fs.Fail(nil)
			require.Zero(t, o.left())
			names, err := o.fs.ReadNames("queue/msg")
			require.NoError(t, err)
			require.Empty(t, names)
			require.NoError(t, o.Handle(t.Context(), envelope("ann@example.com", "bob@example.net"), message(text)))
			synctest.Wait()
		}
		require.Len(t, o.tr.times("bob@example.net"), 2)
		o.reopen()
		require.Zero(t, o.left())
	})
}

// noSpace is a disk without any room: nothing can be written or made, but read and removed.
func noSpace(op crashfs.Op) error {
	if op.Kind == "write" || op.Kind == "create" || op.Kind == "mkdir" {
		return &fs.PathError{Op: op.Kind, Path: op.Name, Err: syscall.ENOSPC}
	}
	return nil
}

// A queue on a full disk opens: it can be looked at and cleared, refuses mail for now, and goes on when there is room.
func TestOpenOnAFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := false
		o := newOffice(t, &transport{decide: func(int, string) relay.Outcome {
			if up {
				return relay.Outcome{}
			}
			return later
		}})
		large := letter + strings.Repeat("line\r\n", 20_000)
		send := func(text string) (string, error) {
			return o.Send(t.Context(), envelope("ann@example.com", "bob@example.net"), message(text))
		}
		var ids []string
		for _, text := range []string{letter, large, letter} {
			id, err := send(text)
			require.NoError(t, err)
			ids = append(ids, id)
			pass(time.Second)
		}
		before, err := o.List(t.Context())
		require.NoError(t, err)
		o.close()

		o.fs.Fail(noSpace)
		for range 2 { // also the second time
			o.open()
			after, err := o.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, after)
			for _, text := range []string{letter, large} {
				_, err := send(text)
				requireReply(t, "452 4.3.1", err)
			}
			require.ErrorIs(t, o.Queue.Close(), syscall.ENOSPC)
			require.NoError(t, <-o.done)
			o.Queue = nil
		}
		o.open()
		tried := len(o.tr.times("bob@example.net"))
		pass(time.Hour)
		require.Len(t, o.tr.times("bob@example.net"), tried, "no attempt could be noted")
		require.NoError(t, o.Remove(t.Context(), ids[1]), "a file can be removed")
		require.ErrorIs(t, o.Remove(t.Context(), ids[0]), syscall.ENOSPC, "what is in the journal cannot")
		entry, err := o.Show(t.Context(), ids[2])
		require.NoError(t, err)
		require.Equal(t, tried/3, entry.Recipients[0].Attempts)
		names, err := o.fs.ReadNames("queue/msg")
		require.NoError(t, err)
		require.NotContains(t, names, ids[1])

		require.ErrorIs(t, o.Queue.Close(), syscall.ENOSPC)
		require.NoError(t, <-o.done)
		o.open()
		list, err := o.List(t.Context())
		require.NoError(t, err)
		for _, e := range list {
			require.NotEqual(t, ids[1], e.ID, "it stays removed")
		}
		up = true
		o.fs.Fail(nil)
		_, err = send(letter)
		require.NoError(t, err, "there is room again")
		pass(10 * time.Minute)
		require.Zero(t, o.left())
		o.reopen()
		require.Zero(t, o.left())
	})
}

// The message that is removed makes the room in which that is noted.
func TestRemoveMakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: always(later)})
		relay.SyncEachFile(o.Queue)
		id, other := o.send("bob@example.net"), o.send("cleo@example.net")
		pass(time.Second)
		o.close()
		full := true
		o.fs.Fail(func(op crashfs.Op) error {
			if op.Kind == "remove" && strings.Contains(op.Name, id) {
				full = false
			}
			if full {
				return noSpace(op)
			}
			return nil
		})
		o.open()
		require.Equal(t, 2, o.left())
		require.NoError(t, o.Remove(t.Context(), id))
		require.Contains(t, o.kinds("bob@example.net"), relay.Removed)
		o.reopen()
		list, err := o.List(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, other, list[0].ID)
	})
}
