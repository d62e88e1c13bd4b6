package maildir

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/idna"
	"pgregory.net/rapid"
)

// Mail lies where earlier versions put it, which asked idna.Lookup for the name of the folder.
func TestAccountPathsStay(t *testing.T) {
	t.Parallel()
	part := rapid.OneOf(
		rapid.SampledFrom([]string{".", "-", "xn--", "xn--mller-kva", "Bücher", "straße", "例え", "אב", "İ", "ﬁ", "Σς", "\u00ad", "u\u0308", "\u200c", "ａ", "。", "한"}),
		rapid.StringOfN(rapid.RuneFrom([]rune("abcXYZ019-.")), 1, 6, -1),
		rapid.StringN(1, 3, -1),
	)
	kept := 0
	rapid.Check(t, func(t *rapid.T) {
		domain := strings.Join(rapid.SliceOfN(part, 1, 6).Draw(t, "parts"), "")
		before, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
		labels := strings.Split(strings.ToLower(before), ".")
		if err != nil || strings.ContainsAny(domain, "@\"․‥…﹒") || len(before) > 253 ||
			slices.ContainsFunc(labels, func(label string) bool { return label == "" || len(label) > 63 }) {
			return // no folder, or not one of a name that exists
		}
		kept++
		path, err := AccountPath("ann@" + domain)
		require.NoError(t, err, "%q", domain)
		require.Equal(t, filepath.Join(escapePath(strings.ToLower(before)), "ann"), path, "%q", domain)
	})
	require.NotZero(t, kept)
}

func TestAccountsOfAnyNameOfTheDNSHaveAPath(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"ann@192.0.2.1": "192.0.2.1", "ann@_x.bücher.example": "_x.xn--bcher-kva.example", "ann@a-.example": "a-.example", "ann@1a.אב.example": "1a.xn--4dbc.example",
	} {
		got, err := AccountPath(address)
		require.NoError(t, err, address)
		require.Equal(t, filepath.Join(want, "ann"), got)
	}
	for _, domain := range []string{"1א.example", "_ü.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "a", strings.Repeat("例", 5000)} {
		_, err := AccountPath("ann@" + domain)
		require.ErrorIs(t, err, errAddress, "%.80q", domain)
	}
}
