package sign_test

import (
	"testing"

	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/stretchr/testify/require"
)

// Whatever is understood of a state file is written so that it is understood in the same way.
func FuzzState(f *testing.F) {
	f.Add("mailbricks-dkim-selectors 1\r\n# a note\r\n\r\nexample.com mail ed\r\nexample.org\r\n")
	f.Add("mailbricks-dkim-selectors 2\nexample.com 2026a ed\n" +
		"next: example.com s20261124a type=rsa bits=2048 made=2026-11-24T20:00:00Z seen=2026-11-24T21:00:00+01:00\n" +
		"old: example.com 2025a since=2026-01-10T08:00:00Z\ngone: example.com 2024a since=2026-01-17T08:00:00Z\n")
	f.Add("mailbricks-dkim-selectors 2\nnext: example.com a type=\x00 bits=-1 made=2026-11-24T20:00:00Z\n")
	f.Add("mailbricks-dkim-selectors 2\nold: example.com a since=0001-01-01T00:00:00.5Z\n")
	f.Fuzz(func(t *testing.T, text string) {
		once, err := sign.Rewritten(text)
		if err != nil {
			return
		}
		twice, err := sign.Rewritten(once)
		require.NoError(t, err, "%q", once)
		require.Equal(t, once, twice)
	})
}
