package dnsbl_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

func mustCodes(t testing.TB, text string) dnsbl.Codes {
	t.Helper()
	c, err := dnsbl.ParseCodes(text)
	require.NoError(t, err)
	return c
}

func TestParseList(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want dnsbl.List
		form string // of String; empty: text
	}{
		{text: "zen.spamhaus.org", want: dnsbl.List{Zone: "zen.spamhaus.org"}},
		{text: "zen.spamhaus.org*3", want: dnsbl.List{Zone: "zen.spamhaus.org", Weight: 3}},
		{
			text: "zen.spamhaus.org=127.0.0.[2..11]*3",
			want: dnsbl.List{Zone: "zen.spamhaus.org", Codes: mustCodes(t, "127.0.0.[2..11]"), Weight: 3},
		},
		{
			text: "bl.mailspike.net=127.0.0.[2;10..14]",
			want: dnsbl.List{Zone: "bl.mailspike.net", Codes: mustCodes(t, "127.0.0.[2;10..14]")},
		},
		{
			text: "list.dnswl.org=127.0.[0..255].0*-2",
			want: dnsbl.List{Zone: "list.dnswl.org", Codes: mustCodes(t, "127.0.[0..255].0"), Weight: -2},
		},
		{
			text: "helo+sender:dbl.spamhaus.org=127.0.1.[2..99]",
			want: dnsbl.List{Zone: "dbl.spamhaus.org", For: dnsbl.Hello | dnsbl.Sender, Codes: mustCodes(t, "127.0.1.[2..99]")},
		},
		{
			text: "spamhaus@abc_1.zen.dq.spamhaus.net*2",
			want: dnsbl.List{Zone: "abc_1.zen.dq.spamhaus.net", Name: "spamhaus", Weight: 2},
		},
		{text: "client:a.example", want: dnsbl.List{Zone: "a.example"}, form: "a.example"},
		{text: "untested:a.example", want: dnsbl.List{Zone: "a.example", NoTestEntry: true}, form: "client+untested:a.example"},
		{
			text: "sender+reverse+untested:x@A.Example.*1", form: "reverse+sender+untested:x@a.example",
			want: dnsbl.List{Zone: "a.example", Name: "x", For: dnsbl.ReverseName | dnsbl.Sender, NoTestEntry: true},
		},
		{
			text: "multi.uribl.com=127.0.0.[&6]",
			want: dnsbl.List{Zone: "multi.uribl.com", Codes: mustCodes(t, "127.0.0.[&6]")},
		},
		{text: "a.example=[127].0.0.[3;2;4;9..9]", want: dnsbl.List{Zone: "a.example", Codes: mustCodes(t, "127.0.0.[2..4;9]")},
			form: "a.example=127.0.0.[2..4;9]"},
		{text: "b\u00fccher.example", want: dnsbl.List{Zone: "xn--bcher-kva.example"}, form: "xn--bcher-kva.example"},
		{text: "dnsbl", want: dnsbl.List{Zone: "dnsbl"}},
		{text: "a.example*1000000", want: dnsbl.List{Zone: "a.example", Weight: dnsbl.MaxWeight}},
	} {
		got, err := dnsbl.ParseList(test.text)
		require.NoError(t, err, test.text)
		if test.want.For == 0 {
			test.want.For = dnsbl.Client
		}
		if test.want.Weight == 0 {
			test.want.Weight = 1
		}
		require.Equal(t, test.want, got, test.text)
		if test.form == "" {
			test.form = test.text
		}
		require.Equal(t, test.form, got.String())
	}
}

func TestParseListSaysWhereTheFaultIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text    string
		offset  int
		problem string
	}{
		{"", 0, "want a zone"},
		{"=127.0.0.2", 0, "want a zone"},
		{"a..example", 0, "the zone is not a domain name"},
		{"a.exa mple", 5, "the zone is not a domain name"},
		{"x@a.exa/mple", 7, "the zone is not a domain name"},
		{"127.0.0.1", 0, "the zone ends in a number"},
		{strings.Repeat("a.", 94) + "ab", 0, "the zone is longer than 189 octets"},
		{"nobody:a.example", 0, "want one of the words client, helo, reverse, sender, untested"},
		{"helo+:a.example", 5, "want one of the words client, helo, reverse, sender, untested"},
		{"helo+helo:a.example", 5, "helo stands here twice"},
		{"untested+untested:a.example", 9, "untested stands here twice"},
		{"@a.example", 0, "want a name"},
		{"sender:a b@a.example", 8, "a name has only letters, digits, dots, hyphens and underscores"},
		{strings.Repeat("a", 101) + "@a.example", 100, "the name is longer than 100 octets"},
		{"a.example=", 10, "want a number"},
		{"a.example=127", 13, "want a dot"},
		{"a.example=127.0.0", 17, "want a dot"},
		{"a.example=127.0.0.", 18, "want a number"},
		{"a.example=127.0.0.256", 18, "octet above 255"},
		{"a.example=127.0.0.2.", 19, "the list should end here"},
		{"a.example=127.0.0.02", 18, "a number does not begin with 0"},
		{"a.example=127.0.0.[]", 19, "want a number"},
		{"a.example=127.0.0.[2", 20, "want a semicolon or a closing bracket"},
		{"a.example=127.0.0.[2;]", 21, "want a number"},
		{"a.example=127.0.0.[2,3]", 20, "want a semicolon or a closing bracket"},
		{"a.example=127.0.0.[2.3]", 21, "a range has two dots"},
		{"a.example=127.0.0.[2..]", 22, "want a number"},
		{"a.example=127.0.0.[3..2]", 22, "the range ends before it begins"},
		{"a.example=127.0.0.[2..300]", 22, "octet above 255"},
		{"a.example=127.0.0.[&0]", 19, "a mask has one bit at least"},
		{"a.example=127.0.0.[&]", 20, "want a number"},
		{"a.example=127.0.0.*", 18, "want a number"},
		{"a.example*", 10, "want a number"},
		{"a.example*-", 11, "want a number"},
		{"a.example*0", 10, "a weight is not 0"},
		{"a.example*-0", 11, "a weight is not 0"},
		{"a.example*+3", 10, "want a number"},
		{"a.example*1000001", 10, "weight above 1000000"},
		{"a.example*99999999999999999999999", 10, "weight above 1000000"},
		{"a.example*3=127.0.0.2", 11, "the list should end here"},
	} {
		_, err := dnsbl.ParseList(test.text)
		syntax, ok := errors.AsType[*dnsbl.SyntaxError](err)
		require.True(t, ok, "%q: %v", test.text, err)
		require.Equal(t, dnsbl.SyntaxError{Text: test.text, Offset: test.offset, Problem: test.problem}, *syntax)
	}
	_, err := dnsbl.ParseList("a b\x1b" + strings.Repeat("x", 1000))
	shown := "a b?" + strings.Repeat("x", 96)
	require.EqualError(t, err, fmt.Sprintf("dnsbl: in %q at offset 1: the zone is not a domain name", shown))
}

func TestParseLists(t *testing.T) {
	t.Parallel()
	lists, err := dnsbl.ParseLists(" a.example*2,b.example\r\n\tc.example , \n")
	require.NoError(t, err)
	var texts []string
	for _, l := range lists {
		texts = append(texts, l.String())
	}
	require.Equal(t, []string{"a.example*2", "b.example", "c.example"}, texts)

	lists, err = dnsbl.ParseLists(" \n")
	require.NoError(t, err)
	require.Empty(t, lists)

	_, err = dnsbl.ParseLists("a.example, b.example*x")
	require.Equal(t, &dnsbl.SyntaxError{Text: "a.example, b.example*x", Offset: 21, Problem: "want a number"}, err)
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		codes   string // empty: the zero value
		in, out []string
	}{
		{
			codes: "",
			in:    []string{"127.0.0.2", "127.0.0.0", "127.0.1.2", "127.1.1.1", "127.255.254.255", "127.0.0.255"},
			out: []string{"127.0.0.1", "127.255.255.0", "127.255.255.252", "127.255.255.254", "127.255.255.255", "128.0.0.2",
				"126.255.255.255", "192.0.2.1", "::1", "::ffff:127.0.0.2"},
		},
		{codes: "127.0.0.[2..11]", in: []string{"127.0.0.2", "127.0.0.11"}, out: []string{"127.0.0.1", "127.0.0.12", "127.0.1.2"}},
		{codes: "127.0.0.[2;10..14]", in: []string{"127.0.0.2", "127.0.0.10", "127.0.0.14"}, out: []string{"127.0.0.3", "127.0.0.9"}},
		{codes: "127.0.[0..255].[1..3]", in: []string{"127.0.0.1", "127.0.255.3"}, out: []string{"127.0.4.0", "127.1.4.1"}},
		// URIBL: 2 black, 4 grey, 8 red, and 1 for a query that is refused.
		{codes: "127.0.0.[&6]", in: []string{"127.0.0.2", "127.0.0.4", "127.0.0.14", "127.0.0.6"},
			out: []string{"127.0.0.1", "127.0.0.8", "127.0.0.9"}},
		// Refusals are never entries, whatever the filter says.
		{codes: "127.[0..255].[0..255].[0..255]", in: []string{"127.0.0.1"}, out: []string{"127.255.255.254"}},
		{codes: "127.255.255.254", out: []string{"127.255.255.254"}},
	} {
		var codes dnsbl.Codes
		if test.codes != "" {
			codes = mustCodes(t, test.codes)
		}
		require.Equal(t, test.codes, codes.String())
		for _, addr := range test.in {
			require.True(t, codes.Has(netip.MustParseAddr(addr)), "%s in %s", addr, test.codes)
		}
		for _, addr := range test.out {
			require.False(t, codes.Has(netip.MustParseAddr(addr)), "%s in %s", addr, test.codes)
		}
	}
	require.False(t, dnsbl.Codes{}.Has(netip.Addr{}))
	_, err := dnsbl.ParseCodes("127.0.0.2*3")
	require.Equal(t, &dnsbl.SyntaxError{Text: "127.0.0.2*3", Offset: 9, Problem: "the filter should end here"}, err)
}

func TestCodesHaveOneText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// A set of values, as items in any order and of any kind.
		var in [256]bool
		var items []string
		for range rapid.IntRange(1, 12).Draw(t, "items") {
			a, b := rapid.IntRange(0, 255).Draw(t, "a"), rapid.IntRange(0, 255).Draw(t, "b")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				items = append(items, fmt.Sprint(a))
				in[a] = true
			case 1:
				items = append(items, fmt.Sprintf("%d..%d", min(a, b), max(a, b)))
				for v := min(a, b); v <= max(a, b); v++ {
					in[v] = true
				}
			case 2:
				mask := max(1, a)
				items = append(items, fmt.Sprintf("&%d", mask))
				for v := range in {
					in[v] = in[v] || v&mask != 0
				}
			}
		}
		codes, err := dnsbl.ParseCodes("127.0.0.[" + strings.Join(items, ";") + "]")
		require.NoError(t, err)
		for v := range in {
			require.Equal(t, in[v], codes.Has(netip.AddrFrom4([4]byte{127, 0, 0, byte(v)})), v)
		}
		again, err := dnsbl.ParseCodes(codes.String())
		require.NoError(t, err)
		require.Equal(t, codes, again)
		require.LessOrEqual(t, len(codes.String()), 600)
	})
}

func FuzzParseList(f *testing.F) {
	for _, seed := range []string{
		"zen.spamhaus.org=127.0.0.[2..11]*3", "bl.mailspike.net=127.0.0.[2;10..14]", "helo+sender+untested:dbl@x.example*-2",
		"a.example=127.0.0.[&6;9;200..255]", "a.example=[0..255].[0..255].[0..255].[0..255]", "b\u00fccher.example", "x@", ":",
		"a*-0",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := dnsbl.ParseList(text)
		if err != nil {
			syntax, ok := errors.AsType[*dnsbl.SyntaxError](err)
			require.True(t, ok, err)
			require.Equal(t, text, syntax.Text)
			require.True(t, 0 <= syntax.Offset && syntax.Offset <= len(text), syntax.Offset)
			require.Equal(t, dnsbl.List{}, l)
			require.Less(t, len(err.Error()), 700)
			return
		}
		_, err = dnsbl.New(dnsbl.Options{Lists: []dnsbl.List{l}})
		require.NoError(t, err, "what parses can be used")
		again, err := dnsbl.ParseList(l.String())
		require.NoError(t, err, l.String())
		require.Equal(t, l, again)
		require.Equal(t, l.String(), again.String())
		one, err := dnsbl.ParseLists(l.String())
		require.NoError(t, err)
		require.Equal(t, []dnsbl.List{l}, one)
	})
}

func TestNewRefusesWhatIsNoList(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list dnsbl.List
		why  string
	}{
		{dnsbl.List{}, "dnsbl: list 2 (): the zone is not a domain name"},
		{dnsbl.List{Zone: "a b"}, "dnsbl: list 2 (a b): the zone is not a domain name"},
		{dnsbl.List{Zone: "192.0.2.1"}, "dnsbl: list 2 (192.0.2.1): the zone ends in a number"},
		{dnsbl.List{Zone: "a.example", For: 64}, "dnsbl: list 2 (a.example): unknown kind 0x40"},
		{dnsbl.List{Zone: "a.example", Name: "a\r\nb"},
			"dnsbl: list 2 (a??b): a name has 1 to 100 letters, digits, dots, hyphens and underscores"},
		{dnsbl.List{Zone: "a.example", Weight: dnsbl.MaxWeight + 1}, "dnsbl: list 2 (a.example): a weight is at most 1000000"},
		{dnsbl.List{Zone: "a.example", Weight: -dnsbl.MaxWeight - 1}, "dnsbl: list 2 (a.example): a weight is at most 1000000"},
		{dnsbl.List{Zone: strings.Repeat("a.", 94) + "ab"},
			"dnsbl: list 2 (" + strings.Repeat("a.", 94) + "ab): the zone is longer than 189 octets"},
	} {
		_, err := dnsbl.New(dnsbl.Options{Lists: []dnsbl.List{{Zone: "ok.example"}, test.list}})
		require.EqualError(t, err, test.why)
	}
	_, err := dnsbl.New(dnsbl.Options{Lists: make([]dnsbl.List, dnsbl.MaxLists+1)})
	require.EqualError(t, err, "dnsbl: more than 100 lists")
}

func TestWords(t *testing.T) {
	t.Parallel()
	require.Equal(t, "client+helo+reverse+sender", (dnsbl.Client | dnsbl.Hello | dnsbl.ReverseName | dnsbl.Sender).String())
	require.Equal(t, "IPv4 IPv6 domain unknown", fmt.Sprint(dnsbl.IPv4, " ", dnsbl.IPv6, " ", dnsbl.Domain, " ", dnsbl.Class(9)))
	require.Equal(t, "untested up down unknown", fmt.Sprint(dnsbl.Untested, " ", dnsbl.Up, " ", dnsbl.Down, " ", dnsbl.State(-1)))
	require.Equal(t, "pass quarantine temporary refuse unknown",
		fmt.Sprint(dnsbl.Pass, " ", dnsbl.Quarantine, " ", dnsbl.Temporary, " ", dnsbl.Refuse, " ", dnsbl.Decision(9)))
}

// What is for people and programs to read has words in JSON.
func TestJSON(t *testing.T) {
	t.Parallel()
	list, err := dnsbl.ParseList("bl.example.org=127.0.0.[2..4]*3")
	require.NoError(t, err)
	text, err := json.Marshal([]any{
		dnsbl.ListStatus{Class: dnsbl.IPv6, State: dnsbl.Up}, dnsbl.Result{Decision: dnsbl.Temporary}.Decision, list.Codes, list.For,
	})
	require.NoError(t, err)
	for _, want := range []string{`"Class":"IPv6"`, `"State":"up"`, `"temporary"`, `"127.0.0.[2..4]"`, `"client"`} {
		require.Contains(t, string(text), want)
	}
}
