package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
)

// tarOf is the tar of an account.
func tarOf(t testing.TB, store mailbox.Store, compress bool) []byte {
	t.Helper()
	var out bytes.Buffer
	move(t, archive.NewTarWriter(&out, compress), archive.FromStore(store))
	return out.Bytes()
}

func TestTarIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	store := newStore()
	fill(t, store)
	for _, compress := range []bool{false, true} {
		require.Equal(t, sha256.Sum256(tarOf(t, store, compress)), sha256.Sum256(tarOf(t, store, compress)))
	}
}

// Any tar unpacks it: plain files, names that are safe everywhere, the date of a message on its file.
func TestTarIsReadableByOthers(t *testing.T) {
	t.Parallel()
	store := newStore()
	fill(t, store)
	require.NoError(t, store.(mailbox.Organizer).Create(t.Context(), "trash", ""))
	require.NoError(t, store.(mailbox.Organizer).Create(t.Context(), strings.Repeat("ü", 300), ""))
	r := tar.NewReader(bytes.NewReader(tarOf(t, store, false)))
	names := map[string]time.Time{}
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.Equal(t, byte(tar.TypeReg), h.Typeflag)
		for part := range strings.SplitSeq(h.Name, "/") {
			require.Less(t, len(part), 255)
			require.NotContains(t, []string{"", ".", ".."}, part)
			require.False(t, strings.ContainsAny(part, `\:*?"<>|`), part)
		}
		lower := strings.ToLower(h.Name)
		require.NotContains(t, names, lower)
		names[lower] = h.ModTime
		if h.Name == "INBOX/2.eml" {
			require.Equal(t, "$Forwarded work", h.PAXRecords["MAILBRICKS.flags"])
		}
	}
	require.True(t, names["inbox/1.eml"].Equal(day(1)))
	require.Contains(t, names, "inbox/mailbox.json")
	require.Contains(t, names, "end.json")
}

func TestTarKeepsAllThatAStoreTells(t *testing.T) {
	t.Parallel()
	store := newStore()
	fill(t, store)
	var want, have []archive.Entry
	for r, list := range map[archive.Reader]*[]archive.Entry{
		archive.FromStore(store): &want,
		archive.NewTarReader(bytes.NewReader(tarOf(t, store, true)), archive.Options{}): &have,
	} {
		for {
			e, err := r.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			if m := e.Message; m != nil {
				_, err := io.Copy(io.Discard, m.Content)
				require.NoError(t, err)
				m.Content, m.Where = nil, ""
				m.InternalDate, m.SaveDate = m.InternalDate.UTC(), m.SaveDate.UTC().Round(0)
				m.Flags = mailboxFlags(m.Flags)
			}
			*list = append(*list, e)
		}
		_, err := r.Next(t.Context())
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, r.Close())
	}
	require.Equal(t, want, have)
}

// mailboxFlags sorts flags.
func mailboxFlags(flags []mailbox.Flag) []mailbox.Flag {
	if len(flags) == 0 {
		return nil
	}
	out := append([]mailbox.Flag(nil), flags...)
	for i := range out {
		for j := range i {
			if out[i] < out[j] {
				out[i], out[j] = out[j], out[i]
			}
		}
	}
	return out
}

// A tar that was cut anywhere is noticed, and what came before is whole.
func TestATarThatWasCutShortIsNoticed(t *testing.T) {
	t.Parallel()
	store := newStore()
	put(t, store, "INBOX", "Subject: x\r\n\r\nbody\r\n", day(1))
	for _, compress := range []bool{false, true} {
		whole := tarOf(t, store, compress)
		end := len(whole)
		if !compress {
			end -= 1024 + 512 // what fills up the block of end.json, and two empty ones, say nothing new
		}
		step := 1 + end/400
		for n := 0; n < end; n += step {
			_, err := archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}),
				archive.NewTarReader(bytes.NewReader(whole[:n]), archive.Options{}), nil)
			require.ErrorIs(t, err, archive.ErrFormat, "%v %d of %d", compress, n, end)
			require.ErrorContains(t, err, "cut short", "%v %d of %d", compress, n, end)
		}
	}
}

// entryOf is a file of a tar that a test makes.
type entryOf struct {
	header  tar.Header
	content string
}

func file(name, content string) entryOf {
	return entryOf{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600}, content}
}

const (
	accountJSON = `{"format":"mailbricks-archive","version":1}`
	boxJSON     = `{"name":"INBOX"}`
	endJSON     = `{"mailboxes":1,"messages":1}`
	letter      = "Subject: x\r\n\r\n"
)

func tarWith(t testing.TB, entries ...entryOf) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		require.NoError(t, w.WriteHeader(&e.header))
		_, err := io.WriteString(w, e.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestHostileTars(t *testing.T) {
	t.Parallel()
	head, box := file("mailbricks-archive.json", accountJSON), file("INBOX/mailbox.json", boxJSON)
	message, end := file("INBOX/1.eml", letter), file("end.json", endJSON)
	pax := func(records map[string]string) entryOf {
		e := message
		e.header.Format, e.header.PAXRecords = tar.FormatPAX, records
		return e
	}
	good := tarWith(t, head, box, message, end)
	stats, err := archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}), archive.NewTarReader(bytes.NewReader(good), archive.Options{}), nil)
	require.NoError(t, err)
	require.Equal(t, 1, stats.Messages)

	for name, c := range map[string]struct {
		tar  []byte
		err  error
		says string
	}{
		"empty":            {nil, archive.ErrFormat, "cut short"},
		"no tar":           {bytes.Repeat([]byte("x"), 4096), archive.ErrFormat, "it is no tar"},
		"another tar":      {tarWith(t, file("hello", "x")), archive.ErrFormat, "hello"},
		"newer":            {tarWith(t, file("mailbricks-archive.json", `{"format":"mailbricks-archive","version":2}`)), archive.ErrVersion, "version 2"},
		"other format":     {tarWith(t, file("mailbricks-archive.json", `{"format":"x","version":1}`)), archive.ErrFormat, `"x"`},
		"no JSON":          {tarWith(t, file("mailbricks-archive.json", `{`)), archive.ErrFormat, "mailbricks-archive.json"},
		"path":             {tarWith(t, head, box, file("../../etc/passwd", letter)), archive.ErrFormat, "etc/passwd"},
		"absolute":         {tarWith(t, head, box, file("/etc/passwd.eml", letter)), archive.ErrFormat, "etc/passwd"},
		"below":            {tarWith(t, head, box, file("INBOX/../x.eml", letter)), archive.ErrFormat, "must"},
		"other folder":     {tarWith(t, head, box, file("Other/1.eml", letter)), archive.ErrFormat, "Other/1.eml"},
		"no mailbox":       {tarWith(t, head, message), archive.ErrFormat, "INBOX/1.eml"},
		"bad name":         {tarWith(t, head, file("x/mailbox.json", `{"name":"a//b"}`)), mailbox.ErrName, "a//b"},
		"control":          {tarWith(t, head, file("x/mailbox.json", `{"name":"a\u0000b"}`)), mailbox.ErrName, "x/mailbox.json"},
		"symbolic link":    {tarWith(t, head, box, entryOf{header: tar.Header{Typeflag: tar.TypeSymlink, Name: "INBOX/1.eml", Linkname: "/etc/passwd"}}), archive.ErrFormat, "no plain file"},
		"link":             {tarWith(t, head, box, entryOf{header: tar.Header{Typeflag: tar.TypeLink, Name: "INBOX/1.eml", Linkname: "/etc/passwd"}}), archive.ErrFormat, "no plain file"},
		"device":           {tarWith(t, head, box, entryOf{header: tar.Header{Typeflag: tar.TypeBlock, Name: "INBOX/1.eml"}}), archive.ErrFormat, "no plain file"},
		"folder":           {tarWith(t, head, entryOf{header: tar.Header{Typeflag: tar.TypeDir, Name: "INBOX/"}}), archive.ErrFormat, "no plain file"},
		"bad modseq":       {tarWith(t, head, box, pax(map[string]string{"MAILBRICKS.modseq": "-1"})), archive.ErrFormat, "modseq"},
		"bad save date":    {tarWith(t, head, box, pax(map[string]string{"MAILBRICKS.saved": "today"})), archive.ErrFormat, "save date"},
		"after the end":    {tarWith(t, head, box, message, end, message), archive.ErrFormat, "after the end"},
		"messages missing": {tarWith(t, head, box, end), archive.ErrFormat, "should be 1 and 1"},
		"large":            {tarWith(t, head, box, file("INBOX/1.eml", strings.Repeat("x", 2000))), archive.ErrTooLarge, "INBOX/1.eml"},
		"tail":             {append(append([]byte(nil), good...), make([]byte, 2<<20)...), archive.ErrFormat, "after the end"},
	} {
		_, err := archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}),
			archive.NewTarReader(bytes.NewReader(c.tar), archive.Options{MaxMessage: 1000}), nil)
		require.ErrorIs(t, err, c.err, name)
		if name != "below" {
			require.ErrorContains(t, err, c.says, name)
		}
	}
}

// A size that nobody has the octets for costs nothing and is refused, and one within the limit is found to be cut short.
func TestSizesThatAreNotThere(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range []entryOf{file("mailbricks-archive.json", accountJSON), file("INBOX/mailbox.json", boxJSON)} {
		require.NoError(t, w.WriteHeader(&e.header))
		_, err := io.WriteString(w, e.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "INBOX/1.eml", Size: 1 << 40, Format: tar.FormatPAX}))
	for limit, want := range map[int64]error{0: archive.ErrTooLarge, 1 << 41: archive.ErrFormat} {
		store := newStore()
		_, err := archive.Copy(t.Context(), archive.IntoStore(store, archive.ImportOptions{}), archive.NewTarReader(bytes.NewReader(out.Bytes()), archive.Options{MaxMessage: limit}), nil)
		require.ErrorIs(t, err, want)
		require.Equal(t, []string{"mailbox INBOX"}, snapshot(t, store))
	}
}

func TestDamagedCompressionIsNoticed(t *testing.T) {
	t.Parallel()
	store := newStore()
	put(t, store, "INBOX", "Subject: x\r\n\r\nbody\r\n", day(1))
	data := tarOf(t, store, true)
	data[len(data)-5] ^= 1 // the checksum
	_, err := archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}), archive.NewTarReader(bytes.NewReader(data), archive.Options{}), nil)
	require.ErrorIs(t, err, archive.ErrFormat)
	require.ErrorIs(t, err, gzip.ErrChecksum)
}

func FuzzTarReader(f *testing.F) {
	store := newStore()
	put(f, store, "INBOX", "Subject: x\r\n\r\nbody\r\n", day(1), mailbox.Seen, "work")
	put(f, store, "a/b", "x", day(2))
	f.Add(tarOf(f, store, false))
	f.Add(tarOf(f, store, true))
	f.Add(tarWith(f, file("mailbricks-archive.json", accountJSON), file("INBOX/mailbox.json", boxJSON), file("INBOX/1.eml", letter), file("end.json", endJSON)))
	f.Fuzz(func(t *testing.T, data []byte) {
		back := newStore()
		w := archive.IntoStore(back, archive.ImportOptions{})
		defer w.Close()
		_, err := archive.Copy(t.Context(), w, archive.NewTarReader(bytes.NewReader(data), archive.Options{MaxMessage: 1 << 20}), nil)
		if err != nil {
			return
		}
		// What is whole can be written and is the same then.
		again := newStore()
		move(t, archive.IntoStore(again, archive.ImportOptions{Again: true}), archive.NewTarReader(bytes.NewReader(tarOf(t, back, false)), archive.Options{}))
		require.Equal(t, snapshot(t, back), snapshot(t, again))
	})
}
