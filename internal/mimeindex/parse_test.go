package mimeindex_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/mimetext"
)

// crlf writes a message with LF line ends as it goes over the wire.
func crlf(s string) []byte { return toCRLF([]byte(s)) }

func body(t testing.TB, message string) string {
	t.Helper()
	return string(parse(t, crlf(message)).AppendBody(nil, mimeindex.Basic))
}

func TestParseStructures(t *testing.T) {
	t.Parallel()
	const empty = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)`
	const one = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0)`
	for name, test := range map[string]struct{ message, want string }{
		"nothing":                     {"", empty},
		"an empty line":               {"\n", empty},
		"a header without end":        {"Subject: x", empty},
		"no header":                   {"\nx", one},
		"no type":                     {"Subject: x\n\nx", one},
		"a line without colon":        {"Subject: x\nno field\n folded\nContent-Type: text/html\n\nx", strings.Replace(one, "plain", "html", 1)},
		"an mbox line":                {"From a@b\nContent-Type: text/html\n\nx", strings.Replace(one, "plain", "html", 1)},
		"a blank before the name":     {" Content-Type: text/html\nSubject: x\n\nx", one},
		"a blank before the colon":    {"Content-Type : text/html\n\nx", strings.Replace(one, "plain", "html", 1)},
		"the first type counts":       {"Content-Type: text/html\nContent-Type: image/png\n\nx", strings.Replace(one, "plain", "html", 1)},
		"text of RFC 1049":            {"Content-Type: text\n\nx", one},
		"no media type":               {"Content-Type: ;charset=x\n\nx", one},
		"no subtype":                  {"Content-Type: image\n\nx", `("image" "" NIL NIL NIL "7bit" 1)`},
		"two encodings":               {"Content-Transfer-Encoding: 7bit base64\n\nx", one},
		"an encoding with comments":   {"Content-Transfer-Encoding: (a) Base64 (b)\n\nx", strings.Replace(one, "7bit", "Base64", 1)},
		"multipart without boundary":  {"Content-Type: multipart/mixed\n\n--a\n\nx", `(` + empty + ` "mixed")`},
		"multipart with empty one":    {"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx", `(` + empty + ` "mixed")`},
		"multipart without parts":     {"Content-Type: multipart/mixed; boundary=a\n\nx\n", `(` + empty + ` "mixed")`},
		"multipart without subtype":   {"Content-Type: multipart; boundary=a\n\n--a\n\nx\n--a--", `(` + one + ` "mixed")`},
		"a boundary without quote":    {"Content-Type: multipart/mixed; boundary=\"a; x=y\n\n--a\n\nx\n--a--", `(` + one + ` "mixed")`},
		"a doubled semicolon":         {"Content-Type: multipart/mixed;; boundary=a;\n\n--a\n\nx\n--a--", `(` + one + ` "mixed")`},
		"two boundaries":              {"Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--b\n--a\n\nx\n--a--", `(` + one + ` "mixed")`},
		"a boundary with blanks":      {"Content-Type: multipart/mixed; boundary=\"a b\"\n\n--a b \t\n\nx\n--a b--  \n", `(` + one + ` "mixed")`},
		"a delimiter with more":       {"Content-Type: multipart/mixed; boundary=a\n\n--abc\n\nx\n--a--", `(` + one + ` "mixed")`},
		"a delimiter that is the end": {"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a", `(` + one + ` "mixed")`},
		"no last delimiter":           {"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx", `(` + one + ` "mixed")`},
		"a delimiter in an epilogue":  {"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a--\n--a\n\ny", `(` + one + ` "mixed")`},
		"a delimiter in a header":     {"Content-Type: multipart/mixed; boundary=a\n\n--a\nX: y\n--a\n\nx\n--a--", `(` + empty + one + ` "mixed")`},
		"delimiters only":             {"Content-Type: multipart/mixed; boundary=a\n\n--a\n--a\n--a\n--a--\n", `(` + empty + empty + empty + ` "mixed")`},
		"a digest": {"Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: y\n\nx\n--a\nContent-Type: text/plain\n\nx\n--a--",
			`(("message" "rfc822" NIL NIL NIL "7bit" 15 (NIL "y" NIL NIL NIL NIL NIL NIL NIL NIL) ` + one + ` 2)` + one + ` "digest")`},
		"the longest boundary that fits": {"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--abc\n\nx\n--ab\n\nx\n--a--",
			`((` + one + one + ` "mixed") "mixed")`},
		"the whole line before the longest": {"Content-Type: multipart/mixed; boundary=a--\n\n--a--\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a--\n--a--\n\nx\n--a----",
			`((` + one + ` "mixed")` + one + ` "mixed")`},
		"an outer delimiter ends all inside": {"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/x; boundary=c\n--a\n\nx\n--b\n",
			`((("message" "rfc822" NIL NIL NIL "7bit" 37 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) (` + empty + ` "x") 0) "mixed")` +
				strings.Replace(one, "1 0", "8 2", 1) + ` "mixed")`},
		"a message that ends with its header": {"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n--a--",
			`(("message" "rfc822" NIL NIL NIL "7bit" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ` + empty + ` 0) "mixed")`},
		"continuations are joined": {"Content-Type: text/plain; a*1=\"c \"; b=x; a*0=\"b\"; d*0*=us-ascii''%41; d*1=\"50%\"; e*1=x; f*=utf-8''%42\n\nx",
			`("text" "plain" ("b" "x" "e*1" "x" "f*" "utf-8''%42" "a" "bc " "d*" "us-ascii''%4150%25" "charset" "us-ascii") NIL NIL "7bit" 1 0)`},
		"parameters that are none": {"Content-Type: text/plain; a; b=; =c; \"d\"=e; f=g h; i=(j)k(1).txt; l==?utf-8?q?m?=; n=\"o\"p; (q) r (s) = (t) \"u\\\"v\"\n\nx",
			`("text" "plain" ("f" "g" "i" "k(1).txt" "l" "=?utf-8?q?m?=" "n" "o" "r" "u\"v" "charset" "us-ascii") NIL NIL "7bit" 1 0)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, body(t, test.message))
		})
	}
}

func TestExtensionData(t *testing.T) {
	t.Parallel()
	got := parse(t, crlf("Content-Type: multipart/mixed; boundary=a\nContent-Language: en, de-CH\nContent-Location: http://a/b\n\n--a\n"+
		"Content-Type: image/png; name=x.png\nContent-ID: <1@b>\nContent-Description: a\n picture\nContent-MD5: abc==\n"+
		"Content-Disposition: attachment; filename=\"x y.png\"; size=1\nContent-Language: en\nContent-Transfer-Encoding: base64\n\nx\n--a\n"+
		"Content-Disposition: ; filename=z\n\nx\n--a--")).AppendBody(nil, mimeindex.Extended)
	require.Equal(t, `(("image" "png" ("name" "x.png") "<1@b>" "a picture" "base64" 1 "abc==" ("attachment" ("filename" "x y.png" "size" "1")) ("en") NIL)`+
		`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL ("attachment" ("filename" "z")) NIL NIL)`+
		` "mixed" ("boundary" "a") NIL ("en" "de-CH") "http://a/b")`, string(got))
}

// TestGlobalMessage: message/global is a message for IMAP4rev2 only (RFC 9051 §7.5.2), and its parts have numbers for all.
func TestGlobalMessage(t *testing.T) {
	t.Parallel()
	root := parse(t, crlf("Content-Type: message/global\n\nSubject: y\n\nx"))
	require.Equal(t, `("message" "global" NIL NIL NIL "7bit" 15)`, string(root.AppendBody(nil, mimeindex.Basic)))
	require.Equal(t, `("message" "global" NIL NIL NIL "7bit" 15 (NIL "y" NIL NIL NIL NIL NIL NIL NIL NIL)`+
		` ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0) 2)`, string(root.AppendBody(nil, mimeindex.Global)))
	require.NotNil(t, root.Find([]int{1, 1}))
}

// TestBareLF: a file with LF line ends has the offsets of its bytes and the sizes that its text has with CRLF.
func TestBareLF(t *testing.T) {
	t.Parallel()
	message := []byte("Subject: x\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nx\ny\r\nz\n--a--\n")
	root := parse(t, message)
	require.Equal(t, `(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 2) "mixed")`, string(root.AppendBody(nil, mimeindex.Basic)))
	require.EqualValues(t, 3, root.HeaderBareLF())
	off, n, ok := root.Section([]int{1}, mimeindex.Body)
	require.True(t, ok)
	require.Equal(t, "x\ny\r\nz", string(message[off:off+n]))
	require.EqualValues(t, 1, root.Find([]int{1}).BodyBareLF())
	repaired, err := io.ReadAll(mimeindex.CRLFReader(iotest.OneByteReader(bytes.NewReader(message))))
	require.NoError(t, err)
	require.Equal(t, toCRLF(message), repaired)
	require.EqualValues(t, len(repaired), root.HeaderSize()+root.HeaderBareLF()+root.BodySize()+root.BodyBareLF())
}

// TestReaderDoesNotMatter: the structure is the same however the bytes arrive.
func TestReaderDoesNotMatter(t *testing.T) {
	t.Parallel()
	message := crlf("Content-Type: multipart/mixed; boundary=a\n\n" + strings.Repeat("p", 100_000) + "\n--a" + strings.Repeat(" ", 70_000) +
		"\nX: " + strings.Repeat("h", 100_000) + "\n\n" + strings.Repeat("b", 65_535) + "\nx\n--a--\nepilogue\n")
	want := parse(t, message)
	require.Len(t, want.Children, 1)
	require.EqualValues(t, 65_538, want.Children[0].BodySize())
	for name, r := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(bytes.NewReader(message)),
		"half":     iotest.HalfReader(bytes.NewReader(message)),
		"data err": iotest.DataErrReader(bytes.NewReader(message)),
	} {
		got, err := mimeindex.Parse(r, mimeindex.Limits{})
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
}

func TestReaderFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk")
	_, err := mimeindex.Parse(io.MultiReader(strings.NewReader("Subject: x\r\n"), iotest.ErrReader(broken)), mimeindex.Limits{})
	require.ErrorIs(t, err, broken)
	_, err = mimeindex.Parse(stuck{}, mimeindex.Limits{})
	require.ErrorIs(t, err, io.ErrNoProgress)
}

// stuck is a reader that never says anything.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func nested(depth int) []byte {
	var b strings.Builder
	for i := range depth {
		b.WriteString("Content-Type: multipart/mixed; boundary=" + boundary(i) + "\r\n\r\n--" + boundary(i) + "\r\n")
	}
	b.WriteString("\r\nx")
	return []byte(b.String())
}

func boundary(i int) string { return "b" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) }

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("depth", func(t *testing.T) {
		t.Parallel()
		root, err := mimeindex.Parse(bytes.NewReader(nested(50)), mimeindex.Limits{Depth: 3})
		require.NoError(t, err)
		deepest := root.Children[0].Children[0]
		require.True(t, deepest.Opaque)
		require.Empty(t, deepest.Children)
		require.Contains(t, string(root.AppendBody(nil, mimeindex.Basic)), `"application" "octet-stream" ("boundary" "bxxc")`)
	})
	t.Run("depth of messages", func(t *testing.T) {
		t.Parallel()
		root, err := mimeindex.Parse(strings.NewReader(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 50)), mimeindex.Limits{Depth: 3})
		require.NoError(t, err)
		require.True(t, root.Message().Message().Opaque)
	})
	t.Run("parts", func(t *testing.T) {
		t.Parallel()
		message := "Content-Type: multipart/mixed; boundary=a\r\n\r\n" + strings.Repeat("--a\r\n\r\nx\r\n", 50)
		root, err := mimeindex.Parse(strings.NewReader(message), mimeindex.Limits{Parts: 10})
		require.NoError(t, err)
		require.Len(t, root.Children, 9)
		require.EqualValues(t, 1, root.Children[8].BodySize())
		require.EqualValues(t, len(message)-45, root.BodySize())
	})
	t.Run("header", func(t *testing.T) {
		t.Parallel()
		message := crlf("Content-Type: multipart/mixed; boundary=a\nSubject: " + strings.Repeat("x", 5000) + "\nTo: a@b\n\n--a\n\nx\n--a--")
		root, err := mimeindex.Parse(bytes.NewReader(message), mimeindex.Limits{HeaderBytes: 100})
		require.NoError(t, err)
		require.Len(t, root.Children, 1)
		require.Len(t, root.Envelope.Subject.Value, 100-len("Content-Type: multipart/mixed; boundary=a\r\nSubject: "))
		require.Empty(t, root.Envelope.To)
		off, n, _ := root.Section(nil, mimeindex.HeaderText)
		require.True(t, bytes.HasSuffix(message[off:off+n], []byte("To: a@b\r\n\r\n")))
	})
	t.Run("headers together", func(t *testing.T) {
		t.Parallel()
		message := crlf("Content-Type: multipart/mixed; boundary=a\n\n" + strings.Repeat("--a\nContent-Type: text/html\n\nx\n", 5))
		root, err := mimeindex.Parse(bytes.NewReader(message), mimeindex.Limits{TotalHeaderBytes: 130})
		require.NoError(t, err)
		var types []string
		for _, part := range root.Children {
			types = append(types, part.Subtype)
		}
		require.Equal(t, []string{"html", "html", "html", "plain", "plain"}, types)
	})
}

// TestHostile: what tries to cost much costs no more than its size.
func TestHostile(t *testing.T) {
	t.Parallel()
	const megabyte = 1 << 20
	repeat := func(s string) string { return strings.Repeat(s, megabyte/len(s)) }
	multipart := "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
	for name, message := range map[string]string{
		"nested multiparts":          string(nested(4000)),
		"nested messages":            repeat("Content-Type: message/rfc822\r\n\r\n"),
		"no boundary":                "Content-Type: multipart/mixed\r\n\r\n" + repeat("--\r\n"),
		"no line end":                multipart + repeat("x"),
		"dashes":                     string(nested(100)) + repeat("\r\n--"),
		"delimiters":                 multipart + repeat("--a\r\n"),
		"delimiters and lines":       multipart + repeat("--a\r\n\r\n"),
		"fields":                     repeat("A:\r\n") + "\r\n",
		"folds":                      "Subject: x\r\n" + repeat(" \r\n"),
		"recipients":                 "To: " + repeat("a,") + "\r\n\r\n",
		"groups":                     "To: " + repeat("a:;") + "\r\n\r\n",
		"address specials":           "To: " + repeat("<") + repeat("\"") + repeat("(") + repeat("@") + "\r\n\r\n",
		"quotes without end":         "Content-Type: text/plain; " + repeat("a=\";") + "\r\n\r\n",
		"address quotes":             "To: " + repeat("\"a\\") + "\r\n\r\n",
		"encoded words":              "To: " + repeat("=?") + "\r\nSubject: " + repeat("=?a?q?") + "\r\n\r\n",
		"encoded words without end":  "Subject: " + repeat("=?a?q? ") + "\r\n\r\n",
		"encoded words after all":    "Subject: " + repeat("=?a?q? ") + "?= " + repeat("=?a?b?") + "\r\n\r\n",
		"subject blobs":              "Subject: " + repeat("[a]") + "\r\n\r\n",
		"subject leaders":            "Subject: " + repeat("re[a]:") + repeat("[fwd:") + repeat("(fwd)") + "\r\n\r\n",
		"routes and commas":          "To: " + repeat("<@a,") + "\r\n\r\n",
		"comments":                   "Content-Type: " + repeat("(") + "\r\nTo: " + repeat("()") + "\r\n\r\n",
		"continuations":              "Content-Type: text/plain" + repeat(";a*0=b") + "\r\n\r\n",
		"more continuations":         "Content-Type: text/plain" + repeat(";a*1=b;c*0*=d") + "\r\n\r\n",
		"lines without colon":        repeat("x\r\n") + "\r\n",
		"languages":                  "Content-Language: " + repeat("a,") + "\r\n\r\n",
		"semicolons":                 "Content-Type: a/b" + repeat(";") + "\r\n\r\n",
		"routes":                     "To: " + repeat("<@") + "\r\n\r\n",
		"domains":                    "To: a@" + repeat("b. ") + "\r\n\r\n",
		"words":                      "To: " + repeat("a ") + "\r\n\r\n",
		"a long boundary":            "Content-Type: multipart/mixed; boundary=" + strings.Repeat("a", 60000) + "\r\n\r\n--" + repeat("a"),
		"boundaries that look alike": string(alike(100)) + repeat("--"+strings.Repeat("a", 200)+"\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			root, err := mimeindex.Parse(strings.NewReader(message), mimeindex.Limits{HeaderBytes: 2 * megabyte, TotalHeaderBytes: 8 * megabyte})
			require.NoError(t, err)
			check(t, root, int64(len(message)))
			answer := root.AppendBody(nil, mimeindex.Extended)
			answer = root.Envelope.Append(answer)
			mimetext.BaseSubject(root.Envelope.Subject.Value)
			require.Less(t, len(answer), 40*len(message)+1000)
			require.Less(t, time.Since(start), time.Minute, "for %d octets", len(message)) // quadratic time is far more, a busy machine less
		})
	}
}

// alike are nested multiparts whose boundaries have the same start.
func alike(n int) []byte {
	var b strings.Builder
	for i := range n {
		name := strings.Repeat("a", 150) + strings.Repeat("b", i+1)
		b.WriteString("Content-Type: multipart/mixed; boundary=" + name + "\r\n\r\n--" + name + "\r\n")
	}
	return []byte(b.String())
}

// check says whether parts nest as they must: each inside its parent's body, in order, header before body.
func check(t testing.TB, p *mimeindex.Part, size int64) {
	t.Helper()
	require.EqualValues(t, 0, p.HeaderOffset())
	require.Equal(t, size, p.BodyOffset()+p.BodySize())
	parts := 0
	p.Walk(func(path []int, part *mimeindex.Part) bool {
		parts++
		require.Equal(t, part.HeaderOffset()+part.HeaderSize(), part.BodyOffset())
		for _, n := range []int64{part.HeaderSize(), part.HeaderLines(), part.HeaderBareLF(), part.BodySize(), part.BodyLines(), part.BodyBareLF()} {
			require.GreaterOrEqual(t, n, int64(0))
		}
		require.LessOrEqual(t, part.BodyBareLF(), part.BodyLines())
		require.LessOrEqual(t, part.BodyLines(), part.BodySize())
		at := part.BodyOffset()
		for _, child := range part.Children {
			require.GreaterOrEqual(t, child.HeaderOffset(), at)
			at = child.BodyOffset() + child.BodySize()
			require.LessOrEqual(t, at, part.BodyOffset()+part.BodySize())
		}
		found := p.Find(path)
		require.NotNil(t, found)
		if found.Message() == part { // the multipart of a message inside a part
			require.True(t, part.Is("multipart", ""))
		} else {
			require.Same(t, found, part)
		}
		return true
	})
	require.LessOrEqual(t, parts, mimeindex.DefaultParts+mimeindex.DefaultDepth+1)
}

// TestSuitesNeverFail goes through every message of the suites.
func TestSuitesNeverFail(t *testing.T) {
	t.Parallel()
	count := 0
	for _, message := range suiteMessages(t) {
		count++
		for _, m := range [][]byte{message, toCRLF(message), message[:len(message)/2]} {
			root := parse(t, m)
			check(t, root, int64(len(m)))
			_, rest, err := parseValue(root.AppendBody(nil, mimeindex.Extended))
			require.NoError(t, err)
			require.Empty(t, rest)
			_, rest, err = parseValue(root.Envelope.Append(nil))
			require.NoError(t, err)
			require.Empty(t, rest)
		}
	}
	require.Greater(t, count, 250)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nTo: a:b@c;\r\n\r\nx\r\n--a--\r\n"))
	f.Add([]byte("Content-Type: multipart/digest; boundary=\"a\r\n\r\n--a\r\n\r\nFrom: x\n\n--a\n--a--"))
	f.Add([]byte("To: \"a\\\"b\" (c (d)) <@r:\"e f\"@g>, h; i@[1.2.3.4]\r\nContent-Disposition: a; b*0*=c''%; b*1=d\r\n"))
	f.Add(nested(5))
	f.Fuzz(func(t *testing.T, message []byte) {
		root := parse(t, message)
		check(t, root, int64(len(message)))
		small, err := mimeindex.Parse(iotest.OneByteReader(bytes.NewReader(message)), mimeindex.Limits{})
		require.NoError(t, err)
		require.Equal(t, root, small)
		for _, format := range []mimeindex.BodyFormat{mimeindex.Basic, mimeindex.Extended, mimeindex.Extended | mimeindex.Global} {
			_, rest, err := parseValue(root.AppendBody(nil, format))
			require.NoError(t, err)
			require.Empty(t, rest)
		}
		v, rest, err := parseValue(root.Envelope.Append(nil))
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Len(t, v, 10)
		off, n, _ := root.Section(nil, mimeindex.HeaderText)
		require.LessOrEqual(t, len(mimeindex.Header(message[off:off+n]).Subset(mimeindex.NewNames(), true)), int(n)+4)
	})
}
