package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServices(t *testing.T) {
	t.Parallel()
	const master = `# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
pickup    unix  n       -       y       60      1       pickup
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
`
	const want = `# service type  private unpriv  chroot  wakeup  maxproc command + args
127.0.0.5:2525 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
smtp unix - - n - - smtp
relay unix - - n - - smtp
        -o syslog_name=postfix/$service_name
`
	require.Equal(t, want, services(master, "127.0.0.5:2525"))
}

func TestReadPID(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	_, err := readPID(file)
	require.Error(t, err)
	require.NoError(t, os.WriteFile(file, []byte("      12505\n"), 0o600))
	pid, err := readPID(file)
	require.NoError(t, err)
	require.Equal(t, 12505, pid)
}
