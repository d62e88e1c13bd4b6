package relay_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/relay"
)

// killedDir names the folder in which the process that is killed has its queue.
const killedDir = "MAILBRICKS_RELAY_TEST_KILLED"

// TestKilledProcess is not a test: it is the process that TestKill kills. It prints what it has promised and done.
func TestKilledProcess(t *testing.T) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		t.Skip("runs only as a child of TestKill")
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	q, err := relay.Open(dir, relay.Options{
		Hostname: "h.test", Retry: relay.Schedule{time.Second},
		Transport: relay.ToHandler(mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
			say("delivered %s", env.Recipients[0].Address)
			return nil
		})),
		OnEvent: func(ev relay.Event) {
			if ev.Kind == relay.Delivered {
				say("noted %s", ev.Recipient)
			}
		},
	})
	require.NoError(t, err)
	go func() { _ = q.Run(context.Background()) }()
	for n := 0; ; n++ {
		to := fmt.Sprintf("r%d@d%d.test", n, n%5)
		if _, err := q.Send(context.Background(), envelope("ann@example.com", to), message(letter)); err != nil {
			say("error %v", err)
			return
		}
		say("taken %s", to)
	}
}

// A process that is killed in the middle of its work loses nothing, and doubles nothing of which it had noted the end.
func TestKill(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	taken, delivered, noted := map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, lines := range []int{50, 333} {
		cmd := exec.Command(self, "-test.run=^TestKilledProcess$")
		cmd.Env = append(os.Environ(), killedDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		// The second process counts its recipients from 0 again, so what it says is about other messages.
		clear(taken)
		clear(delivered)
		clear(noted)
		scan := bufio.NewScanner(out)
		for n := 0; scan.Scan(); n++ {
			if n == lines {
				require.NoError(t, cmd.Process.Kill())
			}
			verb, rcpt, _ := strings.Cut(scan.Text(), " ")
			switch verb {
			case "taken":
				taken[rcpt] = true
			case "delivered":
				delivered[rcpt]++
			case "noted":
				noted[rcpt] = true
			case "error":
				t.Fatal(scan.Text())
			}
		}
		_ = cmd.Wait() // it was killed
		finishKilled(t, dir, delivered, noted)
		require.Greater(t, len(taken), 10)
		for rcpt := range taken {
			require.GreaterOrEqual(t, delivered[rcpt], 1, "%s is lost", rcpt)
			require.LessOrEqual(t, delivered[rcpt], 2, rcpt)
		}
	}
}

// finishKilled delivers what the killed process has left.
func finishKilled(t *testing.T, dir string, delivered map[string]int, noted map[string]bool) {
	var mu sync.Mutex
	q, err := relay.Open(dir, relay.Options{
		Hostname: "h.test", Retry: relay.Schedule{time.Second},
		Transport: relay.ToHandler(mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
			mu.Lock()
			defer mu.Unlock()
			rcpt := env.Recipients[0].Address
			delivered[rcpt]++
			if noted[rcpt] {
				t.Errorf("%s is doubled although its delivery was noted", rcpt)
			}
			return nil
		})),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	require.NoError(t, q.Retry(ctx))
	for {
		list, err := q.List(ctx)
		require.NoError(t, err)
		if len(list) == 0 {
			break
		}
		for range q.Events(ctx, list[0].ID) {
		}
	}
	require.NoError(t, q.Close())
	require.NoError(t, <-done)
}
