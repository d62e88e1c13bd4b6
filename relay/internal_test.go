package relay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]reply{
		"250 ok\r\n":                                     {code: 250, lines: []string{"ok"}},
		"250\r\n":                                        {code: 250, lines: []string{""}},
		"250-a\r\n250-b\r\n250 c\r\n":                    {code: 250, lines: []string{"a", "b", "c"}},
		"550 5.1.1 no such user\n":                       {code: 550, enhanced: "5.1.1", lines: []string{"no such user"}},
		"550-5.1.1 no\r\n550 5.1.1 user\r\n":             {code: 550, enhanced: "5.1.1", lines: []string{"no", "user"}},
		"550 4.1.1 lies\r\n":                             {code: 550, lines: []string{"4.1.1 lies"}},
		"450 4.1 short\r\n":                              {code: 450, lines: []string{"4.1 short"}},
		"450 4.1000.1 long\r\n":                          {code: 450, lines: []string{"4.1000.1 long"}},
		"250 a\x00b\x1b[2J\xff\r\n":                      {code: 250, lines: []string{"a b [2J?"}},
		"250 " + strings.Repeat("x", 2000) + "\r\n":      {code: 250, lines: []string{strings.Repeat("x", 512)}},
		"250-" + strings.Repeat("x", 4090) + "\r\n250\n": {code: 250, lines: []string{strings.Repeat("x", 512), ""}},
	} {
		r, err := readReply(bufio.NewReaderSize(strings.NewReader(in), 64))
		require.NoError(t, err, in)
		require.Equal(t, want, *r)
	}
	for in, want := range map[string]error{
		"":                                  io.EOF,
		"250 ok":                            io.ErrUnexpectedEOF,
		"250-ok\r\n":                        io.EOF,
		"25 ok\r\n":                         errProtocol,
		"2500 ok\r\n":                       errProtocol,
		"150 ok\r\n":                        errProtocol,
		"650 ok\r\n":                        errProtocol,
		"260 ok\r\n":                        errProtocol,
		"2x0 ok\r\n":                        errProtocol,
		"250_ok\r\n":                        errProtocol,
		"250-a\r\n251 b\r\n":                errProtocol,
		"\r\n":                              errProtocol,
		" 250 ok\r\n":                       errProtocol,
		strings.Repeat("250-x\r\n", 257):    errProtocol,
		strings.Repeat("2", 5000):           errProtocol,
		"250 " + strings.Repeat("x", 1<<20): errProtocol,
	} {
		_, err := readReply(bufio.NewReaderSize(strings.NewReader(in), 64))
		require.ErrorIs(t, err, want, "%.40q", in)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("250-a\r\n250 2.0.0 b\r\n"))
	f.Add([]byte("550 5.1.1 x\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := readReply(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			return
		}
		require.True(t, r.code >= 200 && r.code < 600)
		require.LessOrEqual(t, len(r.lines), maxReplyLines)
		s := r.String()
		require.LessOrEqual(t, len(s), maxText)
		require.NotContains(t, s, "\n")
		if r.enhanced != "" {
			require.True(t, validEnhanced(r.enhanced))
		}
		err = r.failure()
		require.Error(t, err)
		require.Equal(t, r.class() == 5, !mailbricks.IsTemporary(err))
	})
}

func FuzzParseSchedule(f *testing.F) {
	f.Add(DefaultRetry)
	f.Add("1d*3,2s")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		require.NotEmpty(t, s)
		require.LessOrEqual(t, len(s), maxIntervals)
		for n := range len(s) + 2 {
			require.True(t, s.After(n) >= time.Second && s.After(n) <= maxInterval)
		}
		again, err := ParseSchedule(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

func TestBadSchedules(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", ",", "5m,", "5m*0", "5m*-1", "5m*x", "0s", "-5m", "5", "999ms", "31d", "0d", "-1d", "1000000h", "5m*1001", "5m*600,5m*600", "1d2", "5m**2"} {
		_, err := ParseSchedule(text)
		require.Error(t, err, text)
	}
}

func TestDotWriterRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`[.\r\na]{0,30}`).Draw(t, "in")
		var b bytes.Buffer
		d := &dotWriter{w: bufio.NewWriterSize(&b, 16)}
		for rest := in; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			w, err := d.Write([]byte(rest[:n]))
			require.NoError(t, err)
			require.Equal(t, n, w)
			rest = rest[n:]
		}
		d.finish()
		d.w.WriteString(".\r\n")
		d.w.Flush()

		// What a server makes of it (RFC 5321 §4.5.2) is the text with all its line ends made CRLF.
		var got strings.Builder
		rest := b.String()
		for {
			line, after, ok := strings.Cut(rest, "\r\n")
			require.True(t, ok)
			require.NotContains(t, line, "\r")
			require.NotContains(t, line, "\n")
			rest = after
			if line == "." {
				break
			}
			got.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
			if strings.HasPrefix(line, ".") {
				require.True(t, len(line) > 1)
			}
		}
		require.Empty(t, rest)
		all, err := io.ReadAll(&crlfReader{r: bufio.NewReader(strings.NewReader(in))})
		require.NoError(t, err)
		want := string(all)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		require.Equal(t, want, got.String())
	})
}

func TestCRLFReader(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a": "a", "a\r\nb\r\n": "a\r\nb\r\n", "a\nb": "a\r\nb", "a\rb": "a\r\nb", "\r\r\n\n": "\r\n\r\n\r\n", "\r": "\r\n",
		"a\x00b\x00": "ab", "\x00": "", "\r\x00\n": "\r\n\r\n", "\x00\r\n": "\r\n",
	} {
		for _, size := range []int{1, 2, 3, 100} {
			var got []byte
			r := &crlfReader{r: bufio.NewReader(strings.NewReader(in))}
			buf := make([]byte, size)
			for {
				n, err := r.Read(buf)
				got = append(got, buf[:n]...)
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
			}
			require.Equal(t, want, string(got), "%q", in)
			good, err := allCRLF(strings.NewReader(in), int64(len(in)))
			require.NoError(t, err)
			require.Equal(t, in == want, good, "%q", in)
		}
	}
}

func TestValidPath(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"a@b", "a.b+c=d@example.com", `"a b"@example.com`, `"a\"b"@example.com`, "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]",
		"jörg@bücher.example", "a..b@example.com", "a@example.com.", "a@x_y.example", "!#$%&'*+-/=?^_`{|}~@example.com", `"<x>"@example.com`,
	} {
		require.True(t, validPath(good), good)
	}
	for _, bad := range []string{
		"", "a", "@b", "a@", "a b@c", "a@b c", "a\n@b", "a@b\r", "a\x00@b", "<a@b", "a>@b", "a@b>", "a,b@c", `"a@b`, `a"@b`, `"a"b"@c`, `"a\"@b`,
		"a@[1.2.3]", "a@[::1]", "a@[IPv6:1.2.3.4]", "a@.b", "a@-b", "a@b;c", "a@b\u0085", "a\u0085@b", "a@\xff", "a\x7f@b", "a:b@c", strings.Repeat("a", 600) + "@b", "a@" + strings.Repeat("b", 256), "a(b)@c",
	} {
		require.False(t, validPath(bad), bad)
	}
	require.True(t, validRecipient("Postmaster"))
	require.False(t, validRecipient("root"))
}

// Whatever is taken as an address is one token between the angle brackets.
func FuzzValidPath(f *testing.F) {
	f.Add("a@b")
	f.Add(`"a > b"@c`)
	f.Fuzz(func(t *testing.T, address string) {
		if !validPath(address) {
			return
		}
		require.NotContains(t, address, "\r")
		require.NotContains(t, address, "\n")
		quoted, escaped := false, false
		for _, c := range address {
			switch {
			case escaped:
				escaped = false
			case quoted && c == '\\':
				escaped = true
			case c == '"':
				quoted = !quoted
			case !quoted:
				require.NotContains(t, "<> ", string(c))
			}
		}
		require.False(t, quoted)
	})
}

func TestXtext(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a+2Bb+3Dc+20+C3+A4+0D", xtext("a+b=c ä\r"))
}

func TestMessageFileRefusesWhatItDidNotWrite(t *testing.T) {
	t.Parallel()
	good := messageBytes(t)
	open := func(data []byte) error {
		_, _, err := readStored(bytes.NewReader(data), int64(len(data)))
		return err
	}
	require.NoError(t, open(good))
	for n := range good {
		require.ErrorIs(t, open(good[:n]), durable.ErrCorrupt, "cut to %d", n)
	}
	header := bytes.IndexByte(good, '\n') + 1
	envelope := header + bytes.IndexByte(good[header:], '\n')
	for n := range envelope {
		bad := bytes.Clone(good)
		bad[n] ^= 0x01
		if n != 25 { // the version, of which 0 is none
			require.ErrorIs(t, open(bad), durable.ErrCorrupt, "changed at %d", n)
		}
	}
	require.ErrorIs(t, open(append(good, 'x')), durable.ErrCorrupt)
	require.ErrorIs(t, open(bytes.Replace(good, []byte("message 1\n"), []byte("message 2\n"), 1)), ErrVersion)
	require.ErrorIs(t, open(bytes.Replace(good, []byte("message 1\n"), []byte("message 99999999999999999999\n"), 1)), durable.ErrCorrupt)
}

func messageBytes(t require.TestingT) []byte {
	fs := crashfs.New()
	env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
	msg := mailbricks.NewMessage([]byte("A: 1\r\n\r\nbody\r\n"))
	s := newStored(env)
	s.ID, s.Size, s.Created = "id", msg.Size(), time.Unix(1e9, 0).UTC()
	head, err := fileHead(s)
	require.NoError(t, err)
	require.NoError(t, writeMessage(fs, "f", head, s, msg))
	f, err := fs.OpenFile("f", os.O_RDONLY, 0)
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	return data
}

func FuzzReadStored(f *testing.F) {
	f.Add(messageBytes(f))
	f.Add([]byte("mailbricks-queue-message 1\n00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, start, err := readStored(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		require.EqualValues(t, len(data), start+s.Size)
		q := newQueue("q", Options{FS: crashfs.New()}.withDefaults())
		e := q.newEntry(s)
		require.Len(t, e.rcpts, len(s.Rcpts))
		all := make([]int, len(s.Rcpts))
		for i := range all {
			all[i] = i
		}
		require.Len(t, s.envelope(all).Recipients, len(s.Rcpts))
	})
}

func FuzzScanJournal(f *testing.F) {
	line, err := durable.AppendRecord(nil, change{ID: "x", Rcpts: map[int]status{0: {Kind: Deferred}}, End: &end{Rcpts: []string{"a"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte("mailbricks-queue-journal 1\n"), line...))
	f.Add([]byte("x\n" + string(line) + "torn"))
	f.Fuzz(func(t *testing.T, data []byte) {
		changes := map[string]*change{}
		if _, err := scanJournal(bytes.NewReader(data), func(c change) { merge(changes, c) }); err != nil {
			require.ErrorIs(t, err, ErrVersion)
		}
		q := newQueue("q", Options{FS: crashfs.New()}.withDefaults())
		for id, c := range changes {
			e := q.newEntry(&stored{ID: id, Rcpts: []storedRcpt{{Address: "a@b.test"}}})
			q.restore(e, c)
			if c.End != nil {
				q.rememberChange(id, c)
			}
		}
	})
}

func TestJournalLeavesOutWhatItCannotRead(t *testing.T) {
	t.Parallel()
	var lines [][]byte
	for _, id := range []string{"a", "b", "c"} {
		line, err := durable.AppendRecord(nil, change{ID: id})
		require.NoError(t, err)
		lines = append(lines, line)
	}
	head := "mailbricks-queue-journal 1\n"
	scan := func(text string) (ids string, skipped int, err error) {
		skipped, err = scanJournal(strings.NewReader(text), func(c change) { ids += c.ID })
		return ids, skipped, err
	}
	whole := head + string(bytes.Join(lines, nil))
	ids, skipped, err := scan(whole)
	require.NoError(t, err)
	require.Equal(t, "abc", ids)
	require.Zero(t, skipped)
	for cut := len(head) + len(lines[0]); cut < len(whole)-len(lines[2]); cut++ { // torn at the end
		ids, _, err = scan(whole[:cut])
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(ids, "a"))
	}
	bad := bytes.Clone([]byte(whole))
	bad[len(head)+len(lines[0])+12] ^= 1 // damaged in the middle
	ids, skipped, err = scan(string(bad))
	require.NoError(t, err)
	require.Equal(t, "ac", ids)
	require.Equal(t, 1, skipped)
	_, _, err = scan(strings.Replace(whole, "journal 1", "journal 2", 1))
	require.ErrorIs(t, err, ErrVersion)
	ids, skipped, err = scan("garbage\n" + string(lines[1]))
	require.NoError(t, err)
	require.Equal(t, "b", ids)
	require.Equal(t, 1, skipped)
	_, skipped, err = scan("")
	require.NoError(t, err)
	require.Equal(t, 1, skipped)
}

// The journal does not grow for ever, and what is written anew says the same.
func TestJournalIsWrittenAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tr := toHandler{mailbricks.HandlerFunc(nil)}
	q, err := Open(dir, Options{Transport: tr, Hostname: "h.test"})
	require.NoError(t, err)
	q.journal.min, q.journal.limit = 4<<10, 4<<10
	env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
	ids := make([]string, 5)
	for i := range ids {
		ids[i], err = q.Send(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n")))
		require.NoError(t, err)
	}
	for range 200 {
		require.NoError(t, q.Hold(t.Context(), ids[0]))
		require.NoError(t, q.Release(t.Context(), ids[0]))
	}
	require.NoError(t, q.Hold(t.Context(), ids[1]))
	require.NoError(t, q.Remove(t.Context(), ids[2]))
	before, err := q.List(t.Context())
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(dir, "journal.*"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	info, err := os.Stat(names[0])
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(20<<10))
	require.NotEqual(t, "journal.1", filepath.Base(names[0]))
	require.NoError(t, q.Close())

	q, err = Open(dir, Options{Transport: tr, Hostname: "h.test"})
	require.NoError(t, err)
	after, err := q.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, toJSON(t, before), toJSON(t, after))
	removed, err := q.Show(t.Context(), ids[2])
	require.NoError(t, err)
	require.Equal(t, Removed, removed.Recipients[0].State)
	require.NoError(t, q.Close())
}

func toJSON(t *testing.T, v any) string {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "queue")
	q, err := Open(dir, Options{Hostname: "h.test"})
	require.NoError(t, err)
	env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
	_, err = q.Send(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n")))
	require.NoError(t, err)
	require.NoError(t, q.Close())
	if os.PathSeparator == '\\' {
		t.Skip("modes mean nothing here")
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		if d.IsDir() {
			require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), path)
		} else {
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), path)
		}
		return nil
	}))
}

func TestOpenPutsAsideWhatItCannotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q, err := Open(dir, Options{Hostname: "h.test"})
	require.NoError(t, err)
	SyncEachFile(q)
	env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
	good, err := q.Send(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n")))
	require.NoError(t, err)
	require.NoError(t, q.Close())
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("msg/damaged", "mailbricks-queue-message 1\n00000000 {}\n")
	write("msg/empty", "")
	write("msg/half.tmp", "mailbricks-queue-message 1\n")
	write("journal.99.tmp", "x")
	write("spool/spool-1", "x")
	data, err := os.ReadFile(filepath.Join(dir, "msg", good))
	require.NoError(t, err)
	write("msg/other-name", string(data))

	q, err = Open(dir, Options{Hostname: "h.test"})
	require.NoError(t, err)
	list, err := q.List(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, good, list[0].ID)
	require.NoError(t, q.Close())
	aside, err := os.ReadDir(filepath.Join(dir, "corrupt"))
	require.NoError(t, err)
	require.Len(t, aside, 3)
	for _, gone := range []string{"msg/half.tmp", "journal.99.tmp", "spool/spool-1"} {
		require.NoFileExists(t, filepath.Join(dir, gone))
	}

	write("msg/new", "mailbricks-queue-message 2\n")
	_, err = Open(dir, Options{Hostname: "h.test"})
	require.ErrorIs(t, err, ErrVersion)
	require.NoError(t, os.Remove(filepath.Join(dir, "msg", "new")))
	write("journal.1000", "mailbricks-queue-journal 7\n")
	_, err = Open(dir, Options{Hostname: "h.test"})
	require.ErrorIs(t, err, ErrVersion)
	require.FileExists(t, filepath.Join(dir, "msg", good), "nothing was touched")
}

// Every message is somewhere: in the journal while it is loose, and in its own file afterwards.
func TestLooseMessagesGetTheirFilesWhenTheQueueIsOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var ids []string
	for n := range 3 {
		q, err := Open(dir, Options{Hostname: "h.test"})
		require.NoError(t, err)
		files, err := os.ReadDir(filepath.Join(dir, "msg"))
		require.NoError(t, err)
		require.Len(t, files, 20*n)
		require.Empty(t, q.loose)
		require.Zero(t, q.looseBytes)
		for range 20 {
			env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
			id, err := q.Send(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n")))
			require.NoError(t, err)
			ids = append(ids, id)
		}
		require.Len(t, q.loose, 20)
		for _, id := range ids {
			_, msg, err := q.read(id)
			require.NoError(t, err)
			require.Equal(t, "1", msg.Get("A"))
			require.NoError(t, msg.Close())
		}
		require.NoError(t, q.Close())
	}
}

func TestLooseMessagesAreInTheNewJournal(t *testing.T) {
	t.Parallel()
	q := newQueue("q", Options{FS: crashfs.New()}.withDefaults())
	q.keepLoose("x", messageBytes(t)) // between fileLoose and snapshot
	changes := map[string]*change{}
	text := append([]byte(journalFormat+" 1\n"), q.snapshot()...)
	skipped, err := scanJournal(bytes.NewReader(text), func(c change) { merge(changes, c) })
	require.NoError(t, err)
	require.Zero(t, skipped)
	require.Equal(t, messageBytes(t), changes["x"].File)
}

// A message that ends after its file was made, but before that was certain, leaves no file behind.
func TestFileMadeInVainIsRemoved(t *testing.T) {
	t.Parallel()
	fs := crashfs.New()
	q, err := Open("q", Options{Hostname: "h.test", FS: fs})
	require.NoError(t, err)
	env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
	id, err := q.Send(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n")))
	require.NoError(t, err)
	fs.Fail(func(op crashfs.Op) error {
		if op.Kind == "syncdir" && strings.HasSuffix(op.Name, "msg") {
			return errors.New("input/output error")
		}
		return nil
	})
	q.journal.limit = 0
	require.NoError(t, q.Hold(t.Context(), id), "the old journal will do")
	fs.Fail(nil)
	names, err := fs.ReadNames("q/msg")
	require.NoError(t, err)
	require.Equal(t, []string{id}, names)
	require.Contains(t, q.loose, id)
	require.NoError(t, q.Remove(t.Context(), id))
	names, err = fs.ReadNames("q/msg")
	require.NoError(t, err)
	require.Empty(t, names)
	require.NoError(t, q.Close())
}

func TestLooseMessagesAreBounded(t *testing.T) {
	t.Parallel()
	q, err := Open("q", Options{Hostname: "h.test", FS: crashfs.New()})
	require.NoError(t, err)
	q.journal.min, q.journal.limit = 1<<40, 1<<40
	env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
	text := []byte("A: 1\r\n\r\n" + strings.Repeat("x", 30<<10))
	for range 600 {
		_, err := q.Send(t.Context(), env, mailbricks.NewMessage(text))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, q.looseBytes, int64(maxLooseBytes))
	require.Less(t, len(q.loose), 600)
	require.NoError(t, q.Close())
}

// A message whose file cannot be read now is not given up.
func TestOpenLeavesWhatTheDiskCannotReadNow(t *testing.T) {
	t.Parallel()
	fs := crashfs.New()
	opts := Options{Hostname: "h.test", FS: fs}
	q, err := Open("q", opts)
	require.NoError(t, err)
	SyncEachFile(q)
	env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@d.test"}}}
	id, err := q.Send(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n")))
	require.NoError(t, err)
	require.NoError(t, q.Hold(t.Context(), id))
	require.NoError(t, q.Close())
	fs.Fail(func(op crashfs.Op) error {
		if op.Kind == "open" && strings.HasSuffix(op.Name, id) {
			return errors.New("input/output error")
		}
		return nil
	})
	q, err = Open("q", opts)
	require.NoError(t, err)
	list, err := q.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
	require.NoError(t, q.Close())
	fs.Fail(nil)
	q, err = Open("q", opts)
	require.NoError(t, err)
	entry, err := q.Show(t.Context(), id)
	require.NoError(t, err)
	require.True(t, entry.Held, "what the journal knew of it was kept")
	require.NoError(t, q.Close())
}

func TestClip(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a b", clip(" a\nb\x00"))
	long := clip(strings.Repeat("ä", 400))
	require.LessOrEqual(t, len(long), maxText)
	require.True(t, strings.HasPrefix(long, "ää"))
	require.NotContains(t, long, "�")
}

func TestFoldLong(t *testing.T) {
	t.Parallel()
	for line := range strings.SplitSeq(foldLong(strings.Repeat("word ", 200)), "\r\n") {
		require.LessOrEqual(t, len(line), 78)
	}
}

// A journal from before there was Public may have an internal error in Text.
func TestTextOfAnOlderJournalIsNotPublic(t *testing.T) {
	t.Parallel()
	var s status
	require.NoError(t, json.Unmarshal([]byte(`{"kind":"deferred","code":451,"status":"4.3.0","text":"open /var/x"}`), &s))
	require.Empty(t, s.public())
	n := &notice{rcpts: []noticeRcpt{{address: "bob@example.net", status: s}}}
	require.NotContains(t, n.explain(n.rcpts[0]), "/var")
	require.NoError(t, json.Unmarshal([]byte(`{"kind":"bounced","code":550,"status":"5.1.2","text":"No such domain"}`), &s))
	require.Equal(t, "No such domain", s.public())
}

// On a full disk, what is refused takes no memory.
func TestRefusedMailLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	q, err := Open("queue", Options{Hostname: "out.example.com", FS: fsys})
	require.NoError(t, err)
	fsys.Fail(func(op crashfs.Op) error {
		if op.Kind == "write" || op.Kind == "create" {
			return syscall.ENOSPC
		}
		return nil
	})
	env := &mailbricks.Envelope{From: "ann@example.com", Recipients: []mailbricks.Recipient{{Address: "bob@example.net"}}}
	for range 100 {
		require.ErrorIs(t, q.Handle(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\nb\r\n"))), syscall.ENOSPC)
	}
	require.Empty(t, q.journal.buf)
	require.Empty(t, q.loose)
	require.Zero(t, q.bytes)
	require.LessOrEqual(t, len(q.leaving)+len(q.gone), 1)
	fsys.Fail(nil)
	require.NoError(t, q.Close())
}
