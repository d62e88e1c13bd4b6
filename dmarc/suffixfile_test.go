package dmarc_test

import (
	"bufio"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

func TestLinesOfAPublicSuffixList(t *testing.T) {
	t.Parallel()
	_, err := dmarc.ParsePublicSuffixes(strings.NewReader("com\n// " + strings.Repeat("x", 60<<10) + "\nco.uk\n"))
	require.NoError(t, err)
	_, err = dmarc.ParsePublicSuffixes(strings.NewReader("com\n// " + strings.Repeat("x", 64<<10) + "\nco.uk\n"))
	require.ErrorIs(t, err, bufio.ErrTooLong)
	_, err = dmarc.ParsePublicSuffixes(strings.NewReader("com\na..b\n"))
	require.ErrorContains(t, err, "line 2")
}
