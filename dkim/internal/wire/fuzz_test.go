package wire

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/stretchr/testify/require"
)

func FuzzParseTags(f *testing.F) {
	for _, s := range []string{"v=1; a=rsa-sha256; b=; bh=", " b = x\r\n y;z=b=q;", ";", "a=1;a=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		tags, err := ParseTags(list)
		if err != nil {
			var wrong *TagError
			require.ErrorAs(t, err, &wrong)
			require.LessOrEqual(t, wrong.At, len(list))
			return
		}
		for _, tag := range tags {
			require.True(t, strings.HasPrefix(list[tag.At:], tag.Value))
			without, err := ParseTags(tags.Without(list, tag.Name))
			require.NoError(t, err)
			require.Len(t, without, len(tags))
			for i := range tags {
				want := tags[i].Value
				if tags[i].Name == tag.Name {
					want = ""
				}
				require.Equal(t, want, without[i].Value)
			}
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	f.Add("a=rsa-sha256; c=relaxed/simple; d=example.com; s=s; h=from:to; bh=AAAA; b=AAAA; l=1; t=1; x=2; q=dns/txt")
	f.Add("a=ed25519-sha256; d=b\u00fccher.example; s=s; h=from; bh= A A\r\n A=; b=AA==; t=9999999999999999999999; l=00000")
	f.Fuzz(func(t *testing.T, list string) {
		tags, err := ParseTags(list)
		if err != nil {
			return
		}
		var s Signature
		if s.Parse(tags) != nil {
			return
		}
		_, err = KeyName(s.Selector, s.Domain)
		require.NoError(t, err)
		for _, name := range []string{s.Selector, s.Domain} {
			again, err := ASCII(name)
			require.NoError(t, err)
			require.Equal(t, name, again)
		}
		require.NotEmpty(t, s.Signed)
		require.GreaterOrEqual(t, s.Length, Whole)
		require.True(t, s.Expiration.IsZero() || s.Time.IsZero() || s.Expiration.After(s.Time))
	})
}

// The header is cut into its fields and nothing else, and what a list of names chooses is what a naive reading does.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: a\r\nTo: b\r\n c\r\nfrom: d\r\nno field\r\n"), "from:to:from:from")
	f.Add([]byte(" a\n: b\nA :c"), "a::b")
	f.Fuzz(func(t *testing.T, block []byte, list string) {
		h := Header(block)
		var whole []byte
		var fields []Field
		for field := range h.Fields() {
			require.Equal(t, len(whole), field.At)
			whole = append(whole, field.Raw...)
			fields = append(fields, field)
		}
		require.Equal(t, string(block), string(whole))

		names := SplitList(strings.ToLower(list))
		var want, got []string
		left := slices.Clone(fields)
		for _, name := range names {
			for i := len(left) - 1; i >= 0; i-- {
				if raw, _, colon := bytes.Cut(left[i].Raw, []byte(":")); colon && IsFieldName(name) &&
					string(appendLower(nil, bytes.TrimRight(raw, " \t"))) == name {
					want = append(want, string(left[i].Raw))
					left = slices.Delete(left, i, i+1)
					break
				}
			}
		}
		h.Select(names, -1, func(raw []byte) { got = append(got, string(raw)) })
		require.Equal(t, want, got)
		for _, raw := range got {
			simple := AppendHeader(nil, []byte(raw), false)
			require.Equal(t, string(simple), string(AppendHeader(nil, simple, false)))
			relaxed := AppendHeader(nil, []byte(raw), true)
			require.Equal(t, string(relaxed), string(AppendHeader(nil, relaxed, true)))
			require.Equal(t, 1, bytes.Count(relaxed, []byte("\n")))
		}
	})
}

// The body, in two pieces, has the hash of the definition, and so has its beginning.
func FuzzBody(f *testing.F) {
	f.Add("a b\r\n \r\n\r\n", 3, int64(2), true)
	f.Add(strings.Repeat("a \t\r", 50)+"\n\n"+strings.Repeat("x", 100)+"\r\n", 70, int64(90), false)
	f.Fuzz(func(t *testing.T, body string, cut int, length int64, relaxed bool) {
		if cut < 0 || cut > len(body) || length < 0 {
			return
		}
		hashes := hashBody([]string{body[:cut], body[cut:]}, relaxed, Whole, length)
		want := canonicalBody(body, relaxed)
		sum := sha256.Sum256([]byte(want))
		require.Equal(t, sum[:], hashes[0].Sum)
		if length > int64(len(want)) {
			require.Nil(t, hashes[1].Sum)
			return
		}
		sum = sha256.Sum256([]byte(want[:length]))
		require.Equal(t, sum[:], hashes[1].Sum)
		require.EqualValues(t, int64(len(want))-length, hashes[1].Beyond)
	})
}

func FuzzASCII(f *testing.F) {
	for _, s := range []string{
		"example.com", "b\u00fccher.example", "_a.b", "xn--bcher-kva", "-", "a..b", "\u0130.\u212a", strings.Repeat("a.", 127),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ascii, err := ASCII(name)
		if err != nil {
			require.Empty(t, ascii)
			return
		}
		require.LessOrEqual(t, len(ascii), domainname.MaxName)
		require.Equal(t, strings.ToLower(ascii), ascii)
		require.False(t, strings.ContainsAny(ascii, " \t\r\n;\"\\/\x00"))
		again, err := ASCII(ascii)
		require.NoError(t, err)
		require.Equal(t, ascii, again)
	})
}
