package maildirpp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/maildirpp"
)

func TestFolders(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{
		"a": ".a", "a/b c": ".a.b c", "a&b": ".a&-b", "a.b": ".a&AC4-b", "..": ".&AC4ALg-",
		"台北/日本語": ".&U,BTFw-.&ZeVnLIqe-", // RFC 3501 §5.1.3
	} {
		require.Equal(t, folder, maildirpp.Folder(name))
		back, ok := maildirpp.Name(folder)
		require.True(t, ok, folder)
		require.Equal(t, name, back)
	}
	for folder, name := range map[string]string{".Entwürfe": "Entwürfe", ".a&b": "a&b", ".&AC8-": "&AC8-", ".a..b": "a//b"} {
		got, ok := maildirpp.Name(folder)
		require.True(t, ok, folder)
		require.Equal(t, name, got)
	}
	for _, folder := range []string{"", ".", "cur", ".a/b", ".\xff"} {
		_, ok := maildirpp.Name(folder)
		require.False(t, ok, "%q", folder)
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	want := []string{"Junk", "Archive/2024", "日本語", ""}
	for _, data := range []string{
		"V\t2\n\nJunk\nArchive\t2024\n&ZeVnLIqe-\n",
		"V\t2\r\n\r\nJunk\r\nArchive\t2024\r\n&ZeVnLIqe-\r\n", // edited
		"Junk\nArchive.2024\n&ZeVnLIqe-\n",                    // version 1
	} {
		names, err := maildirpp.ParseSubscriptions([]byte(data))
		require.NoError(t, err)
		if names[0] == "" { // the empty line of the head
			names = names[1:]
		}
		require.Equal(t, want, names)
	}
	_, err := maildirpp.ParseSubscriptions([]byte("V\t3\n\nJunk\n"))
	require.ErrorIs(t, err, maildirpp.ErrVersion)
	require.Equal(t, "V\t2\n\nJunk\nArchive\t2024\n&ZeVnLIqe-\n", string(maildirpp.FormatSubscriptions(want[:3])))
}
