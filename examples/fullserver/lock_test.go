package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server and a command wait for a command that works on the data just now.
func TestTheLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t, "smtp")
	c, err := loadConfig(file, nil, false)
	require.NoError(t, err)
	busy := func() {
		lock, err := lockData(t.Context(), c)
		require.NoError(t, err)
		time.AfterFunc(300*time.Millisecond, func() { _ = lock.Close() })
	}
	busy()
	_, errs, code := run(t, "", "-config", file, "email", "list")
	require.Equal(t, exitOK, code, errs)
	busy()
	serve(t, file)
}

// A command that comes while a server begins to run is done by that server.
func TestACommandWaitsForAServerThatBegins(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t, "smtp")
	c, err := loadConfig(file, nil, false)
	require.NoError(t, err)
	lock, err := lockData(t.Context(), c)
	require.NoError(t, err)
	a, err := openApp(c, lock)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan error, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		control, err := listenControl(c.path("state"))
		begun <- err
		if err == nil {
			context.AfterFunc(ctx, func() { _ = control.Close() })
			a.serveControl(ctx, control)
		}
		close(begun)
	})
	_, errs, code := run(t, "", "-config", file, "alias", "add", "a@example.com", "b@example.net")
	require.Equal(t, exitOK, code, errs)
	require.NoError(t, <-begun)
	require.Len(t, a.dir.Aliases(), 1, "it was done in the server")
	_, err = lockData(t.Context(), c)
	require.ErrorIs(t, err, errAnswers, "nobody waits for a server that runs")
	cancel()
	<-begun
	a.background.Wait()
	require.NoError(t, a.close())
}

// The wait for the lock ends: with the context, and after some time with a message that says so.
func TestTheWaitForTheLockEnds(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t, "smtp")
	c, err := loadConfig(file, nil, false)
	require.NoError(t, err)
	lock, err := lockData(t.Context(), c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	cancel(cause)
	_, err = lockData(ctx, c)
	require.ErrorIs(t, err, cause)
	began := time.Now()
	_, errs, code := run(t, "", "-config", file, "email", "list")
	require.Equal(t, exitError, code)
	require.True(t, strings.HasSuffix(errs, "is in use by another fullserver, for more than 5s\n"), errs)
	require.GreaterOrEqual(t, time.Since(began), lockWait)
	require.NoError(t, lock.Close())
}
