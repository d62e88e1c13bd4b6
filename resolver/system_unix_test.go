//go:build !windows

package resolver

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResolvConf(t *testing.T) {
	t.Parallel()
	local := []string{"127.0.0.1", "::1"}
	for text, want := range map[string][]string{
		"": local,
		"# nameserver 192.0.2.1\nsearch example.com\noptions ndots:5 timeout:1\n":                    local,
		"nameserver 192.0.2.53\n  nameserver 2001:db8::53 # second\nnameserver fe80::1%eth0\n":       {"192.0.2.53", "2001:db8::53", "fe80::1%eth0"},
		"nameserver\nnameserver ns.example.com\nnameserver 192.0.2.54":                               {"192.0.2.54"},
		"nameserver 192.0.2.53\n" + strings.Repeat("#", maxResolvConf) + "\nnameserver 192.0.2.54\n": {"192.0.2.53"},
	} {
		got, err := readServers(io.NopCloser(strings.NewReader(text)), nil)
		require.NoError(t, err)
		require.Equal(t, want, got, "%.80q", text)
	}
	got, err := readServers(nil, fmt.Errorf("open: %w", fs.ErrNotExist))
	require.NoError(t, err)
	require.Equal(t, local, got)
	_, err = readServers(nil, fs.ErrPermission)
	require.ErrorIs(t, err, fs.ErrPermission)
}
