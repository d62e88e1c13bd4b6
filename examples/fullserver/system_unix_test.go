//go:build unix

package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A socket belongs to whom the configuration says, or to run.user.
func TestWhoseSocketItIs(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "lmtp") // t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	own := [2]string{strconv.Itoa(os.Geteuid()), strconv.Itoa(os.Getegid())}
	type test struct{ runUser, owner, group, wantOwner, wantGroup string }
	tests := []test{
		{"", "", "", own[0], own[1]},
		{"", own[0], own[1], own[0], own[1]},
	}
	if me, err := user.Current(); err == nil {
		if group, err := user.LookupGroupId(me.Gid); err == nil {
			tests = append(tests, test{"", me.Username, group.Name, me.Uid, me.Gid})
		}
	}
	if os.Geteuid() == 0 {
		tests = append(tests, test{"1234:5678", "", "", "1234", "5678"}, test{"1234:5678", "", "99", "1234", "99"},
			test{"1234:5678", "98", "99", "98", "99"}, test{"", "", "99", "0", "99"})
	}
	for _, tc := range tests {
		e := endpoint{network: "unix", address: filepath.Join(dir, "s"), mode: 0o660, owner: tc.owner, group: tc.group}
		ln, err := e.open(t.Context(), tc.runUser)
		require.NoError(t, err, tc)
		info, err := os.Stat(e.address)
		require.NoError(t, err)
		st := info.Sys().(*syscall.Stat_t)
		require.Equal(t, [2]string{tc.wantOwner, tc.wantGroup}, [2]string{strconv.Itoa(int(st.Uid)), strconv.Itoa(int(st.Gid))}, tc)
		require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
		require.NoError(t, ln.Close())
	}
	for _, e := range []endpoint{{owner: "no such user"}, {group: "no such group"}} {
		e.network, e.address, e.mode = "unix", filepath.Join(dir, "s"), 0o660
		_, err := e.open(t.Context(), "")
		require.ErrorContains(t, err, "no such")
		require.NoFileExists(t, e.address)
	}
}
