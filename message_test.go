package mailbricks_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks"
)

const letter = "From: a@example.com\r\nSubject: one\r\n two\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"

func text(t require.TestingT, m *mailbricks.Message) string {
	b, err := io.ReadAll(m.Reader())
	require.NoError(t, err)
	require.EqualValues(t, len(b), m.Size())
	return string(b)
}

func TestMessageReadsHeaderAndBody(t *testing.T) {
	t.Parallel()
	m := mailbricks.NewMessage([]byte(letter))
	require.Equal(t, letter, text(t, m))
	require.Equal(t, "one two", m.Get("subject"))
	require.Equal(t, []string{"1", "2"}, m.Values("X"))
	require.Empty(t, m.Get("To"))
	body, err := io.ReadAll(m.Body())
	require.NoError(t, err)
	require.Equal(t, "body\r\n", string(body))
}

func TestMessageEdits(t *testing.T) {
	t.Parallel()
	m := mailbricks.NewMessage([]byte(letter))
	c := m.Clone()
	m.Prepend("Received", "from x\r\n\tby y")
	m.Set("Subject", "three")
	m.Append("Z", "9")
	require.Equal(t, 2, m.Remove(func(f mailbricks.Field) bool { return f.Is("X") }))
	require.Equal(t, "Received: from x\r\n\tby y\r\nFrom: a@example.com\r\nSubject: three\r\nZ: 9\r\n\r\nbody\r\n", text(t, m))
	require.Equal(t, letter, text(t, c), "a clone does not see the edits")
	m.Set("New", "n")
	require.Equal(t, "n", m.Get("New"))
}

func TestMessageOddShapes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ raw, header, body string }{
		"empty":                   {"", "", ""},
		"no header":               {"\r\nbody", "", "body"},
		"header only":             {"A: 1\r\n", "A: 1\r\n", ""},
		"header and blank":        {"A: 1\r\n\r\n", "A: 1\r\n", ""},
		"unfinished header":       {"A: 1", "A: 1", ""},
		"line feeds only":         {"A: 1\n\nbody\n", "A: 1\n", "body\n"},
		"no header, blanks first": {" Subject: x\r\n\r\nbody", "", " Subject: x\r\n\r\nbody"},
		"junk in header":          {"A: 1\r\njunk\r\nB: 2\r\n\r\nx", "A: 1\r\njunk\r\nB: 2\r\n", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mailbricks.NewMessage([]byte(tc.raw))
			require.Equal(t, tc.raw, text(t, m))
			require.Equal(t, tc.header, string(m.Header()))
			body, err := io.ReadAll(m.Body())
			require.NoError(t, err)
			require.Equal(t, tc.body, string(body))
		})
	}
}

func TestPrependCannotBeginAnotherField(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"x\r\nBcc: evil@example.com", "x\nBcc: e", "x\r\n\r\nbody", "x\r\n \r\n\r\nbody", "x\r\n ", "\r\r\n x", "a\x00b"} {
		m := mailbricks.NewMessage([]byte("A: 1\r\n\r\nbody"))
		m.Prepend("X\r\nY", value)
		fields := 0
		for f := range m.Fields() {
			require.Contains(t, []string{"XY", "A"}, f.Name)
			fields++
		}
		require.Equal(t, 2, fields, "value %q", value)
		body, err := io.ReadAll(m.Body())
		require.NoError(t, err)
		require.Equal(t, "body", string(body), "value %q", value)
	}
}

// A name of which nothing may stand in a header is still one.
func TestFieldsHaveNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"\u00dc": "X", "": "X", ":": "X", "\r\n": "X", "\u00dcY": "Y"} {
		m := mailbricks.NewMessage([]byte("A: 1\r\n\r\nbody"))
		m.Prepend(name, "first")
		m.Append(name, "last")
		m.Set(name, "set")
		require.Contains(t, text(t, m), want+": first\r\nA: 1\r\n"+want+": last\r\n", "%q", name)
		for f := range m.Fields() {
			require.Contains(t, []string{want, "A"}, f.Name, "%q", name)
		}
	}
}

func TestSpoolWritesLargeMessagesToAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spool := &mailbricks.Spool{Dir: dir, Threshold: 1000}
	raw := letter + strings.Repeat("line\r\n", 10_000)
	m, err := spool.Read(strings.NewReader(raw))
	require.NoError(t, err)
	require.Equal(t, raw, text(t, m))
	c := m.Clone()
	require.NoError(t, m.Close())
	require.NoError(t, m.Close(), "closing twice does nothing")
	c.Prepend("Y", "1")
	require.Equal(t, "Y: 1\r\n"+raw, text(t, c), "the file stays while a clone is open")
	require.NoError(t, c.Close())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestSpoolGivesWhatWasWrittenHoweverItIsCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching(`([A-C]: [a-z]{0,20}(\r\n )?\r\n){0,4}(\r\n)?([a-z\r\n]{0,40})`).Draw(t, "raw")
		spool := &mailbricks.Spool{Dir: dir, Threshold: rapid.Int64Range(1, 60).Draw(t, "threshold")}
		w := spool.Writer()
		for rest := raw; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			_, err := w.Write([]byte(rest[:n]))
			require.NoError(t, err)
			rest = rest[n:]
		}
		m, err := w.Message()
		require.NoError(t, err)
		defer m.Close()
		require.Equal(t, raw, text(t, m))
		want := mailbricks.NewMessage([]byte(raw))
		require.Equal(t, string(want.Header()), string(m.Header()))
	})
}

func TestSpoolRefusesAHeaderWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, threshold := range []int64{10, 1 << 20} {
		spool := &mailbricks.Spool{Dir: t.TempDir(), Threshold: threshold, MaxHeader: 1000}
		_, err := spool.Read(strings.NewReader(strings.Repeat("A: 1\r\n", 300)))
		require.ErrorIs(t, err, mailbricks.ErrHeaderTooLarge)
		require.False(t, mailbricks.IsTemporary(err))
	}
}

func TestSpoolOpenReadsTheHeaderOnly(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{letter, "", "\r\n", "A: 1", " x", letter + strings.Repeat("x", 100_000), strings.Repeat("Long: field\r\n", 5000) + "\r\nbody"} {
		closed := 0
		m, err := new(mailbricks.Spool).Open(strings.NewReader(raw), int64(len(raw)), func() error { closed++; return nil })
		require.NoError(t, err)
		require.Equal(t, raw, text(t, m))
		require.Equal(t, string(mailbricks.NewMessage([]byte(raw)).Header()), string(m.Header()))
		c := m.Clone()
		require.NoError(t, m.Close())
		require.Zero(t, closed)
		require.NoError(t, c.Close())
		require.Equal(t, 1, closed)
	}
	closed := errors.New("closed")
	_, err := (&mailbricks.Spool{MaxHeader: 10}).Open(strings.NewReader(letter), int64(len(letter)), func() error { return closed })
	require.ErrorIs(t, err, mailbricks.ErrHeaderTooLarge)
	require.ErrorIs(t, err, closed)
	_, err = new(mailbricks.Spool).Open(strings.NewReader(letter), int64(len(letter))+1, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestSpoolFaultIsTemporary(t *testing.T) {
	t.Parallel()
	spool := &mailbricks.Spool{Dir: t.TempDir() + "/missing", Threshold: 1}
	_, err := spool.Read(strings.NewReader(letter))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.True(t, mailbricks.IsTemporary(err))
}

func TestSpoolWriterAfterItsEnd(t *testing.T) {
	t.Parallel()
	w := (&mailbricks.Spool{Dir: t.TempDir(), Threshold: 1}).Writer()
	_, err := w.Write([]byte(letter))
	require.NoError(t, err)
	require.EqualValues(t, len(letter), w.Size())
	w.Abort()
	_, err = w.Write([]byte("more"))
	require.Error(t, err)
	_, err = w.Message()
	require.Error(t, err)
}

func TestAFirstFieldKeepsTheBodyApart(t *testing.T) {
	t.Parallel()
	for _, edit := range []func(*mailbricks.Message){
		func(m *mailbricks.Message) { m.Prepend("A", "1") },
		func(m *mailbricks.Message) { m.Append("A", "1") },
		func(m *mailbricks.Message) { m.Set("A", "1") },
	} {
		m := mailbricks.NewMessage([]byte(" no header\r\n"))
		edit(m)
		require.Equal(t, "A: 1\r\n\r\n no header\r\n", text(t, m))
		require.Equal(t, "A: 1\r\n\r\n no header\r\n", text(t, m.Clone()))
		var b strings.Builder
		n, err := m.WriteTo(&b)
		require.NoError(t, err)
		require.Equal(t, m.Size(), n)
		require.Equal(t, text(t, m), b.String())
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(letter), "X", "v\r\n w")
	f.Add([]byte("\n"), "", "\r\n")
	f.Fuzz(func(t *testing.T, raw []byte, name, value string) {
		m := mailbricks.NewMessage(raw)
		require.Equal(t, string(raw), text(t, m))
		before, err := io.ReadAll(m.Body())
		require.NoError(t, err)
		m.Prepend(name, value)
		for f := range m.Fields() {
			require.NotEmpty(t, f.Name, "the field that is in front now")
			break
		}
		after, err := io.ReadAll(m.Body())
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
		require.True(t, strings.HasPrefix(text(t, m), string(m.Header())))
	})
}

func TestReplyTo(t *testing.T) {
	t.Parallel()
	require.Nil(t, mailbricks.ReplyTo(nil))
	secret := errors.New("disk /dev/sda1 is full")
	reply := mailbricks.ReplyTo(secret)
	require.Equal(t, 451, reply.Code)
	require.True(t, reply.Temporary())
	require.NotContains(t, strings.Join(reply.Lines(), ""), "sda1")
	require.ErrorIs(t, reply, secret)
	own := &mailbricks.Reply{Code: 550, Text: "no\r\n250 yes\x00"}
	require.Same(t, own, mailbricks.ReplyTo(errors.Join(own)))
	require.Equal(t, []string{"no", "250 yes"}, own.Lines())
	require.Equal(t, "5.0.0", own.EnhancedCode())
	require.False(t, mailbricks.IsTemporary(own))
	require.False(t, mailbricks.IsTemporary(nil))
}

// Messages do not share the memory that a Spool uses again.
func TestSpoolMessagesAreApart(t *testing.T) {
	t.Parallel()
	spool := &mailbricks.Spool{Dir: t.TempDir()}
	raws, msgs := make([]string, 12), make([]*mailbricks.Message, 12)
	for i := range raws {
		raws[i] = letter + strings.Repeat(fmt.Sprintln("line", i), (i%4+1)*10_000) // in memory and in a file
		w := spool.Writer()
		for rest := raws[i]; rest != ""; {
			n := min(len(rest), 20_000)
			_, err := w.Write([]byte(rest[:n]))
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.EqualValues(t, len(raws[i]), w.Size())
		var err error
		msgs[i], err = w.Message()
		require.NoError(t, err)
		if i%3 == 0 { // one that comes to nothing
			w := spool.Writer()
			for range 3 {
				_, err := w.Write(bytes.Repeat([]byte("Lost: "), 5000))
				require.NoError(t, err)
			}
			w.Abort()
		}
	}
	for i, m := range msgs {
		require.True(t, raws[i] == text(t, m), "message %d", i)
		require.NoError(t, m.Close())
	}
}

// A header that comes octet by octet is not looked through again for each: that would take long here.
func TestSpoolTakesAHeaderInSmallPieces(t *testing.T) {
	t.Parallel()
	w := (&mailbricks.Spool{Dir: t.TempDir(), Threshold: 1}).Writer()
	header := strings.Repeat("A: 1\r\n", 40_000)
	for i := range len(header) {
		_, err := w.Write([]byte(header[i : i+1]))
		require.NoError(t, err)
	}
	_, err := io.WriteString(w, "\r\nbody")
	require.NoError(t, err)
	m, err := w.Message()
	require.NoError(t, err)
	defer m.Close()
	require.True(t, header == string(m.Header()))
}

// What was kept of a message is its own, or gives an error, when its memory has another message.
func TestSpoolMemoryIsNotReadAfterClose(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 5000, 50_000, 500_000} {
		spool := &mailbricks.Spool{Dir: t.TempDir()}
		first, err := spool.Read(strings.NewReader(letter + strings.Repeat("a", size)))
		require.NoError(t, err)
		header, reader, body := first.Header(), first.Reader(), first.Body()
		clone := first.Clone()
		require.NoError(t, first.Close())
		raw, err := io.ReadAll(clone.Reader())
		require.NoError(t, err, "a clone is left")
		require.Len(t, raw, len(letter)+size)
		require.NoError(t, clone.Close())
		for range 10 {
			raw := strings.ToUpper(letter) + strings.Repeat("b", size*2/3)
			second, err := spool.Read(strings.NewReader(raw))
			require.NoError(t, err)
			require.True(t, raw == text(t, second), "nothing of the first is left")
			defer second.Close()
		}
		require.Equal(t, letter[:len(header)], string(header))
		got, err := io.ReadAll(body)
		require.ErrorIs(t, err, os.ErrClosed)
		require.Empty(t, got)
		_, err = io.ReadAll(reader)
		require.ErrorIs(t, err, os.ErrClosed)
		_, err = first.WriteTo(io.Discard)
		require.ErrorIs(t, err, os.ErrClosed)
	}
}

func BenchmarkSpool(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			spool := &mailbricks.Spool{Dir: b.TempDir()}
			raw := append([]byte(letter), make([]byte, size)...)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				w := spool.Writer()
				for rest := raw; len(rest) > 0; {
					n, err := w.Write(rest[:min(len(rest), 32<<10)])
					if err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
				m, err := w.Message()
				if err != nil {
					b.Fatal(err)
				}
				m.Close()
			}
		})
	}
}

// MessageWith is Message and Prepend.
func TestSpoolMessageWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, raw := range []string{"", "\r\n", "\r\nbody", " body", "no header", letter, letter + strings.Repeat("line\r\n", 10_000)} {
		for _, threshold := range []int64{20, 5 << 20} {
			spool := &mailbricks.Spool{Dir: dir, Threshold: threshold}
			want, err := spool.Read(strings.NewReader(raw))
			require.NoError(t, err)
			want.Prepend("Trace", "one\r\n\ttwo\x00")
			w := spool.Writer()
			_, err = io.WriteString(w, raw)
			require.NoError(t, err)
			got, err := w.MessageWith("Trace", "one\r\n\ttwo\x00")
			require.NoError(t, err)
			require.Equal(t, text(t, want), text(t, got), "%q", raw)
			require.Equal(t, want.Header(), got.Header())
			require.Equal(t, want.Size(), got.Size())
			require.NoError(t, want.Close())
			require.NoError(t, got.Close())
		}
	}
}
