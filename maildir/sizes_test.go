package maildir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// lfOnly has 21 octets, and 28 with CRLF line ends.
const lfOnly = "A: b\n\n1\n2\n3\n4\n123456\n"

func baseOf(t *testing.T, m *maildir.Maildir, folder string, uid uint32) string {
	t.Helper()
	path, err := maildir.FileOf(filepath.Join(m.Root, "example.com", "ann", folder), uid)
	require.NoError(t, err)
	base, _, _ := strings.Cut(filepath.Base(path), ":")
	return base
}

// A copy's name has the sizes that the file has, whatever the name of the original says of them.
func TestCopiesAreNamedForTheFile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, want string }{
		"no sizes":          {"1791000000.M1P1.z", ",S=21,W=28"},
		"right":             {"1791000000.M1P1.z,S=21,W=28", ",S=21,W=28"},
		"length only":       {"1791000000.M1P1.z,S=21", ",S=21,W=28"},
		"length with CRLF":  {"1791000000.M1P1.z,S=28,W=28", ",S=21,W=28"},
		"length 0":          {"1791000000.M1P1.z,S=0", ",S=21,W=28"},
		"both wrong":        {"1791000000.M1P1.z,S=9,W=99", ",S=21,W=28"},
		"shorter with CRLF": {"1791000000.M1P1.z,S=21,W=9", ",S=21,W=28"},
	} {
		for _, known := range []bool{true, false} { // whether a client has asked for the size before
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m := newMaildir(t, t.TempDir(), 1000)
				b := open(t, m, mailbox.Inbox)
				dir := filepath.Join(m.Root, "example.com", "ann")
				put(t, filepath.Join(dir, "new", tt.file), lfOnly)
				uids := uidsOf(t, b)
				want := tt.want
				if known {
					require.EqualValues(t, 28, len(text(t, b, 1)))
					require.EqualValues(t, 28, one(t, b, 1).Size)
				} else if !strings.Contains(tt.file, ",S=") || name == "length only" || name == "shorter with CRLF" {
					want = ",S=21" // the other is optional
				}
				counted := usageOf(t, m) // from the names: Maildir++ has it so
				_, err := b.Copy(t.Context(), uids, "Archive")
				require.NoError(t, err)
				require.True(t, strings.HasSuffix(baseOf(t, m, ".Archive", 1), want), baseOf(t, m, ".Archive", 1))
				require.Equal(t, [2]int64{counted[0] + 21, 2}, usageOf(t, m))
				_, err = b.Move(t.Context(), uids, "Trash")
				require.NoError(t, err)
				require.True(t, strings.HasSuffix(baseOf(t, m, ".Trash", 1), want), baseOf(t, m, ".Trash", 1))
				require.Equal(t, [2]int64{42, 2}, usageOf(t, m))
				require.NoError(t, os.Remove(filepath.Join(dir, "maildirsize")))
				require.Equal(t, [2]int64{42, 2}, usageOf(t, m), "the same when it is counted anew")

				trash := open(t, m, "Trash")
				require.Len(t, text(t, trash, 1), 28)
				require.EqualValues(t, 28, one(t, trash, 1).Size)
			})
		}
	}
}

// What goes is counted as it was when it came, also where the name does not tell.
func TestExpungedFilesWithoutSizesAreCounted(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 1000)
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	put(t, filepath.Join(dir, "new", "1791000000.M1P1.z"), lfOnly)
	put(t, filepath.Join(dir, "new", "1791000000.M2P1.z"), lfOnly)
	require.Equal(t, [2]int64{42, 2}, usageOf(t, m))
	require.EqualValues(t, 28, one(t, b, uidsOf(t, b)[0]).Size)
	_, err := b.Expunge(t.Context(), []mailbox.UID{1}) // of known size
	require.NoError(t, err)
	require.Equal(t, [2]int64{21, 1}, usageOf(t, m))
	_, err = b.Expunge(t.Context(), []mailbox.UID{2}) // of unknown size
	require.NoError(t, err)
	require.Equal(t, [2]int64{0, 0}, usageOf(t, m))
}

// A name that is wrong about the length is believed in nothing.
func TestWrongNamesAreNotBelieved(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	put(t, filepath.Join(dir, "cur", "1791000000.M1P1.z,S=9,W=99:2,"), lfOnly)
	uidsOf(t, b)
	require.EqualValues(t, 28, one(t, b, 1).Size, "before anyone has opened it")
	require.Len(t, text(t, b, 1), 28)
}

// noLinks is a file system where a file has one name only.
type noLinks struct{ durable.FS }

func (noLinks) Link(string, string) error { return os.ErrPermission }

func TestCopiesWithoutLinks(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	maildir.SetFS(m, noLinks{unsynced{durable.OS()}})
	b := open(t, m, mailbox.Inbox)
	put(t, filepath.Join(m.Root, "example.com", "ann", "new", "1791000000.M1P1.z"), lfOnly)
	_, err := b.Copy(t.Context(), uidsOf(t, b), "Archive")
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(baseOf(t, m, ".Archive", 1), ",S=21,W=28"))
	require.Len(t, text(t, open(t, m, "Archive"), 1), 28)
}
