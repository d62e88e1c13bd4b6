package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTags(t *testing.T) {
	t.Parallel()
	tags, err := ParseTags(" v = 1 ;\r\n\ta=rsa-sha256; z=From:a=20b=20|b=x ; e=; under_score1=\xc3\xa4;\r\n ")
	require.NoError(t, err)
	for name, want := range map[string]string{
		"v": "1", "a": "rsa-sha256", "z": "From:a=20b=20|b=x", "e": "", "under_score1": "\xc3\xa4",
	} {
		value, ok := tags.Get(name)
		require.True(t, ok, name)
		require.Equal(t, want, value)
	}
	_, ok := tags.Get("V")
	require.False(t, ok, "tags are case-sensitive")
}

func TestRequire(t *testing.T) {
	t.Parallel()
	tags, err := ParseTags("a=x; h=; bh= ")
	require.NoError(t, err)
	require.NoError(t, Require(tags, "a"))
	require.EqualError(t, Require(tags, "a", "h"), "required tag h= is empty")
	require.EqualError(t, Require(tags, "bh"), "required tag bh= is empty")
	require.EqualError(t, Require(tags, "a", "b"), "required tag b= is missing")
}

func TestParseTagsRefuses(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]error{
		"":                  ErrTagSyntax,
		" ":                 ErrTagSyntax,
		";":                 ErrTagSyntax,
		"a=1;;b=2":          ErrTagSyntax,
		"a=1;b=2;;":         ErrTagSyntax,
		"a=1;b":             ErrTagSyntax,
		"=1":                ErrTagSyntax,
		"1a=1":              ErrTagSyntax,
		"a b=1":             ErrTagSyntax,
		"a-b=1":             ErrTagSyntax,
		"a=1\x00":           ErrTagSyntax,
		"a=1; a=1":          ErrDuplicateTag,
		"a=1; b=; a =":      ErrDuplicateTag,
		tagsOf(MaxTags + 1): ErrTagSyntax,
	} {
		_, err := ParseTags(list)
		require.ErrorIs(t, err, want, "%q", list)
	}
	_, err := ParseTags(tagsOf(MaxTags))
	require.NoError(t, err)
}

func tagsOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "t%d=;", i)
	}
	return b.String()
}

func TestWithoutDeletesOneValueOnly(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		" b= ab\r\n c ; bh=b=x; z=a|b=q": " b=; bh=b=x; z=a|b=q",
		"bh=xb=y;\r\n b =\tsig\r\n":      "bh=xb=y;\r\n b =",
		"z=;b=b=b;":                      "z=;b=;",
		"v=1":                            "v=1",
	} {
		tags, err := ParseTags(list)
		require.NoError(t, err, "%q", list)
		require.Equal(t, want, tags.Without(list, "b"))
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"a", "b", "", "c"}, SplitList(" a :\r\n b::c\t"))
	require.Equal(t, "abc", StripFWS(" a\r\n\tb c"))
}
