package smtpd

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What the short way takes is what the long way takes.
func TestPlainDomain(t *testing.T) {
	t.Parallel()
	plain := regexp.MustCompile(`^[A-Za-z0-9]+(-[A-Za-z0-9]+)*(\.[A-Za-z0-9]+(-[A-Za-z0-9]+)*)*$`)
	piece := rapid.SampledFrom([]string{"a", "B", "0", ".", "-", "_", "é", "xn--", "[", strings.Repeat("x", 61), "xx"})
	rapid.Check(t, func(t *rapid.T) {
		domain := strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "domain"), "")
		want := plain.MatchString(domain)
		for label := range strings.SplitSeq(domain, ".") {
			want = want && len(label) <= 63
		}
		require.Equal(t, want, isPlainDomain(domain), domain)
		if want {
			require.True(t, isDotString(domain))
			require.NoError(t, checkDomain(domain))
		}
	})
}
