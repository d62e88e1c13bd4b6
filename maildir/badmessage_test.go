package maildir_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// TestOneBadMessage has one message of three that cannot be read, and whose name does not tell its size: the others can be
// used, and all can be told of.
func TestOneBadMessage(t *testing.T) {
	t.Parallel()
	const bad = "1700000002.M1P1.host"
	for name, cause := range map[string]error{"not permitted": syscall.EACCES, "bad spot": syscall.EIO, "a folder": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := foreign(t, root)
			cur := filepath.Join(dir, "cur")
			require.NoError(t, os.Remove(filepath.Join(dir, "new", "1791000000.M1P1.z")))
			put(t, filepath.Join(cur, "1700000001.M1P1.host:2,S"), "Subject: one\n\none\n")
			put(t, filepath.Join(cur, bad+":2,S"), "Subject: two\n\ntwo\n")
			put(t, filepath.Join(cur, "1700000003.M1P1.host:2,S"), "Subject: three\n\nthree\n")
			put(t, filepath.Join(dir, "dovecot-uidlist"), "3 V5 N4 G0123\n1 :1700000001.M1P1.host\n2 :"+bad+"\n3 :1700000003.M1P1.host\n")
			raw := int64(18)
			if cause == nil {
				require.NoError(t, os.Remove(filepath.Join(cur, bad+":2,S")))
				require.NoError(t, os.Mkdir(filepath.Join(cur, bad+":2,S"), 0o700))
				info, err := os.Lstat(filepath.Join(cur, bad+":2,S"))
				require.NoError(t, err)
				raw = info.Size()
			}
			m := newMaildir(t, root, 0)
			var ahead atomic.Int64
			maildir.SetClock(m, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
			files := &sick{unsynced: unsynced{durable.Guarded()}, part: bad, err: cause}
			maildir.SetFS(m, files)
			b := open(t, m, mailbox.Inbox)

			for range 2 {
				status, err := b.Status(t.Context())
				require.NoError(t, err)
				require.Equal(t, 3, status.Messages)
				require.EqualValues(t, 21+raw+25, status.Size)
				metas, err := b.Messages(t.Context(), []mailbox.UID{1, 2, 3})
				require.NoError(t, err)
				require.Len(t, metas, 3)
				require.EqualValues(t, []int64{21, raw, 25}, []int64{metas[0].Size, metas[1].Size, metas[2].Size})
			}
			sums, err := b.(mailbox.Summarizer).Summaries(t.Context(), []mailbox.UID{1, 2, 3})
			require.NoError(t, err)
			require.Len(t, sums, 2)
			_, err = b.Changes(t.Context(), 0)
			require.ErrorIs(t, err, mailbox.ErrTooOld)
			_, err = b.Content(t.Context(), 2)
			require.Error(t, err)
			require.NotErrorIs(t, err, mailbox.ErrExpunged)
			require.Equal(t, "Subject: three\r\n\r\nthree\r\n", text(t, b, 3))
			if cause == nil {
				return
			}

			files.err = nil // it can be read again
			ahead.Store(int64(2 * time.Minute))
			metas, err := b.Messages(t.Context(), []mailbox.UID{2})
			require.NoError(t, err)
			require.EqualValues(t, 21, metas[0].Size)
			status, err := b.Status(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 21+21+25, status.Size)
			sums, err = b.(mailbox.Summarizer).Summaries(t.Context(), []mailbox.UID{1, 2, 3})
			require.NoError(t, err)
			require.Len(t, sums, 3)
		})
	}
}
