package archive_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
)

// got is a message that a reader gave.
type got struct {
	content string
	flags   []mailbox.Flag
	date    time.Time
}

// readAll reads the messages of an archive.
func readAll(t testing.TB, r archive.Reader) (messages []got, err error) {
	t.Helper()
	defer r.Close()
	for {
		e, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		if e.Message == nil {
			continue
		}
		content, err := io.ReadAll(e.Message.Content)
		if err != nil {
			return messages, err
		}
		if int64(len(content)) != e.Message.Size {
			t.Errorf("%s has %d octets, not %d", e.Message.Where, len(content), e.Message.Size)
		}
		messages = append(messages, got{string(content), e.Message.Flags, e.Message.InternalDate})
	}
}

// contentsOf are the messages of an mbox.
func contentsOf(t testing.TB, text string, opts archive.Options) (out []string) {
	t.Helper()
	messages, err := readAll(t, archive.NewMboxReader(strings.NewReader(text), opts))
	require.NoError(t, err)
	for _, m := range messages {
		out = append(out, m.content)
	}
	return out
}

const (
	from1 = "From a@b Thu Jan  1 00:00:00 2026\n"
	from2 = "From - Fri Jan  2 01:02:03 2026\n"
)

func TestMboxVariants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text    string
		variant archive.Variant
		want    []string
	}{
		"empty":         {"", archive.MboxAuto, nil},
		"empty lines":   {"\n\n", archive.MboxAuto, nil},
		"two":           {from1 + "Subject: 1\n\nbody\n\n" + from2 + "Subject: 2\n\n", archive.MboxAuto, []string{"Subject: 1\r\n\r\nbody\r\n", "Subject: 2\r\n"}},
		"no last blank": {from1 + "Subject: 1\n\nbody\n" + from2 + "Subject: 2\n\nbody", archive.MboxAuto, []string{"Subject: 1\r\n\r\nbody\r\n", "Subject: 2\r\n\r\nbody\r\n"}},
		"CRLF": {strings.ReplaceAll(from1+"Subject: 1\n\n>From x\n\n"+from2+"Subject: 2\n\n\n", "\n", "\r\n"), archive.MboxAuto,
			[]string{"Subject: 1\r\n\r\nFrom x\r\n", "Subject: 2\r\n\r\n"}},
		"rd":            {from1 + "S: 1\n\n>From x\n>>From y\n", archive.MboxRD, []string{"S: 1\r\n\r\nFrom x\r\n>From y\r\n"}},
		"o":             {from1 + "S: 1\n\n>From x\n>>From y\n", archive.MboxO, []string{"S: 1\r\n\r\nFrom x\r\n>>From y\r\n"}},
		"cl2":           {from1 + "S: 1\nContent-Length: 54\n\n>From x\n" + from1 + "\n>>From end\n\n" + from2 + "S: 2\n\n", archive.MboxAuto, []string{"S: 1\r\n\r\n>From x\r\nFrom a@b Thu Jan  1 00:00:00 2026\r\n\r\n>>From end\r\n", "S: 2\r\n"}},
		"cl":            {from1 + "S: 1\nContent-Length: 8\n\n>From x\n\n" + from2 + "S: 2\n\n", archive.MboxCL, []string{"S: 1\r\n\r\nFrom x\r\n", "S: 2\r\n"}},
		"wrong length":  {from1 + "S: 1\nContent-Length: 3\n\n>From x\n\n" + from2 + "S: 2\n\n", archive.MboxAuto, []string{"S: 1\r\n\r\nFrom x\r\n", "S: 2\r\n"}},
		"too long":      {from1 + "S: 1\nContent-Length: 9999\n\n>From x\n\n" + from2 + "S: 2\n\n", archive.MboxAuto, []string{"S: 1\r\n\r\nFrom x\r\n", "S: 2\r\n"}},
		"huge":          {from1 + "S: 1\nContent-Length: 99999999999999999999\n\n>From x\n\n", archive.MboxAuto, []string{"S: 1\r\n\r\nFrom x\r\n"}},
		"negative":      {from1 + "S: 1\nContent-Length: -5\n\n>From x\n\n", archive.MboxAuto, []string{"S: 1\r\n\r\nFrom x\r\n"}},
		"length unused": {from1 + "S: 1\nContent-Length: 2\n\na\n" + from2 + "S: 2\n\n", archive.MboxRD, []string{"S: 1\r\n\r\na\r\n", "S: 2\r\n"}},
		"not a From_":   {from1 + "S: 1\n\nFrom the beginning\nfrom here\n", archive.MboxAuto, []string{"S: 1\r\n\r\nFrom the beginning\r\nfrom here\r\n"}},
		"blank lines":   {from1 + "S: 1\n\n\n\na\n\n\n" + from2 + "S: 2\n\n\n\n", archive.MboxAuto, []string{"S: 1\r\n\r\n\r\n\r\na\r\n\r\n", "S: 2\r\n\r\n\r\n"}},
		"nothing":       {from1 + from2 + from1, archive.MboxAuto, []string{"", "", ""}},
		"only From_":    {"From x", archive.MboxAuto, []string{""}},
		"fields":        {from1 + "Status: RO\n\tfolded\nS: 1\nX-UID: 5\nstatus : O\nX-IMAPbase: 1 2\n\na\n", archive.MboxAuto, []string{"S: 1\r\n\r\na\r\n"}},
	} {
		require.Equal(t, c.want, contentsOf(t, c.text, archive.Options{Mbox: c.variant}), name)
	}
}

func TestMboxFlagsAndDates(t *testing.T) {
	t.Parallel()
	text := "From \"x y\"@z Sat Mar  7 14:05 1998 +0200\nStatus: RO\nX-Status: AFTD\nX-Keywords: $Junk  work\n \\Evil b{d ok:1\n\nx\n\n" +
		"From bob Sat Mar 07 14:05:09 EST 1998\n\n" +
		"From bob Sat Mar  7 14:05:09 1998 remote from host\n\n"
	messages, err := readAll(t, archive.NewMboxReader(strings.NewReader(text), archive.Options{}))
	require.NoError(t, err)
	require.Len(t, messages, 3)
	require.Equal(t, []mailbox.Flag{mailbox.Seen, mailbox.Answered, mailbox.Flagged, mailbox.Draft, mailbox.Deleted, "$Junk", "work", "ok:1"}, messages[0].flags)
	for i, want := range []time.Time{time.Date(1998, 3, 7, 12, 5, 0, 0, time.UTC), time.Date(1998, 3, 7, 14, 5, 9, 0, time.UTC), time.Date(1998, 3, 7, 14, 5, 9, 0, time.UTC)} {
		require.True(t, want.Equal(messages[i].date), messages[i].date)
	}
}

func TestMboxThatIsNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Subject: x\n\n", "\x00\x01", ">From x\n", "from x\n"} {
		_, err := readAll(t, archive.NewMboxReader(strings.NewReader(text), archive.Options{}))
		require.ErrorIs(t, err, archive.ErrFormat, text)
	}
	_, err := readAll(t, archive.NewMboxReader(strings.NewReader(from1), archive.Options{Mailbox: "a//b"}))
	require.ErrorIs(t, err, mailbox.ErrName)
	broken := errors.New("the disk is gone")
	_, err = readAll(t, archive.NewMboxReader(io.MultiReader(strings.NewReader(from1+"Subject: x\n\nbody\n"), failing{broken}), archive.Options{}))
	require.ErrorIs(t, err, broken)
}

// Wrong lengths have a part of the file read twice: so many times and no more.
func TestWrongLengthsCostLittle(t *testing.T) {
	t.Parallel()
	const n = 3000
	text := strings.Repeat(from1+"Content-Length: 200000\n\nx\n\n", n)
	counting := &counter{r: strings.NewReader(text)}
	start := time.Now()
	messages, err := readAll(t, archive.NewMboxReader(counting, archive.Options{}))
	require.NoError(t, err)
	require.Len(t, messages, n)
	require.Equal(t, len(text), counting.n)
	require.Less(t, time.Since(start), 10*time.Second)
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestOneMboxHoldsOneMailbox(t *testing.T) {
	t.Parallel()
	store := newStore()
	fill(t, store)
	_, err := archive.Copy(t.Context(), archive.NewMboxWriter(io.Discard), archive.FromStore(store), nil)
	require.ErrorIs(t, err, archive.ErrOneMailbox)
}

// Whatever lines a message has, an mbox gives them back.
func TestMboxRoundTripOfAnyMessage(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{"", "From ", "From x", ">From ", ">>From a@b Thu Jan  1 00:00:00 2026", "From a@b Thu Jan  1 00:00:00 2026",
		"Subject: x", " folded", "\ttab", "no colon", ":", "a\rb", "\xff\x00", strings.Repeat("y", 70_000), "From" + strings.Repeat(" z", 40_000), "."})
	rapid.Check(t, func(rt *rapid.T) {
		store := newStore()
		var want []string
		for range rapid.IntRange(1, 4).Draw(rt, "messages") {
			lines := rapid.SliceOfN(line, 0, 8).Draw(rt, "lines")
			content := ""
			for _, l := range lines {
				content += l + "\r\n"
			}
			put(t, store, "INBOX", content, day(1))
			want = append(want, content)
		}
		var out bytes.Buffer
		move(t, archive.NewMboxWriter(&out), archive.FromStore(store, "INBOX"))
		require.Equal(rt, want, contentsOf(t, out.String(), archive.Options{Mbox: archive.MboxRD}))
	})
}

func TestManyKeywordsAreFolded(t *testing.T) {
	t.Parallel()
	store, back := newStore(), newStore()
	var flags []mailbox.Flag
	for i := range 90 {
		flags = append(flags, mailbox.Flag(strings.Repeat("k", 100)+string(rune('0'+i/10))+string(rune('0'+i%10))))
	}
	put(t, store, "INBOX", "Subject: x\r\n\r\n", day(1), flags...)
	var out bytes.Buffer
	move(t, archive.NewMboxWriter(&out), archive.FromStore(store, "INBOX"))
	for line := range strings.Lines(out.String()) {
		require.Less(t, len(line), 998)
	}
	move(t, archive.IntoStore(back, archive.ImportOptions{}), archive.NewMboxReader(&out, archive.Options{}))
	require.Equal(t, snapshot(t, store), snapshot(t, back))
}

func FuzzMboxReader(f *testing.F) {
	f.Add(from1+"Subject: 1\n\n>From x\n\n"+from2+"\n", uint8(0))
	f.Add(from1+"Content-Length: 5\n\nFrom \n\n"+from2+"Status: RO\nX-Keywords: a\n b\n\n", uint8(1))
	f.Add(strings.ReplaceAll(from1+"S: x\n\nbody\n", "\n", "\r\n"), uint8(4))
	f.Add("\n\nFrom \r\n\r\r\n", uint8(3))
	f.Fuzz(func(t *testing.T, text string, variant uint8) {
		r := archive.NewMboxReader(strings.NewReader(text), archive.Options{Mbox: archive.Variant(variant % 5), MaxMessage: 1 << 20})
		messages, err := readAll(t, r)
		if err != nil {
			return
		}
		for _, m := range messages {
			if strings.Contains(strings.ReplaceAll(m.content, "\r\n", ""), "\n") {
				t.Fatalf("bare line feed in %q", m.content)
			}
			if _, err := mailbox.CleanFlags(m.flags); err != nil {
				t.Fatal(err)
			}
		}
		// What was read is written and read the same, but for fields that are the file's.
		store := newStore()
		total := 0
		for _, m := range messages {
			total += len(m.content)
			if len(m.content) > 0 && total < 1<<16 && !strings.Contains(m.content, "\r\r\n") { // which loses a carriage return
				put(t, store, "INBOX", m.content, day(1))
			}
		}
		var first, second bytes.Buffer
		move(t, archive.NewMboxWriter(&first), archive.FromStore(store, "INBOX"))
		back := newStore()
		move(t, archive.IntoStore(back, archive.ImportOptions{Again: true}), archive.NewMboxReader(bytes.NewReader(first.Bytes()), archive.Options{Mbox: archive.MboxRD}))
		move(t, archive.NewMboxWriter(&second), archive.FromStore(back, "INBOX"))
		a, err := readAll(t, archive.NewMboxReader(&first, archive.Options{Mbox: archive.MboxRD}))
		require.NoError(t, err)
		b, err := readAll(t, archive.NewMboxReader(&second, archive.Options{Mbox: archive.MboxRD}))
		require.NoError(t, err)
		require.Equal(t, len(a), len(b))
		for i := range a {
			require.Equal(t, a[i].content, b[i].content)
		}
	})
}
