package arc

import (
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/stretchr/testify/require"
)

// The parsers of fields: whatever stands in one, what they give is within bounds and made of the field.
func FuzzFields(f *testing.F) {
	for _, value := range []string{
		" i=1; mx.example; spf=pass", " i=1; a=rsa-sha256; cv=none; d=a.example; s=s; t=1; b=AAAA\r\n",
		"(a (b) \\) )i = 50 (c) ; \"q\\\"s\" 1 ; none", " a=b; i=7 ; b = x\r\n y;", "i=51;", "i=0;", ";", "", "\"", "(", "i=1;\"\\",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		header := wire.Header("ARC-Seal:" + strings.NewReplacer("\r", " ", "\n", " ").Replace(value) + "\r\n")
		field := header.All(sealName)[0]
		if instance, rest, ok := cutInstance(value); ok {
			require.True(t, 1 <= instance && instance <= MaxSets)
			require.True(t, strings.HasSuffix(value, rest))
		} else {
			require.Equal(t, value, rest)
		}
		if r, err := parseResults(field); err == nil {
			require.True(t, 1 <= r.instance && r.instance <= MaxSets)
			require.LessOrEqual(t, len(r.servID)+len(r.results), 3*len(field.Raw)) // "?" and U+FFFD take more
			require.False(t, strings.ContainsAny(r.servID+r.results, "\r\n\x00"))
		}
		if tags, err := parseTagField(field); err == nil {
			require.True(t, 1 <= tags.instance && tags.instance <= MaxSets)
			require.True(t, strings.HasPrefix(tags.unsigned, "ARC-Seal:"))
			require.LessOrEqual(t, len(tags.unsigned), len(field.Raw))
			readMessage(tags.tags)
			readSeal(tags.tags)
		}
	})
}
