package maildir

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// A message that this process has delivered, and that has a UID by the time the folder is told of it, gets no second one:
// whoever gave it the UID, and whether files are found by name already or not.
func TestDeliveredMessagesThatAreKnown(t *testing.T) {
	t.Parallel()
	for name, reload := range map[string]bool{"to this object": false, "to another process": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := New(t.TempDir(), AccountsFunc(func(context.Context, string) (Account, error) { return Account{}, nil }))
			m.PollInterval = -1
			defer func() { require.NoError(t, m.Close()) }()
			s, err := m.Store(t.Context(), mailbricks.Identity{User: "ann@example.com"})
			require.NoError(t, err)
			defer s.Close()
			box, err := s.Open(t.Context(), mailbox.Inbox)
			require.NoError(t, err)
			defer box.Close()
			f := box.(*session).f
			var told []delivery
			for range 3 {
				base := withSizes(m.names.next(), 2, 2)
				require.NoError(t, os.WriteFile(filepath.Join(f.dir(), "new", base), []byte("\r\n"), 0o600))
				told = append(told, delivery{base: base, date: 1_700_000_000, size: 2})
			}
			f.deliver(told[0])
			require.NoError(t, f.submit((*tx).rescan)) // finds all
			if reload {
				list := filepath.Join(f.dir(), uidlistFile)
				data, err := durable.ReadFile(f.fs(), list, 0)
				require.NoError(t, err)
				require.NoError(t, durable.WriteFile(f.fs(), list, data, 0o600))
			}
			for _, d := range told {
				f.deliver(d)
			}
			require.NoError(t, f.submit(nil))
			uids, _, err := box.UIDs(t.Context())
			require.NoError(t, err)
			require.Equal(t, []mailbox.UID{1, 2, 3}, uids)
		})
	}
}
