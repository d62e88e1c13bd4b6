package wire_test

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
)

func limits() wire.Limits { return wire.Limits{Line: 200, Literal: 50, Command: 400, Drain: 1000} }

// decoder reads input; asked counts the continuation requests.
func decoder(t *testing.T, input string) (dec *wire.Decoder, asked *int) {
	t.Helper()
	asked = new(int)
	dec = wire.NewDecoder(bufio.NewReaderSize(strings.NewReader(input), 16), limits(), func() error {
		*asked++
		return nil
	})
	require.NoError(t, dec.Next())
	return dec, asked
}

func TestTokensFollowTheGrammar(t *testing.T) {
	t.Parallel()
	dec, asked := decoder(t, "tag uid Fetch \"a\\\"b\\\\c\" {3+}\r\n\"\r\n NIL (1 22 333) \\Seen {2}\r\nok 1:*,7,3:2\r\nnext\r\n")
	var tag, atom, keyword, quoted, literal, literal2, flag string
	var null string
	var valid bool
	var numbers []uint32
	var set wire.NumSet
	require.True(t, dec.Tag(&tag) && dec.SP() && dec.Atom(&atom) && dec.SP() && dec.Keyword(&keyword) && dec.SP() &&
		dec.String(&quoted) && dec.SP() && dec.AString(&literal) && dec.SP() && dec.NString(&null, &valid) && dec.SP() &&
		dec.List(func() bool {
			var n uint32
			ok := dec.Number(&n)
			numbers = append(numbers, n)
			return ok
		}) && dec.SP() && dec.Flag(&flag) && dec.SP() && dec.String(&literal2) && dec.SP() && dec.NumSet(&set) && dec.End(), dec.Err())
	require.Equal(t, []string{"tag", "uid", "FETCH", `a"b\c`, "\"\r\n", `\Seen`, "ok"},
		[]string{tag, atom, keyword, quoted, literal, flag, literal2})
	require.False(t, valid)
	require.Equal(t, []uint32{1, 22, 333}, numbers)
	require.Equal(t, wire.NumSet{{1, 0}, {7, 7}, {3, 2}}, set)
	require.Equal(t, 1, *asked, "only a synchronising literal is asked for")
	require.NoError(t, dec.Skip())
	require.NoError(t, dec.Next())
	require.Equal(t, "next", dec.Rest())
	require.ErrorIs(t, dec.Next(), io.EOF)
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	read := map[string]func(*wire.Decoder) bool{
		"astring": func(d *wire.Decoder) bool { var s string; return d.AString(&s) && d.End() },
		"number":  func(d *wire.Decoder) bool { var n uint32; return d.Number(&n) && d.End() },
		"set":     func(d *wire.Decoder) bool { var s wire.NumSet; return d.NumSet(&s) && d.End() },
		"flag":    func(d *wire.Decoder) bool { var s string; return d.Flag(&s) && d.End() },
		"date":    func(d *wire.Decoder) bool { var v time.Time; return d.Date(&v) && d.End() },
		"time":    func(d *wire.Decoder) bool { var v time.Time; return d.DateTime(&v) && d.End() },
		"nstring": func(d *wire.Decoder) bool { var s string; var v bool; return d.NString(&s, &v) && d.End() },
		"tag":     func(d *wire.Decoder) bool { var s string; return d.Tag(&s) && d.End() },
	}
	for _, test := range []struct{ what, input string }{
		{"astring", ""}, {"astring", `"open`}, {"astring", `"a\b"`}, {"astring", `"a\`}, {"astring", "a b"}, {"astring", "a(b"},
		{"astring", "a\x01"}, {"astring", "\xff"}, {"astring", "\"a\x00\""}, {"astring", "\"a\rb\""}, {"astring", "{}"},
		{"astring", "{x}"}, {"astring", "{-1}"}, {"astring", "{99999999999999999999}"}, {"astring", "{1}x"}, {"astring", "{1+} "},
		{"astring", "{1+}\r\n\x00"}, {"astring", `a"b"`},
		{"number", "4294967296"}, {"number", "99999999999999999999999999"}, {"number", "-1"}, {"number", "1a"}, {"number", ""},
		{"set", "0"}, {"set", "1:"}, {"set", ",1"}, {"set", "1,"}, {"set", "1:2:3"}, {"set", "*:*:1"}, {"set", "1:0"}, {"set", "4294967296"},
		{"flag", `\Recent`}, {"flag", `\`}, {"flag", `\*`}, {"flag", `\\Seen`}, {"flag", `a]`},
		{"date", "32-Jan-2000"}, {"date", "1-Foo-2000"}, {"date", "1-Jan-99"}, {"date", ""}, {"date", "1-"},
		{"time", `17-Jul-1996 02:44:25 -0700`}, {"time", `"17-Jul-1996 02:44:25"`}, {"time", `"17-Jul-1996 25:44:25 -0700"`},
		{"nstring", "nile"}, {"tag", "+"}, {"tag", "a+b"}, {"tag", ""},
	} {
		dec, _ := decoder(t, test.input+"\r\nx\r\n")
		var syntax *wire.SyntaxError
		require.False(t, read[test.what](dec), "%s %q", test.what, test.input)
		require.ErrorAs(t, dec.Err(), &syntax, "%s %q", test.what, test.input)
		require.NoError(t, dec.Broken())
	}
}

func TestDatesAsTheGrammarHasThem(t *testing.T) {
	t.Parallel()
	dec, _ := decoder(t, "1-feb-1994 \"01-FEB-1994\" \" 1-Feb-1994 02:03:04 +0130\"\r\n")
	var a, b, c time.Time
	require.True(t, dec.Date(&a) && dec.SP() && dec.Date(&b) && dec.SP() && dec.DateTime(&c) && dec.End(), dec.Err())
	require.Equal(t, time.Date(1994, 2, 1, 0, 0, 0, 0, time.UTC), a)
	require.Equal(t, a, b)
	require.Equal(t, time.Date(1994, 2, 1, 0, 33, 4, 0, time.UTC), c.UTC())
}

// What is refused must never be read as a command, whatever it looks like.
func TestRefusedLiteralsAreSkipped(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		input string
		want  error // of Skip
	}{
		"non-synchronising": {"a x {100+}\r\n" + strings.Repeat("B DELETE y\r\n", 8) + "1234 rest\r\nnext\r\n", nil},
		"several":           {"a x {60+}\r\n" + strings.Repeat("z", 60) + " {3+}\r\nC x {9+}\r\n\r\nD y {0\r\nnext\r\n", nil},
		"synchronising":     {"a x {100}\r\nnext\r\n", nil},
		"too long to drain": {"a x {1001+}\r\n" + strings.Repeat("z", 1001) + "\r\nnext\r\n", wire.ErrDrain},
		"too many":          {"a x " + strings.Repeat("{300+}\r\n"+strings.Repeat("z", 300), 4) + "\r\nnext\r\n", wire.ErrDrain},
		"ends early":        {"a x {100+}\r\nzzz", io.ErrUnexpectedEOF},
		"line ends early":   {"a x {60+}\r\n" + strings.Repeat("z", 63), io.ErrUnexpectedEOF},
	} {
		dec, asked := decoder(t, test.input)
		var s string
		require.False(t, dec.Atom(&s) && dec.SP() && dec.Atom(&s) && dec.SP() && dec.String(&s), name)
		require.ErrorIs(t, dec.Err(), wire.ErrLiteralTooBig, name)
		require.Zero(t, *asked, name)
		if err := dec.Skip(); test.want != nil {
			require.ErrorIs(t, err, test.want, name)
			continue
		}
		require.NoError(t, dec.Next(), name)
		require.Equal(t, "next", dec.Rest(), name)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"line":            strings.Repeat("a", 201) + "\r\n",
		"line in pieces":  strings.Repeat("a", 5000),
		"unlimited line ": strings.Repeat("a", 1<<20),
	} {
		dec := wire.NewDecoder(bufio.NewReaderSize(strings.NewReader(input), 16), limits(), nil)
		require.ErrorIs(t, dec.Next(), wire.ErrLineTooLong, name)
		require.ErrorIs(t, dec.Broken(), wire.ErrLineTooLong, name)
	}
	// Each literal fits, all together do not.
	dec, _ := decoder(t, strings.Repeat("{50+}\r\n"+strings.Repeat("z", 50), 20)+"\r\n")
	var s string
	n := 0
	for dec.String(&s) {
		n++
	}
	require.ErrorIs(t, dec.Err(), wire.ErrLiteralTooBig)
	require.Equal(t, 400/57, n)
	// A line as long as allowed is fine, whatever the buffer.
	dec, _ = decoder(t, strings.Repeat("a", 200)+"\r\n")
	require.Len(t, dec.Rest(), 200)
}

func TestLiteralThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	dec, _ := decoder(t, "{5+}\r\nabc")
	var s string
	require.False(t, dec.String(&s))
	require.ErrorIs(t, dec.Err(), io.ErrUnexpectedEOF)
	require.ErrorIs(t, dec.Broken(), io.ErrUnexpectedEOF)

	dec, _ = decoder(t, "{5+}\r\nabc")
	var lit wire.Literal
	require.True(t, dec.AnnouncedLiteral(&lit))
	r, err := dec.OpenLiteral()
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorIs(t, dec.Broken(), io.ErrUnexpectedEOF)
}

func TestStreamedLiteral(t *testing.T) {
	t.Parallel()
	dec, asked := decoder(t, "{600}\r\n"+strings.Repeat("z", 600)+" (rest)\r\nnext\r\n")
	var lit wire.Literal
	require.True(t, dec.AnnouncedLiteral(&lit))
	require.Equal(t, wire.Literal{Size: 600}, lit)
	r, err := dec.OpenLiteral()
	require.NoError(t, err)
	require.Equal(t, 1, *asked)
	some := make([]byte, 100)
	_, err = io.ReadFull(r, some)
	require.NoError(t, err)
	require.NoError(t, dec.EndLiteral(r))
	require.Equal(t, " (rest)", dec.Rest())
	require.NoError(t, dec.Skip())
	require.NoError(t, dec.Next())
}

func TestBareLFEndsALine(t *testing.T) {
	t.Parallel()
	dec, _ := decoder(t, "a {2+}\nxyb\nc\n")
	var a, b, c string
	require.True(t, dec.Atom(&a) && dec.SP() && dec.String(&b) && dec.Atom(&c) && dec.End(), dec.Err())
	require.Equal(t, []string{"a", "xy", "b"}, []string{a, b, c})
}

func TestMailboxNames(t *testing.T) {
	t.Parallel()
	for name, encoded := range map[string]string{
		"plain/name":         "plain/name",
		"a&b":                "a&-b",
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", // RFC 3501 §5.1.3
		"Entwürfe":           "Entw&APw-rfe",
		"&":                  "&-",
		"ä&ö":                "&AOQ-&-&APY-",
		"😀":                  "&2D3eAA-",
		"x😀y":                "x&2D3eAA-y",
		"€":                  "&IKw-",
		"\u00a0":             "&AKA-",
	} {
		require.Equal(t, encoded, wire.EncodeMailbox(name))
		decoded, err := wire.DecodeMailbox(encoded)
		require.NoError(t, err, encoded)
		require.Equal(t, name, decoded)
	}
	for name, want := range map[string]string{
		"INBOX": "INBOX", "inbox": "INBOX", "iNbOx": "INBOX", "inbox/inbox": "INBOX/inbox", "Inbox/&AOQ-": "INBOX/ä",
		"inboxes": "inboxes", "inbo": "inbo", "a/inbox": "a/inbox",
	} {
		decoded, err := wire.DecodeMailbox(name)
		require.NoError(t, err)
		require.Equal(t, want, decoded)
	}
	for name, bad := range map[string]string{
		"no end":                    "&AOQ",
		"plain ASCII encoded":       "&AGE-",
		"control character":         "&AAo-",
		"C1 control character":      "&AIU-",
		"NUL":                       "&AAA-",
		"eight bits":                "Entw\xc3\xbcrfe",
		"control octet":             "a\tb",
		"half a unit":               "&AO-",
		"bits left over":            "&AOR-",
		"lone high surrogate":       "&2D0-",
		"lone low surrogate":        "&3gA-",
		"surrogates in wrong order": "&3gDYPQ-",
		"slash alphabet":            "&U/BTFw-",
		"two in a row":              "&AOQ-&APY-",
		"not base64":                "&'+,-",
		"padding":                   "&AOQ=-",
	} {
		_, err := wire.DecodeMailbox(bad)
		require.ErrorIs(t, err, wire.ErrMailboxName, name)
	}
}

func FuzzMailboxName(f *testing.F) {
	for _, s := range []string{"INBOX", "inbox/a", "&AOQ-x", "&2D3eAA-", "&-&", "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "a&AOQ-&-b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := wire.DecodeMailbox(s)
		if err == nil && strings.HasPrefix(name, "INBOX") {
			s = "INBOX" + s[len("INBOX"):]
		}
		if err == nil {
			require.Equal(t, s, wire.EncodeMailbox(name), "a mailbox must have one name")
		}
		encoded := wire.EncodeMailbox(s)
		for i := range len(encoded) {
			require.True(t, encoded[i] >= ' ' && encoded[i] < 0x7f)
		}
	})
}

func TestNumSets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   wire.NumSet
		max  uint32
		want wire.NumSet
	}{
		{wire.NumSet{{2, 2}, {4, 7}, {9, 9}, {12, 0}}, 15, wire.NumSet{{2, 2}, {4, 7}, {9, 9}, {12, 15}}}, // RFC 3501 §9
		{wire.NumSet{{0, 4}, {5, 7}}, 10, wire.NumSet{{4, 10}}},
		{wire.NumSet{{3291, 0}}, 10, wire.NumSet{{10, 3291}}},
		{wire.NumSet{{0, 0}}, 10, wire.NumSet{{10, 10}}},
		{wire.NumSet{{0, 0}}, 0, wire.NumSet{}},
		{wire.NumSet{{5, 1}, {2, 3}, {6, 6}}, 10, wire.NumSet{{1, 6}}},
		{wire.NumSet{{1, 1<<32 - 1}, {7, 7}}, 10, wire.NumSet{{1, 1<<32 - 1}}},
	} {
		require.Equal(t, test.want, test.in.Resolve(test.max), "%v", test.in)
	}
	var set wire.NumSet
	for _, n := range []uint32{1, 2, 3, 5, 7, 8, 1<<32 - 1} {
		set.Add(n)
	}
	require.Equal(t, "1:3,5,7:8,4294967295", string(set.Append(nil)))
	require.Equal(t, "*,1:*", string(wire.NumSet{{0, 0}, {1, 0}}.Append(nil)))
}

func TestResolvedSetContainsWhatWasAsked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		max := rapid.Uint32Range(0, 30).Draw(t, "max")
		number := rapid.Uint32Range(0, 30)
		set := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Range {
			return wire.Range{First: number.Draw(t, "first"), Last: number.Draw(t, "last")}
		}), 1, 6).Draw(t, "set")
		resolved := wire.NumSet(set).Resolve(max)
		for n := uint32(1); n <= 31; n++ {
			want := false
			for _, r := range set {
				if max == 0 && (r.First == 0 || r.Last == 0) {
					continue // "*" names nothing
				}
				first, last := r.First, r.Last
				if first == 0 {
					first = max
				}
				if last == 0 {
					last = max
				}
				want = want || n >= min(first, last) && n <= largest(first, last)
			}
			if resolved.Contains(n) != want {
				t.Fatalf("%d in %v (max %d): %v", n, set, max, resolved)
			}
		}
		for i := 1; i < len(resolved); i++ {
			if resolved[i].First <= resolved[i-1].Last+1 {
				t.Fatalf("not merged: %v", resolved)
			}
		}
	})
}

func largest(a, b uint32) uint32 { return max(a, b) }
