package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/bench/internal/child"
)

func TestMain(m *testing.M) {
	child.Main(roles) // the children are this program, too
	os.Exit(m.Run())
}

// Both servers are measured; what comes of so short a time is no matter.
func TestQuick(t *testing.T) {
	if memoryFolder() == "" {
		t.Skip("there is no folder in memory")
	}
	for _, line := range []string{"1KiB/16", "1MiB/1"} {
		_, err := run(&options{pairs: 1, each: 20 * time.Millisecond, spool: memoryFolder(), only: line})
		require.NoError(t, err)
	}
}
