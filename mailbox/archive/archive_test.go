package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// newStore is an empty account.
func newStore() mailbox.Store { return memory.New(mailbox.Limit{}).Store() }

// day is a date in the tests' past.
func day(n int) time.Time { return time.Date(2026, 1, n, 10, 11, 12, 0, time.UTC) }

// put stores a message.
func put(t testing.TB, store mailbox.Store, name, content string, date time.Time, flags ...mailbox.Flag) mailbox.UID {
	t.Helper()
	box, err := store.Open(t.Context(), name)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		require.NoError(t, store.(mailbox.Organizer).Create(t.Context(), name, ""))
		box, err = store.Open(t.Context(), name)
	}
	require.NoError(t, err)
	defer box.Close()
	uid, err := box.Append(t.Context(), strings.NewReader(content), mailbox.AppendOptions{Flags: flags, InternalDate: date, Size: int64(len(content))})
	require.NoError(t, err)
	return uid
}

// fill makes an account with all that archives keep.
func fill(t testing.TB, store mailbox.Store) {
	t.Helper()
	organizer := store.(mailbox.Organizer)
	require.NoError(t, organizer.Create(t.Context(), "Trash", mailbox.UseTrash))
	require.NoError(t, organizer.Create(t.Context(), "Empty", ""))
	require.NoError(t, organizer.Subscribe(t.Context(), "Trash", true))
	require.NoError(t, organizer.Subscribe(t.Context(), "Gone/Away", true))
	put(t, store, "INBOX", "Return-Path: <bob@example.com>\r\nSubject: one\r\n\r\nHello\r\n", day(1), mailbox.Seen, mailbox.Answered)
	put(t, store, "INBOX", "Subject: From lines\r\n\r\nFrom here\r\n>From there\r\n>>From everywhere\r\nFrom x Thu Jan  1 00:00:00 2026\r\n\r\n\r\n", day(2), "$Forwarded", "work")
	put(t, store, "INBOX", "Subject: no body\r\n", day(3), mailbox.Flagged, mailbox.Draft, mailbox.Deleted)
	put(t, store, "INBOX", "Subject: empty body\r\n\r\n", day(4))
	put(t, store, "INBOX", "Subject: long line\r\n\r\n"+strings.Repeat("x", 200_000)+"\r\n\r\nFrom\tme\r\n", day(5))
	put(t, store, "INBOX", "Subject: equal\r\n\r\n\r\n", day(6))
	put(t, store, "INBOX", "Subject: equal\r\n\r\n\r\n", day(6))
	put(t, store, "Entwürfe & mehr/2026.05/a:b", "Subject: =?utf-8?q?=C3=BC?=\r\n\r\n\xff\x00binary\r\n", day(7), "work")
	put(t, store, "Trash", "Subject: 8-bit \xe4\r\n\r\nbody\r\n", day(8))
}

// snapshot has a line for all that an account has, without what is not kept in every format.
func snapshot(t testing.TB, store mailbox.Store) []string {
	t.Helper()
	var out []string
	infos, err := store.List(t.Context())
	require.NoError(t, err)
	slices.SortFunc(infos, func(a, b mailbox.Info) int { return strings.Compare(a.Name, b.Name) })
	for _, info := range infos {
		if info.NoSelect || info.NonExistent {
			continue
		}
		box, err := store.Open(t.Context(), info.Name)
		require.NoError(t, err)
		uids, _, err := box.UIDs(t.Context())
		require.NoError(t, err)
		metas, err := box.Messages(t.Context(), uids)
		require.NoError(t, err)
		out = append(out, "mailbox "+info.Name)
		for _, m := range metas {
			c, err := box.Content(t.Context(), m.UID)
			require.NoError(t, err)
			content, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			flags := slices.Sorted(slices.Values(m.Flags))
			out = append(out, fmt.Sprintf("%s %s %v %.300q %d", info.Name, m.InternalDate.UTC().Format(time.RFC3339), flags, content, len(content)))
		}
		require.NoError(t, box.Close())
	}
	return out
}

// listing has the subscriptions and uses.
func listing(t testing.TB, store mailbox.Store) []mailbox.Info {
	t.Helper()
	infos, err := store.List(t.Context())
	require.NoError(t, err)
	for i := range infos {
		infos[i].ID = ""
	}
	slices.SortFunc(infos, func(a, b mailbox.Info) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// move copies an archive and closes both.
func move(t testing.TB, to archive.Writer, from archive.Reader) archive.Stats {
	t.Helper()
	stats, err := archive.Copy(t.Context(), to, from, nil)
	require.NoError(t, err)
	require.NoError(t, to.Close())
	require.NoError(t, from.Close())
	return stats
}

func TestEveryFormatGivesBackWhatItGot(t *testing.T) {
	t.Parallel()
	for _, format := range []archive.Format{archive.Mbox, archive.Maildir, archive.Tar} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			store, path := newStore(), filepath.Join(t.TempDir(), "out.gz")
			fill(t, store)
			w, err := archive.Create(path, archive.CreateOptions{Format: format})
			require.NoError(t, err)
			stats := move(t, w, archive.FromStore(store))
			require.Equal(t, 4, stats.Mailboxes)
			require.Equal(t, 9, stats.Messages)
			n, err := archive.Count(t.Context(), store)
			require.NoError(t, err)
			require.Equal(t, 9, n)
			entries, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			require.Len(t, entries, 1, "nothing partial is left")

			back := newStore()
			r, err := archive.Open(path, "", archive.Options{}) // which it is, is found out
			require.NoError(t, err)
			again := move(t, archive.IntoStore(back, archive.ImportOptions{}), r)
			require.Equal(t, stats, again)
			want := snapshot(t, store)
			require.Equal(t, want, snapshot(t, back))
			if format != archive.Mbox {
				require.Equal(t, subscriptions(t, store), subscriptions(t, back))
			}
			if format == archive.Tar {
				require.Equal(t, listing(t, store), listing(t, back))
			}

			r, err = archive.Open(path, format, archive.Options{})
			require.NoError(t, err)
			again = move(t, archive.IntoStore(back, archive.ImportOptions{}), r)
			require.Equal(t, archive.Stats{Mailboxes: 4, Present: 9}, again, "a second import changes nothing")
			require.Equal(t, want, snapshot(t, back))
		})
	}
}

func subscriptions(t testing.TB, store mailbox.Store) (names []string) {
	for _, info := range listing(t, store) {
		if info.Subscribed {
			names = append(names, info.Name)
		}
	}
	return names
}

// An import that ends in the middle, at any message, is given again and leaves nothing double.
func TestInterruptedImportGoesOn(t *testing.T) {
	t.Parallel()
	store := newStore()
	fill(t, store)
	var tar bytes.Buffer
	move(t, archive.NewTarWriter(&tar, false), archive.FromStore(store))
	want := snapshot(t, store)
	broken := errors.New("the cable is out")
	for n := 512; n < tar.Len(); n += 9999 {
		back := newStore()
		part := io.MultiReader(bytes.NewReader(tar.Bytes()[:n]), failing{broken})
		_, err := archive.Copy(t.Context(), archive.IntoStore(back, archive.ImportOptions{}), archive.NewTarReader(part, archive.Options{}), nil)
		require.ErrorIs(t, err, broken, n)
		for _, line := range snapshot(t, back) {
			require.Contains(t, want, line, "every message is whole")
		}
		move(t, archive.IntoStore(back, archive.ImportOptions{}), archive.NewTarReader(bytes.NewReader(tar.Bytes()), archive.Options{}))
		require.Equal(t, want, snapshot(t, back))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestImportUnderAMailboxAndAgain(t *testing.T) {
	t.Parallel()
	from, to := newStore(), newStore()
	fill(t, from)
	fill(t, to)
	var told []string
	opts := archive.ImportOptions{Under: "Old", Imported: func(name string, a, b mailbox.UID) { told = append(told, fmt.Sprint(name, a, b)) }}
	stats := move(t, archive.IntoStore(to, opts), archive.FromStore(from, "Trash", "inbox"))
	require.Equal(t, archive.Stats{Mailboxes: 2, Messages: 8, Octets: stats.Octets}, stats)
	require.Contains(t, told, "Old/Trash1 1")
	infos := listing(t, to)
	at := slices.IndexFunc(infos, func(i mailbox.Info) bool { return i.Name == "Old/Trash" })
	require.Equal(t, mailbox.Info{Name: "Old/Trash", Subscribed: true}, infos[at], "the use belongs to another already")

	stats = move(t, archive.IntoStore(to, archive.ImportOptions{Again: true}), archive.FromStore(from, "Trash"))
	require.Equal(t, 1, stats.Messages)

	_, err := archive.Copy(t.Context(), archive.IntoStore(to, archive.ImportOptions{}), archive.FromStore(from, "None"), nil)
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	_, err = archive.Copy(t.Context(), archive.IntoStore(to, archive.ImportOptions{Under: "a//b"}), archive.FromStore(from), nil)
	require.ErrorIs(t, err, mailbox.ErrName)
}

func TestQuotaEndsAnImportAndNothingIsHalf(t *testing.T) {
	t.Parallel()
	from := newStore()
	fill(t, from)
	to := quotaStore(1000)
	_, err := archive.Copy(t.Context(), archive.IntoStore(to, archive.ImportOptions{}), archive.FromStore(from), nil)
	require.ErrorIs(t, err, mailbox.ErrQuota)
	require.ErrorContains(t, err, `mailbox "INBOX", UID 5`)
	want := snapshot(t, from)
	for _, line := range snapshot(t, to) {
		require.Contains(t, want, line)
	}
}

func TestTheContextEndsACopy(t *testing.T) {
	t.Parallel()
	from := newStore()
	fill(t, from)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := archive.Create(filepath.Join(t.TempDir(), "x"), archive.CreateOptions{Format: archive.Maildir})
	require.NoError(t, err)
	stats, err := archive.Copy(ctx, w, archive.FromStore(from), func(s archive.Stats) {
		if s.Messages == 3 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, stats.Messages)
	require.NoError(t, w.Close())
}

// expunging removes the message behind each odd one that is opened.
type expunging struct{ mailbox.Store }

func (s expunging) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	box, err := s.Store.Open(ctx, name)
	return expungingBox{box}, err
}

type expungingBox struct{ mailbox.Mailbox }

func (b expungingBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if uid%2 == 1 {
		if _, err := b.Expunge(ctx, []mailbox.UID{uid + 1}); err != nil {
			return nil, err
		}
	}
	return b.Mailbox.Content(ctx, uid)
}

func TestMessagesThatGoMeanwhileAreLeftOut(t *testing.T) {
	t.Parallel()
	from, to := newStore(), newStore()
	fill(t, from)
	stats := move(t, archive.IntoStore(to, archive.ImportOptions{}), archive.FromStore(expunging{from}, "INBOX"))
	require.Equal(t, 4, stats.Messages)
}

func TestLargeMessagesAreNotKeptInMemory(t *testing.T) {
	t.Parallel()
	temp, store := t.TempDir(), newStore()
	text := "Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 200_000)
	put(t, store, "INBOX", text, day(1))
	var box bytes.Buffer
	move(t, archive.NewMboxWriter(&box), archive.FromStore(store))
	back := newStore()
	for range 2 {
		move(t, archive.IntoStore(back, archive.ImportOptions{TempDir: temp}), archive.NewMboxReader(bytes.NewReader(box.Bytes()), archive.Options{TempDir: temp}))
	}
	require.Equal(t, snapshot(t, store), snapshot(t, back))
	entries, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, entries)

	_, err = archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}),
		archive.NewMboxReader(bytes.NewReader(box.Bytes()), archive.Options{MaxMessage: 1000}), nil)
	require.ErrorIs(t, err, archive.ErrTooLarge)
	require.ErrorContains(t, err, `message 1 of mailbox "INBOX"`)
}

func TestFoldersAreNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600))
	for _, format := range []archive.Format{archive.Mbox, archive.Maildir} {
		_, err := archive.Create(dir, archive.CreateOptions{Format: format})
		require.ErrorIs(t, err, archive.ErrExists)
	}
	_, err := archive.Create(dir, archive.CreateOptions{Format: archive.Tar})
	require.ErrorIs(t, err, archive.ErrExists)
	_, err = archive.Create(filepath.Join(dir, "x"), archive.CreateOptions{Format: "zip"})
	require.ErrorContains(t, err, "zip")
	_, err = archive.Open(dir, archive.Maildir, archive.Options{})
	require.ErrorIs(t, err, archive.ErrFormat)
	_, err = archive.Open(dir, archive.Mbox, archive.Options{})
	require.ErrorIs(t, err, archive.ErrFormat)
	_, err = archive.Open(dir, archive.Tar, archive.Options{})
	require.ErrorIs(t, err, archive.ErrFormat)
	_, err = archive.Open(filepath.Join(dir, "none"), archive.Tar, archive.Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// unreadable is a store with a message that cannot be opened, and one that cannot be read to its end.
type unreadable struct {
	mailbox.Store
	err error
}

func (s unreadable) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	box, err := s.Store.Open(ctx, name)
	return unreadableBox{box, s.err}, err
}

type unreadableBox struct {
	mailbox.Mailbox
	err error
}

func (b unreadableBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	c, err := b.Mailbox.Content(ctx, uid)
	switch {
	case uid == 1:
		return nil, errors.Join(b.err, c.Close())
	case uid == 2 || uid == 4:
		return tornContent{c, b.err}, err
	}
	return c, err
}

// tornContent has an octet that cannot be read.
type tornContent struct {
	mailbox.Content
	err error
}

func (c tornContent) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Content.ReadAt(p, off)
	if off+int64(n) > 5 {
		return 0, c.err
	}
	return n, err
}

func TestMessagesThatCannotBeReadAreLeftOutIfSo(t *testing.T) {
	t.Parallel()
	store := newStore()
	for _, text := range []string{"Subject: a\r\n\r\n", "Subject: b\r\n\r\n", "Subject: c\r\n\r\n", "Subject: d\r\n\r\n" + strings.Repeat("x\r\n", 50_000),
		"Subject: e\r\n\r\n" + strings.Repeat("y\r\n", 50_000)} {
		put(t, store, "INBOX", text, day(1))
	}
	var told []string
	read := func(cause error, opts archive.ExportOptions) (archive.Stats, mailbox.Store, error) {
		told = nil
		to := newStore()
		stats, err := archive.Copy(t.Context(), archive.IntoStore(to, archive.ImportOptions{}), archive.OutOfStore(unreadable{store, cause}, opts), nil)
		return stats, to, err
	}
	leave := archive.ExportOptions{Unreadable: func(where string, err error) { told = append(told, where+": "+err.Error()) }}
	stats, to, err := read(fs.ErrPermission, leave)
	require.NoError(t, err)
	require.Equal(t, 2, stats.Messages)
	require.Equal(t, []string{`mailbox "INBOX", UID 1: permission denied`, `mailbox "INBOX", UID 2: permission denied`,
		`mailbox "INBOX", UID 4: permission denied`}, told)
	have := snapshot(t, to)
	require.Contains(t, strings.Join(have, ""), "Subject: c")
	require.Contains(t, strings.Join(have, ""), "Subject: e")
	_, _, err = read(mailbox.ErrLocked, leave)
	require.ErrorIs(t, err, mailbox.ErrLocked)
	require.Empty(t, told)
	_, _, err = read(fs.ErrPermission, archive.ExportOptions{})
	require.ErrorIs(t, err, fs.ErrPermission)
}

// badBoxes is a store with mailboxes that cannot be read.
type badBoxes struct {
	mailbox.Store
	mailbox.Organizer
	err error
}

func (s badBoxes) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	if name == "Bad" {
		return nil, s.err
	}
	box, err := s.Store.Open(ctx, name)
	if err == nil && name == "Worse" {
		box = badBox{box, s.err}
	}
	return box, err
}

type badBox struct {
	mailbox.Mailbox
	err error
}

func (b badBox) Messages(context.Context, []mailbox.UID) ([]mailbox.Meta, error) { return nil, b.err }

func TestMailboxesThatCannotBeReadAreLeftOutIfSo(t *testing.T) {
	t.Parallel()
	store := newStore()
	for _, name := range []string{"Aa", "Bad", "Cc", "Worse", "Zz"} {
		require.NoError(t, store.(mailbox.Organizer).Create(t.Context(), name, ""))
		put(t, store, name, "Subject: "+name+"\r\n\r\n", day(1))
	}
	bad := badBoxes{store, store.(mailbox.Organizer), fs.ErrPermission}
	var told []string
	leave := archive.ExportOptions{Unreadable: func(where string, err error) { told = append(told, where+": "+err.Error()) }}
	to := newStore()
	stats, err := archive.Copy(t.Context(), archive.IntoStore(to, archive.ImportOptions{}), archive.OutOfStore(bad, leave), nil)
	require.NoError(t, err)
	require.Equal(t, 3, stats.Messages)
	require.Len(t, told, 2)
	require.Contains(t, told[0], `mailbox "Bad": `)
	require.Contains(t, told[1], `mailbox "Worse": `)
	have := strings.Join(snapshot(t, to), "")
	for _, name := range []string{"Aa", "Cc", "Zz"} {
		require.Contains(t, have, "Subject: "+name)
	}
	n, err := archive.Count(t.Context(), bad)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	_, err = archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}), archive.FromStore(bad), nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	bad.err = mailbox.ErrLocked
	_, err = archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}), archive.OutOfStore(bad, leave), nil)
	require.ErrorIs(t, err, mailbox.ErrLocked)
	_, err = archive.Count(t.Context(), bad)
	require.ErrorIs(t, err, mailbox.ErrLocked)
}

// choosy refuses a keyword, as a store with few of them does, before or after it has read the message.
type choosy struct {
	mailbox.Store
	mailbox.Organizer
	early bool
}

func (s choosy) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	box, err := s.Store.Open(ctx, name)
	return choosyBox{box, s.early}, err
}

type choosyBox struct {
	mailbox.Mailbox
	early bool
}

func (b choosyBox) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	if !mailbox.HasFlag(opts.Flags, "rare") {
		return b.Mailbox.Append(ctx, r, opts)
	}
	if !b.early {
		if _, err := io.Copy(io.Discard, io.LimitReader(r, 7)); err != nil {
			return 0, err
		}
	}
	return 0, mailbox.ErrFlags
}

func (b choosyBox) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if mailbox.HasFlag(change.Flags, "rare") {
		return nil, mailbox.ErrFlags
	}
	return b.Mailbox.SetFlags(ctx, uids, change)
}

// What one store has and another does not take is left out. The mail comes.
func TestImportIntoAStoreThatTakesLess(t *testing.T) {
	t.Parallel()
	const content = "Subject: x\r\n\r\nbody\r\n"
	for _, early := range []bool{true, false} {
		store := newStore()
		to := choosy{store, store.(mailbox.Organizer), early}
		w := archive.IntoStore(to, archive.ImportOptions{})
		write := func(e archive.Entry) {
			_, err := w.Write(t.Context(), e)
			require.NoError(t, err)
		}
		write(archive.Entry{Mailbox: &archive.Mailbox{Name: "Odd", Uses: []mailbox.Use{`\Important`}}})
		write(archive.Entry{Mailbox: &archive.Mailbox{Name: "Both", Uses: []mailbox.Use{`\Important`, mailbox.UseSent}}})
		for n := range 2 { // the second is alike, and looked at before it is stored
			write(archive.Entry{Message: &archive.Message{Flags: []mailbox.Flag{mailbox.Seen, "rare", "usual"}, InternalDate: day(1),
				Size: int64(len(content)), Content: strings.NewReader(strings.Replace(content, "x", fmt.Sprint(n), 1))}})
			if n == 0 { // a new view of what is there
				write(archive.Entry{Mailbox: &archive.Mailbox{Name: "Both"}})
			}
		}
		require.NoError(t, w.Close())

		infos := listing(t, store)
		uses := map[string][]mailbox.Use{}
		for _, i := range infos {
			uses[i.Name] = i.Uses
		}
		require.Empty(t, uses["Odd"])
		require.Contains(t, uses, "Odd")
		require.Equal(t, []mailbox.Use{mailbox.UseSent}, uses["Both"])
		box, err := store.Open(t.Context(), "Both")
		require.NoError(t, err)
		metas, err := box.Messages(t.Context(), []mailbox.UID{1, 2})
		require.NoError(t, err)
		require.Len(t, metas, 2)
		for _, m := range metas {
			require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, "usual"}, m.Flags)
			require.EqualValues(t, len(content), m.Size)
		}
	}
}
