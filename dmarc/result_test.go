package dmarc_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// The words of RFC 9989 §9.2 and §4.7, and RFC 9990's for discovery_method.
func TestWords(t *testing.T) {
	t.Parallel()
	require.Equal(t, "none pass fail temperror permerror unknown",
		fmt.Sprint(dmarc.None, " ", dmarc.Pass, " ", dmarc.Fail, " ", dmarc.TempError, " ", dmarc.PermError, " ", dmarc.Result(99)))
	require.Equal(t, "none quarantine reject none", fmt.Sprint(dmarc.PolicyNone, " ", dmarc.PolicyQuarantine, " ", dmarc.PolicyReject, " ", dmarc.Policy(99)))
	require.Equal(t, "u y n u", fmt.Sprint(dmarc.PSDUnknown, " ", dmarc.PSDYes, " ", dmarc.PSDNo, " ", dmarc.PSD(99)))
	require.Equal(t, "treewalk psl", fmt.Sprint(dmarc.TreeWalk, " ", dmarc.PublicSuffixes))
}

// The zero value asks the system's resolver, and a context that has ended is an error that may pass.
func TestZeroEvaluator(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := new(dmarc.Evaluator).Evaluate(ctx, dmarc.Message{From: []string{"ann@example.com"}})
	require.Equal(t, dmarc.TempError, v.Result)
	require.Error(t, v.Err)
}
