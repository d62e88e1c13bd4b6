package main

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The whole program runs; what comes of so short a time is no matter.
func TestQuick(t *testing.T) {
	if os.Getenv("MAILBRICKS_LONG") == "" {
		t.Skip("builds and starts three mail servers, as root: set MAILBRICKS_LONG=1")
	}
	_, err := run(context.Background(), quick())
	require.NoError(t, err)
}
