package maildir

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

func TestFolderNames(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{
		"INBOX": "", "inbox": "", "INBOX/a": ".INBOX.a", "inbox/a": ".INBOX.a",
		"a": ".a", "a/b c": ".a.b c", "a&b": ".a&-b", "Entwürfe": ".Entw&APw-rfe", "日本語": ".&ZeVnLIqe-",
		"😀":      ".&2D3eAA-",            // a surrogate pair
		"台北/日本語": ".&U,BTFw-.&ZeVnLIqe-", // RFC 3501 §5.1.3
		"..":     ".&AC4ALg-", "a.b": ".a&AC4-b", ".": ".&AC4-", "~": ".~", "&-": ".&--", "&AOQ-": ".&-AOQ-",
	} {
		got, err := folderName(name)
		require.NoError(t, err)
		require.Equal(t, folder, got)
		if folder != "" {
			back, ok := mailboxName(folder)
			require.True(t, ok, folder)
			clean, err := mailbox.CleanName(name)
			require.NoError(t, err)
			require.Equal(t, clean, back)
		}
	}
	for folder, name := range map[string]string{
		".Entwürfe":    "Entwürfe",      // Dovecot 2.4
		".a&b":         "a&b",           // no modified UTF-7
		".&Jjo!":       "&Jjo!",         // RFC 3501 §5.1.3: not ended
		".&AOQ":        "&AOQ",          // so is this
		".&====-":      "&====-",        //
		".&2D0-":       "&2D0-",         // half a surrogate pair
		".&AAA-":       "&AAA-",         // NUL
		".&AC8-":       "&AC8-",         // a slash is no part of a name
		".INBOX.a":     "INBOX/a",       //
		".inbox.a":     "INBOX/a",       //
		".a.&AC4ALg-":  "a/..",          //
		".&U,BTFw-.&-": "台北/&",          //
		".&AOQ-&AOQ-x": "ä" + "ä" + "x", //
	} {
		got, ok := mailboxName(folder)
		require.True(t, ok, folder)
		require.Equal(t, name, got, folder)
	}
	for _, folder := range []string{"", ".", "..", "..a", ".a.", ".a..b", "cur", "a", ".\xff", ".INBOX", ".inbox", ".a\n", ".\x00"} {
		_, ok := mailboxName(folder)
		require.False(t, ok, "%q", folder)
	}
	_, err := folderName(strings.Repeat("ü", 100))
	require.ErrorIs(t, err, mailbox.ErrName, "too long on disk")
}

func FuzzFolderName(f *testing.F) {
	for _, s := range []string{"a/b", "Entwürfe", "&", "..", "a.b/INBOX", "😀", "inbox/x", "&AOQ-", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if back, ok := mailboxName(name); ok { // as a folder's name
			require.True(t, utf8.ValidString(back))
			_, err := mailbox.CleanName(back)
			require.NoError(t, err)
		}
		folder, err := folderName(name)
		if err != nil || folder == "" {
			return
		}
		require.Equal(t, filepath.Base(folder), folder, "stays where it belongs")
		require.False(t, strings.HasPrefix(folder, ".."))
		require.LessOrEqual(t, len(folder), maxFileName)
		back, ok := mailboxName(folder)
		require.True(t, ok)
		clean, err := mailbox.CleanName(name)
		require.NoError(t, err)
		require.Equal(t, clean, back)
	})
}

func TestAccountPath(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"Ann@Example.COM":         "example.com/ann",
		"ann@example.com.":        "example.com/ann",
		"a+b@example.com":         "example.com/a+b",
		"ä@bücher.example":        "xn--bcher-kva.example/ä",
		"a/b@example.com":         "example.com/a%2Fb",
		".a.@example.com":         "example.com/%2Ea.",
		"../../etc@example.com":   "example.com/%2E.%2F..%2Fetc",
		"..@example.com":          "example.com/%2E.",
		"100%@example.com":        "example.com/100%25",
		"a%2Fb@example.com":       "example.com/a%252fb",
		"\"a b\"@example.com":     "example.com/\"a b\"",
		"a\x00\n\x7f@example.com": "example.com/a%00%0A%7F",
		"x@y@example.com":         "example.com/x@y",
	} {
		if maildirpp.NotInFileNames != "" && (strings.Contains(address, `"`) || strings.HasPrefix(address, ".")) {
			continue // other characters are escaped as well here
		}
		got, err := AccountPath(address)
		require.NoError(t, err, address)
		require.Equal(t, filepath.FromSlash(want), got, address)
	}
	for _, address := range []string{"", "ann", "@example.com", "ann@", "ann@.", "ann@..", "ann@a/b", "ann@../x", "ann@a b", "a\xff@example.com",
		strings.Repeat("x", 256) + "@example.com", "a@[192.0.2.1]", "ann@exa\nmple.com"} {
		_, err := AccountPath(address)
		require.Error(t, err, "%q", address)
	}
}

func FuzzAccountPath(f *testing.F) {
	f.Add("Ann@Example.com")
	f.Add("../..@x/y")
	f.Fuzz(func(t *testing.T, address string) {
		path, err := AccountPath(address)
		if err != nil {
			return
		}
		require.True(t, filepath.IsLocal(path))
		require.Len(t, strings.Split(filepath.ToSlash(path), "/"), 2)
		require.False(t, strings.HasPrefix(filepath.Base(path), "."))
		require.False(t, strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }))
	})
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"1.M2P3.h,S=5,W=6:2,FRS": "1.M2P3.h,S=5,W=6 FRS", "1.h:2,": "1.h ", "1.h": "1.h ", "1.h:1,x": "1.h ", "1.h;2,Sa": "1.h Sa",
		"1.h:2,SF": "1.h FS", "1.h:2,zZ?aD": "1.h Daz", "1.h:": "1.h ", "1.h:2,PS": "1.h PS",
		"1.a;b:2,S": "1.a;b S", "1.a;b": "1.a;b ", "1.h:2,S:2,F": "1.h FS", "1.h;2,S:2,F": "1.h FS", "1.h:1,x:2,S": "1.h ", ":2,S": ":2,S ",
	} {
		base, f := splitName(name)
		require.Equal(t, want, base+" "+f.String(), name)
		again, _ := splitName(base)
		require.Equal(t, base, again, "what is kept of %q", name)
	}
	for name, want := range map[string]int64{"1.h,S=5,W=6": 6, "1.h,W=6,S=5": 6, "1.h,W=": -1, "1.h,W=x": -1, "1.h,W=-5": -1, "W=5": -1, "1.h,S=5": -1,
		"1.h,W=99999999999999999999": -1, "1.h,,W=7": 7, "1.h,XW=3": -1} {
		n, ok := nameSize(name, 'W')
		if !ok {
			n = -1
		}
		require.Equal(t, want, n, name)
	}
	n := newNamer()
	var names []string
	for range 1000 {
		names = append(names, n.next())
	}
	require.True(t, slices.IsSortedFunc(names, nameOrder), "in the order in which they were made")
	require.Len(t, slices.Compact(names), 1000)
	require.Equal(t, "a.b-c_d__", cleanHost("a.b-c_d/:"))
	require.Equal(t, "localhost", cleanHost(""))
	require.Len(t, cleanHost(strings.Repeat("h", 500)), 64)
	inOrder := []string{"9.x", "10.M5P1.x", "10.M40P1.x", "10.M40P1Q2.x", "10.M40P1Q10.x", "11.a", "11.b"}
	shuffled := []string{inOrder[3], inOrder[6], inOrder[0], inOrder[2], inOrder[5], inOrder[4], inOrder[1]}
	slices.SortFunc(shuffled, nameOrder)
	require.Equal(t, inOrder, shuffled)
}

func TestUIDList(t *testing.T) {
	t.Parallel()
	list, err := parseUIDList([]byte("3 V7 N2 Gabc\n1 :1.h\n2 W9 Pfoo Xbar M5 D-3 LSa :2.h,W=8\n9 M1 :3.h:2,S\n"))
	require.NoError(t, err)
	require.False(t, list.damaged)
	require.Equal(t, uint32(10), list.next, "the header may be behind")
	require.Equal(t, uint32(7), list.validity)
	require.Equal(t, "abc", list.guid)
	require.Equal(t, uidLine{uid: 1, base: "1.h", date: noDate, size: -1}, list.lines[0])
	require.Equal(t, uidLine{uid: 2, base: "2.h,W=8", modseq: 5, date: -3, size: 9, flags: parseFlags("Sa"), other: "Pfoo Xbar "}, list.lines[1])
	require.Equal(t, "2 M5 D-3 LSa W9 Pfoo Xbar :2.h,W=8\n", string(list.lines[1].appendTo(nil)))
	require.Equal(t, "3.h", list.lines[2].base)

	list, err = parseUIDList([]byte("1 77 5\n3 1.h\n4 2.h:2,S\n"))
	require.NoError(t, err)
	require.Equal(t, uint32(77), list.validity)
	require.Len(t, list.lines, 2)
	require.Equal(t, "2.h", list.lines[1].base)

	for _, bad := range []string{"", "3 V7", "\n", "3\n", "x V1\n", "3 N5\n", "3 V0\n", "1 2\n", "3 V99999999999\n", "3 V1\n4294967295 :x\n"} {
		_, err := parseUIDList([]byte(bad))
		require.Error(t, err, "%q", bad)
	}
	list, err = parseUIDList([]byte("3 V7 N2\n5 :a\nbad\n6 :b\nbad\nbad\n"))
	require.NoError(t, err)
	require.EqualValues(t, 9, list.next, "the bad lines behind the last may have been those of 7 and 8")
	_, err = parseUIDList([]byte("4 V1 N1\n"))
	require.ErrorIs(t, err, errNewer)
}

func FuzzUIDList(f *testing.F) {
	f.Add([]byte("3 V7 N2 Gabc\n1 :1.h\n2 W9 Pfoo M5 D-3 LSa :2.h,W=8\n"))
	f.Add([]byte("1 77 5\n3 1.h\n"))
	f.Add([]byte("3 V7\n1 :1.a;b:2,S\n2 :2.h:1,x:2,S\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseUIDList(data)
		if err != nil {
			return
		}
		out := list.header()
		last := uint32(0)
		for i := range list.lines {
			l := &list.lines[i]
			require.Greater(t, l.uid, last)
			last = l.uid
			require.Less(t, l.uid, list.next)
			require.True(t, validBase(l.base))
			out = l.appendTo(out)
		}
		again, err := parseUIDList(out)
		require.NoError(t, err)
		require.Equal(t, list.next, again.next)
		require.Len(t, again.lines, len(list.lines))
		for i := range list.lines {
			require.Equal(t, list.lines[i].base, again.lines[i].base)
		}
	})
}

func TestIndex(t *testing.T) {
	t.Parallel()
	log := appendIndexHeader(nil, 7, 100)
	log = appendFlagsLine(log, 3, 101, parseFlags("Sa"), []string{"one", "two"})
	log = appendFlagsLine(log, 4, 102, 0, nil)
	log = appendExpungeLine(log, 'x', 103, []uint32{4, 5, 6, 9})
	log = append(log, "d\n"...)
	log = appendExpungeLine(log, 'v', 104, []uint32{10})
	log = appendExpungeLine(log, 'x', 104, []uint32{11})
	log = appendNumberLine(log, 'r', 5)
	log = appendNumberLine(log, 'm', 200)
	require.Equal(t, "mailbricks-index 2 V7 B100\nf 3 101 Sa one two\nf 4 102 -\nx 103 4-6,9\nd\nv 104 10\nx 104 11\nr 5\nm 200\n", string(log))
	x, err := parseIndex(log)
	require.NoError(t, err)
	require.Equal(t, &index{
		validity: 7, base: 100, modseq: 200, recent: 5, lines: 8,
		flags:    map[uint32]indexFlags{3: {101, parseFlags("Sa"), []string{"one", "two"}}},
		expunged: []expunged{{103, 4}, {103, 5}, {103, 6}, {103, 9}, {104, 10}, {104, 11}},
		largest:  11,
		doomed:   map[uint32]bool{11: true},
	}, x)
	for _, tail := range []string{"f 1", "f 1 2\n", "f x 2 -\n", "x 1 5-1\n", "x 1 1-99999999\n", "x 1 a\n", "q\n", "q 1\n", "\n", "r x\n", "m\n", "x 99999999999999999999 1\n", "m 4611686018427387905\n"} {
		x, err := parseIndex(append(slices.Clone(log), tail...))
		require.NoError(t, err)
		require.True(t, x.damaged, "%q", tail)
		require.Equal(t, strings.HasSuffix(tail, "\n"), x.broken, "%q", tail)
		require.Equal(t, 8, x.lines)
	}
	for _, bad := range []string{"", "mailbricks-index 1 V1 B1", "other 1 V1 B1\n", "mailbricks-index 1 V1\n", "mailbricks-index 1 Vx B1\n", "mailbricks-index 1 V1 B99999999999999999999\n"} {
		_, err := parseIndex([]byte(bad))
		require.Error(t, err, "%q", bad)
		require.NotErrorIs(t, err, errNewer)
	}
	_, err = parseIndex([]byte("mailbricks-index 3\n"))
	require.ErrorIs(t, err, errNewer)
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("mailbricks-index 2 V7 B100\nf 3 101 Sa one two\nx 103 4-6,9\nd\nr 5\nm 200\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parseIndex(data)
		if err != nil {
			return
		}
		for _, e := range x.expunged {
			require.LessOrEqual(t, e.modseq, x.modseq)
		}
		for uid, fl := range x.flags {
			require.LessOrEqual(t, fl.modseq, x.modseq)
			again, err := parseIndex(appendFlagsLine(appendIndexHeader(nil, 1, 1), uid, fl.modseq, fl.flags, fl.keywords))
			require.NoError(t, err)
			require.Equal(t, fl, again.flags[uid])
		}
	})
}

func TestKeywordsFile(t *testing.T) {
	t.Parallel()
	k := parseKeywords([]byte("0 $Forwarded\n2 Junk\n25 last\n26 beyond\n-1 x\nx y\n3 a b\n4 \\Seen\n5\n"))
	require.Equal(t, "0 $Forwarded\n2 Junk\n25 last\n", string(k.format()))
	fl := parseFlags("SacdzP")
	require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, "$Forwarded", "Junk", "last"}, k.decode(fl, nil))
	require.Equal(t, "Pd", k.unnamed(fl).String(), "what nobody named stays")
	unused := func() flags { return 0 }
	more, err := k.with([]mailbox.Flag{"JUNK", mailbox.Draft, "b", "c"}, unused)
	require.NoError(t, err)
	require.Equal(t, mailbox.Flag("b"), more.letters[1])
	require.Empty(t, k.letters[1], "the old ones are not changed")
	same, err := more.with([]mailbox.Flag{"B", "junk"}, unused)
	require.NoError(t, err)
	require.Same(t, more, same)
	var many []mailbox.Flag
	for n := range maxKeywords {
		many = append(many, mailbox.Flag(fmt.Sprintf("k%d", n)))
	}
	full, err := (&keywords{}).with(many, unused)
	require.NoError(t, err)
	fl, extra := full.encode(many)
	require.ElementsMatch(t, many, full.decode(fl, extra))
	_, err = full.with([]mailbox.Flag{"one more"}, unused)
	require.ErrorIs(t, err, mailbox.ErrFlags)
}

func TestSubscriptionsFile(t *testing.T) {
	t.Parallel()
	names, err := parseSubscriptions([]byte("V\t2\n\nJunk\nArchive\t2024\n&ZeVnLIqe-\n\nbad\t\tlevel\nJunk\ninbox\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"Junk", "Archive/2024", "日本語", "INBOX"}, names)
	names, err = parseSubscriptions([]byte("Junk\nArchive.2024\nEntw&APw-rfe"))
	require.NoError(t, err)
	require.Equal(t, []string{"Junk", "Archive/2024", "Entwürfe"}, names)
	_, err = parseSubscriptions([]byte("V\t3\n\nJunk\n"))
	require.ErrorIs(t, err, errNewer)
}

func FuzzSubscriptions(f *testing.F) {
	f.Add([]byte("V\t2\n\nJunk\nArchive\t2024\n&ZeVnLIqe-\n"))
	f.Add([]byte("Junk\nArchive.2024\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseSubscriptions(data)
		if err != nil {
			return
		}
		again, err := parseSubscriptions(maildirpp.FormatSubscriptions(names))
		require.NoError(t, err)
		require.Equal(t, names, again)
	})
}

func TestSizeFile(t *testing.T) {
	t.Parallel()
	u, ok := parseSize("1000S\n500 2\n-100 -1\n", mailbox.Limit{Octets: 1000})
	require.True(t, ok)
	require.Equal(t, usage{400, 1}, u)
	for _, bad := range []string{"", "1000S\n", "999S\n5 1\n", "1000S,10C\n5 1\n", "1000S\n5\n", "1000S\nx 1\n", "1000S\n5 1", "1000S\n-5 1\n", "1000S\n5 1\n6 1 1\n"} {
		_, ok := parseSize(bad, mailbox.Limit{Octets: 1000})
		require.False(t, ok, "%q", bad)
	}
}

// What is shown of a file is what replacing each bare LF by CRLF gives, wherever one reads.
func TestContentWithLineFeeds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
			"\n", "\r", "\r\n", "x", "ab", strings.Repeat("y", crlfPiece-2), strings.Repeat("z\n", 3000), "\r\r\n", strings.Repeat("w", crlfPiece-1),
		}), 0, 12).Draw(t, "pieces")
		raw := strings.Join(pieces, "")
		want := strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n")
		fsys := crashfs.New()
		require.NoError(t, durable.WriteFile(fsys, "/m", []byte(raw), 0o600))
		c, err := openContent(fsys, "/m", -1)
		require.NoError(t, err)
		defer c.Close()
		require.EqualValues(t, len(want), c.Size())
		off := rapid.IntRange(0, len(want)).Draw(t, "offset")
		buf := make([]byte, rapid.IntRange(1, 100_000).Draw(t, "length"))
		n, err := c.ReadAt(buf, int64(off))
		require.Equal(t, min(len(buf), len(want)-off), n)
		require.True(t, want[off:off+n] == string(buf[:n]))
		if n < len(buf) {
			require.Equal(t, io.EOF, err)
		}
	})
}

func TestContentReader(t *testing.T) {
	t.Parallel()
	raw := "Subject: x\n\n" + strings.Repeat("line\nother line\r\n", 150)
	want := []byte(strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n"))
	path := filepath.Join(t.TempDir(), "m")
	require.NoError(t, os.WriteFile(path, []byte(raw), 0o600))
	c, err := openContent(durable.OS(), path, -1)
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(io.NewSectionReader(c, 0, c.Size()), want))
	require.NoError(t, os.Truncate(path, 100))
	_, err = io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	require.Error(t, err, "a file that became shorter is an error, not a short message")
	require.NoError(t, c.Close())
	_, err = openContent(durable.OS(), filepath.Dir(path), -1)
	require.Error(t, err)
}

func TestCountBare(t *testing.T) {
	t.Parallel()
	text := []byte("\n\r\n\r\r\n\nx\r")
	for size := 1; size <= len(text); size++ {
		cr, n := false, 0
		for piece := range slices.Chunk(text, size) {
			n += countBare(piece, &cr)
		}
		require.Equal(t, 2, n, "in pieces of %d", size)
	}
	require.Equal(t, 2, bytes.Count(bytes.ReplaceAll(text, []byte("\r\n"), nil), []byte("\n")))
}
