package mimeindex_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

func summarize(t testing.TB, message []byte) []byte {
	t.Helper()
	data, err := mimeindex.Summarize(bytes.NewReader(message))
	require.NoError(t, err)
	return data
}

// repaired is a message as CRLFReader makes it.
func repaired(t testing.TB, message []byte) []byte {
	t.Helper()
	b, err := io.ReadAll(mimeindex.CRLFReader(bytes.NewReader(message)))
	require.NoError(t, err)
	return b
}

// outline is all that can be seen of a tree but envelopes.
func outline(root *mimeindex.Part) string {
	var b strings.Builder
	root.Walk(func(path []int, p *mimeindex.Part) bool {
		fmt.Fprintln(&b, path, p.HeaderOffset(), p.HeaderSize(), p.HeaderLines(), p.HeaderBareLF(), p.BodyOffset(), p.BodySize(), p.BodyLines(),
			p.BodyBareLF(), p.Type, p.Subtype, p.Params, p.ID, p.Description, p.MD5, p.Location, p.Encoding, p.Disposition, p.DispositionParams,
			p.Language, len(p.Children), p.Opaque)
		return true
	})
	return b.String()
}

// requireSummary wants a summary to say of a message what Parse says, and to be the same however the message comes.
func requireSummary(t testing.TB, message []byte) {
	t.Helper()
	data := summarize(t, message)
	whole := repaired(t, message)
	require.Equal(t, data, summarize(t, whole), "with CRLF")
	w := mimeindex.NewSummaryWriter()
	for rest := message; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(100))
		_, _ = w.Write(rest[:n])
		rest = rest[n:]
	}
	require.Equal(t, data, w.Data(), "written in pieces")
	s, err := mimeindex.ReadSummary(data)
	if errors.Is(err, mimeindex.ErrNoSummary) {
		require.Len(t, data, 2)
		return
	}
	require.NoError(t, err)
	root := parse(t, whole)
	require.EqualValues(t, len(whole), s.Size)
	require.Equal(t, root.HeaderSize(), s.HeaderSize)
	require.Equal(t, string(root.Envelope.Append(nil)), string(s.Envelope))
	require.Equal(t, string(root.AppendBody(nil, mimeindex.Extended)), string(s.Structure))
	tree, err := s.Root()
	require.NoError(t, err)
	require.Equal(t, outline(root), outline(tree))
	for _, format := range []mimeindex.BodyFormat{mimeindex.Basic, mimeindex.Extended, mimeindex.Basic | mimeindex.Global} {
		require.Equal(t, string(root.AppendBody(nil, format)), string(tree.AppendBody(nil, format)))
	}
	header := mimeindex.Header(whole[:min(root.HeaderSize(), mimeindex.DefaultHeaderBytes)])
	for _, name := range []string{"from", "SUBJECT", "Date", "Content-Type", "References", "X-Label", "DKIM-Signature", "Received", ""} {
		names := mimeindex.NewNames(name)
		require.Equal(t, s.Has(name), s.HasAll(names))
		if s.Has(name) {
			require.Equal(t, string(header.Subset(names, false)), string(s.Fields().Subset(names, false)))
		}
	}
}

func TestSummarySaysWhatParseSays(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"nothing":            "",
		"an empty line":      "\n",
		"no line end":        "Subject: x",
		"no end of header":   "Subject: x\n",
		"a letter":           string(letter(3000)),
		"nested":             string(nested(50)),
		"a lone CR":          "Subject: a\rb\n\nx\r\r\n\r",
		"fields around":      "Received: a\nSubject: a\n b\nX-Y: z\nsubject: c\nno field\n d\nTo: e\n\nx",
		"a message in it":    "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: y\n\nx\n--a\nContent-Type: message/global\n\nTo: z\n\n--a--\n",
		"all of Content":     "Content-Type: multipart/x; boundary=a\nContent-Language: en, de\nContent-Location: l\n\n--a\nContent-ID: i\nContent-MD5: m\nContent-Description: d\nContent-Disposition: attachment; filename=f\n\nx",
		"empty Content":      "Content-ID:\nContent-Description:\nContent-Location:\nContent-Language: ,\nContent-Disposition: ;\n\nx",
		"a long line":        "Subject: " + strings.Repeat("x", 200_000) + "\n\n" + strings.Repeat("y", 200_000) + "\nz",
		"CR before the edge": "a: " + strings.Repeat("x", 64<<10-4) + "\r\n\r\n" + strings.Repeat("y", 64<<10-1) + "\r\nz",
		"a large header":     strings.Repeat("X-A: "+strings.Repeat("x", 60)+"\n", 5000) + "Subject: behind\n\nx",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireSummary(t, []byte(message))
			requireSummary(t, crlf(message))
		})
	}
}

// TestSummaryFormat: what has been written can be read, and is written as before.
func TestSummaryFormat(t *testing.T) {
	t.Parallel()
	const message = "Received: x\nDKIM-Signature: d\nFrom: a@b\nContent-Type: multipart/mixed; boundary=A\n\n--A\nContent-Language: de\n\nx\n" +
		"--A\nContent-Type: message/rfc822\nContent-ID: i\nContent-Disposition: inline; filename=f\n\n" +
		"Subject: y\nContent-Type: text/html; charset=utf-8\n\nz\n--A--\n"
	const want = "\x01\x01\x95\x02XY(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)" +
		"\xb9\x02((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL (\"de\") NIL)(\"message\" \"rfc822\" NIL \"i\" NIL \"7bit\"" +
		" 55 (NIL \"y\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) 3 NIL" +
		" (\"inline\" (\"filename\" \"f\")) NIL NIL) \"mixed\" (\"boundary\" \"A\") NIL NIL NIL)" +
		"\xff\xff\xff\xff\xff\xff\xff\xff\aIDKIM-Signature: d\r\nFrom: a@b\r\nContent-Type: multipart/mixed; boundary=A\r\n" +
		"\x00\x00\x00X\x05\xbd\x01\x0e\x15\x19\x01\x1d\x02A\v\x02 \x05\x01\x18\x02\x01\x00\x01\x03\x00\v\x01\x04de\x00" +
		"\x11\a\x02X\x047\x03;=\x00\v\x02i5\x011\x02f\x01@\x00\x006\x03\x01\x00\x01\x13\x01\x05\a\v)(NIL \"y\" NIL NIL NIL NIL NIL NIL NIL NIL)\x00"
	require.Equal(t, want, string(summarize(t, []byte(message))))
}

func TestSummariesOfSuites(t *testing.T) {
	t.Parallel()
	for file, message := range suiteMessages(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			requireSummary(t, message)
		})
	}
}

func TestSummaryOfFields(t *testing.T) {
	t.Parallel()
	read := func(message string) mimeindex.Summary {
		s, err := mimeindex.ReadSummary(summarize(t, crlf(message)))
		require.NoError(t, err)
		return s
	}
	s := read("DKIM-Signature: a\n b\nFrom: x\nReceived: y\nfrom: z\n\n")
	require.Equal(t, "DKIM-Signature: a\r\n b\r\nFrom: x\r\nfrom: z\r\n", string(s.Fields()))
	require.True(t, s.Has("From") && s.Has("fRoM") && s.Has("dkim-signature") && s.Has("Subject"))
	require.False(t, s.Has("Received") || s.Has("") || s.Has("X-Else") || s.Has(strings.Repeat("from", 20)))

	long := strings.Repeat("x", 3000)
	s = read("DKIM-Signature: " + long + "\nReferences: " + long + "\nSubject: a\n\n")
	require.True(t, s.Has("references") && s.Has("subject"), "what is asked for most stays")
	require.False(t, s.Has("dkim-signature"))
	s = read("References: " + long + "\nReferences: " + long + "\nDKIM-Signature: a\n\n")
	require.False(t, s.Has("references"), "all fields of a name, or none")
	require.Equal(t, "DKIM-Signature: a\r\n", string(s.Fields()))
}

// TestSummaryIsSmall: what a summary of a message with the usual few fields takes, without these fields.
func TestSummaryIsSmall(t *testing.T) {
	t.Parallel()
	data := summarize(t, crlf("From: Joe Doe <joe@example.com>\nTo: Ann <ann@example.com>, Bob <bob@example.com>\nSubject: about the thing\n"+
		"Date: Tue, 1 Feb 1994 23:00:00 +0000\nMessage-ID: <CAAvj+xYZ1234567890@mail.example.com>\nMIME-Version: 1.0\n"+
		"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nSome text.\n"))
	s, err := mimeindex.ReadSummary(data)
	require.NoError(t, err)
	require.LessOrEqual(t, len(data)-len(s.Fields()), 450)
}

// TestSummaryHasItsLimit: no message makes a summary that is larger than the limit.
func TestSummaryHasItsLimit(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"To: " + strings.Repeat("a,", 50_000) + "\n\n",
		"Subject: " + strings.Repeat("\"", mimeindex.MaxSummary) + "\n\n",
		"Content-Type: multipart/x; boundary=a\n\n" + strings.Repeat("--a\n\nx\n", 3000),
		"Content-Type: text/plain" + strings.Repeat("; a=b", 30_000) + "\n\n",
	} {
		data := summarize(t, []byte(message))
		_, err := mimeindex.ReadSummary(data)
		require.ErrorIs(t, err, mimeindex.ErrNoSummary)
		require.Len(t, data, 2)
	}
}

func TestSummarizeGivesTheErrorOfItsReader(t *testing.T) {
	t.Parallel()
	for _, r := range []io.Reader{iotest.ErrReader(io.ErrUnexpectedEOF), io.MultiReader(strings.NewReader("a: b\n\nx"), iotest.ErrReader(io.ErrUnexpectedEOF))} {
		_, err := mimeindex.Summarize(r)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func TestSummaryWriterEndsWithData(t *testing.T) {
	t.Parallel()
	w := mimeindex.NewSummaryWriter()
	_, _ = io.WriteString(w, "Subject: a\r\n\r\nx")
	data := bytes.Clone(w.Data())
	n, err := io.WriteString(w, "more")
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.Equal(t, data, w.Data())
	require.Equal(t, summarize(t, []byte("Subject: a\r\n\r\nx")), data)
}

// TestDamagedSummaries: whatever octet changes and wherever the data ends, nothing worse than an error comes of it.
func TestDamagedSummaries(t *testing.T) {
	t.Parallel()
	data := summarize(t, crlf("From: a@b\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: y\n\nx\n--a\n\nz\n--a--"))
	useSummary(data)
	for n := range data {
		_, err := mimeindex.ReadSummary(data[:n])
		if err == nil {
			s, _ := mimeindex.ReadSummary(data[:n])
			_, err = s.Root()
		}
		require.ErrorIs(t, err, mimeindex.ErrSummary, "cut after %d", n)
	}
	for i := range data {
		for _, change := range []byte{1, 2, 0x80, 0xff} {
			damaged := bytes.Clone(data)
			damaged[i] ^= change
			useSummary(damaged)
		}
	}
	_, err := mimeindex.ReadSummary(append([]byte{2}, data[1:]...))
	require.ErrorIs(t, err, mimeindex.ErrSummary, "another version")
	s, err := mimeindex.ReadSummary(append(bytes.Clone(data), 0))
	require.NoError(t, err)
	_, err = s.Root()
	require.ErrorIs(t, err, mimeindex.ErrSummary, "something behind the end")
}

// useSummary does all that can be done with one.
func useSummary(data []byte) (parts int) {
	s, err := mimeindex.ReadSummary(data)
	if err != nil {
		return 0
	}
	_ = s.Has("from")
	_ = s.Fields().Envelope().Append(nil)
	root, err := s.Root()
	if err != nil {
		return 0
	}
	_ = root.AppendBody(nil, mimeindex.Extended|mimeindex.Global)
	root.Walk(func(path []int, p *mimeindex.Part) bool {
		parts++
		for _, spec := range []mimeindex.Specifier{mimeindex.Body, mimeindex.HeaderText, mimeindex.Text, mimeindex.MIME} {
			if off, n, ok := root.Section(path, spec); ok && (off < 0 || n < 0 || off+n > s.Size) {
				panic(fmt.Sprint("section outside of the message: ", path, spec, off, n))
			}
		}
		return true
	})
	return parts
}

func FuzzReadSummary(f *testing.F) {
	for _, message := range []string{"", "Subject: x\n\ny", string(letter(100)), string(nested(5)), "Content-Type: message/global\n\nTo: z\n\n"} {
		f.Add(summarize(f, []byte(message)))
	}
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, data []byte) { require.LessOrEqual(t, useSummary(data), len(data)) })
}

func FuzzSummarize(f *testing.F) {
	for _, message := range []string{"", "Subject: x\n\ny", string(letter(100)), string(nested(5)), "Content-Type: message/global\n\nTo: z\n\n"} {
		f.Add([]byte(message))
	}
	f.Fuzz(func(t *testing.T, message []byte) { requireSummary(t, message) })
}

func BenchmarkSummarize(b *testing.B) {
	for name, message := range map[string][]byte{"4KiB": letter(3000), "1MiB": letter(1 << 20), "LF": bytes.ReplaceAll(letter(1<<20), []byte("\r"), nil)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := mimeindex.Summarize(bytes.NewReader(message)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadSummary(b *testing.B) {
	data := summarize(b, letter(3000))
	for name, whole := range map[string]bool{"listing": false, "tree": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := mimeindex.ReadSummary(data)
				if err == nil && whole {
					_, err = s.Root()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
