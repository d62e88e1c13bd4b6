package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

func TestNamesOfSignatures(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Example.COM": "example.com", "bücher.example": "xn--bcher-kva.example", "s_1._sel": "s_1._sel",
		"example.com.": "", "": "", ".": "", "a..b": "", "a b.example": "", "-a.example": "", "a-.example": "", "*.example": "",
		"1א.example": "", strings.Repeat("a", 64) + ".example": "", strings.Repeat("a.", 127) + "a": "",
	} {
		got, err := wire.ASCII(in)
		require.Equal(t, want, got, in)
		require.Equal(t, want == "", err != nil, in)
	}
}

func TestNameOfTheKeyRecordFitsIntoTheDNS(t *testing.T) {
	t.Parallel()
	name, err := wire.KeyName("s", "example.com")
	require.NoError(t, err)
	require.Equal(t, "s._domainkey.example.com.", name)
	domain := strings.Repeat("a.", 119) + "a"
	name, err = wire.KeyName("s1", domain)
	require.NoError(t, err)
	require.Len(t, name, 254, "with the final dot")
	_, err = wire.KeyName("sel", domain)
	require.Error(t, err)
}

func TestHostileNamesAreNotConverted(t *testing.T) {
	d := strings.Repeat("例", 5000) + ".example" // half a second of punycode
	require.LessOrEqual(t, testing.AllocsPerRun(5, func() { _, _ = wire.ASCII(d) }), 1.0, "beside the error")
}
