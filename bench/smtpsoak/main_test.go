package main

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/bench/internal/child"
)

func TestMain(m *testing.M) {
	child.Main(roles) // the children are this program, too
	os.Exit(m.Run())
}

// A small attack: nothing is lost, and nothing left behind. How long things take is no matter here.
func TestQuick(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs the loopback network of Linux")
	}
	p := quickPlan
	p.quiet, p.attack = time.Second/2, time.Second/2
	p.slowdown = 1000
	ok, err := run(&p)
	require.NoError(t, err)
	require.True(t, ok, "see the report")
}

func TestReportSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := &sent{acked: map[string]bool{"a": true, "b": true}}
	require.True(t, report(s, map[string]int{"a": 1, "b": 1, "not heard of": 1}))
	require.False(t, report(s, map[string]int{"a": 1}), "lost")
	require.False(t, report(s, map[string]int{"a": 1, "b": 2}), "twice")
	s.failed = []error{os.ErrClosed}
	require.False(t, report(s, map[string]int{"a": 1, "b": 1}), "not delivered")
}
