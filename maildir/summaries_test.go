package maildir_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// watchedFiles counts how often messages are opened, and lets the log of summaries run out of room.
type watchedFiles struct {
	durable.FS

	mu     sync.Mutex
	opened map[string]int // by the names of the files without flags
	room   int            // octets that may still be written to logs; negative: as many as one likes
}

func watchFiles() *watchedFiles {
	return &watchedFiles{FS: unsynced{durable.OS()}, opened: map[string]int{}, room: -1}
}

func (w *watchedFiles) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := w.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	switch sub := filepath.Base(filepath.Dir(name)); {
	case sub == "cur" || sub == "new":
		base, _, _ := strings.Cut(filepath.Base(name), ":")
		w.mu.Lock()
		w.opened[base]++
		w.mu.Unlock()
	case strings.HasPrefix(filepath.Base(name), "mailbricks-summaries"):
		return &boundedFile{f, w}, nil
	}
	return f, nil
}

// boundedFile writes as far as there is room.
type boundedFile struct {
	durable.File
	w *watchedFiles
}

func (b *boundedFile) Write(p []byte) (int, error) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.w.room < 0 || len(p) <= b.w.room {
		b.w.room -= min(len(p), max(b.w.room, 0))
		return b.File.Write(p)
	}
	n, err := b.File.Write(p[:b.w.room])
	b.w.room = 0
	if err == nil {
		err = &fs.PathError{Op: "write", Path: b.Name(), Err: syscall.ENOSPC}
	}
	return n, err
}

// take tells how often messages were opened since the last time.
func (w *watchedFiles) take() (times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.opened {
		times += n
	}
	clear(w.opened)
	return times
}

func (w *watchedFiles) setRoom(octets int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.room = octets
}

// listing is an account whose INBOX is listed.
type listing struct {
	t     *testing.T
	root  string
	files *watchedFiles
	m     *maildir.Maildir
	store mailbox.Store
	box   mailbox.Mailbox
}

func newListing(t *testing.T, messages int) *listing {
	l := &listing{t: t, root: t.TempDir(), files: watchFiles()}
	t.Cleanup(l.stop)
	l.start()
	for n := range messages {
		appendTo(t, l.box, listingText(n))
	}
	return l
}

func listingText(n int) string {
	return fmt.Sprintf("From: sender%d@example.org\r\nSubject: matter %d\r\n\r\nHello\r\n", n, n)
}

func (l *listing) start() {
	var err error
	l.m = newMaildir(l.t, l.root, 0)
	l.m.Folders = []maildir.Folder{}
	maildir.SetFS(l.m, l.files)
	l.store, err = l.m.Store(l.t.Context(), mailbricks.Identity{User: ann})
	require.NoError(l.t, err)
	l.box, err = l.store.Open(l.t.Context(), mailbox.Inbox)
	require.NoError(l.t, err)
}

// stop ends the process, when what it does in the background is done.
func (l *listing) stop() {
	if l.m == nil {
		return
	}
	require.NoError(l.t, l.box.Close())
	require.NoError(l.t, l.store.Close())
	require.NoError(l.t, l.m.Close())
	l.m = nil
}

func (l *listing) restart() {
	l.stop()
	l.start()
}

func (l *listing) path(name string) string { return filepath.Join(l.root, "example.com", "ann", name) }

// logs are the files of the log, the first one first.
func (l *listing) logs() []string {
	l.t.Helper()
	found, err := filepath.Glob(l.path("mailbricks-summaries.*"))
	require.NoError(l.t, err)
	out := []string{l.path("mailbricks-summaries")}
	for _, path := range found {
		if !strings.HasSuffix(path, ".lock") {
			out = append(out, path)
		}
	}
	return out
}

// list lists the mailbox, sees that all is right, and says how many messages were opened for that.
func (l *listing) list() int {
	l.t.Helper()
	l.files.take()
	uids := uidsOf(l.t, l.box)
	metas, err := l.box.Messages(l.t.Context(), uids)
	require.NoError(l.t, err)
	require.Len(l.t, metas, len(uids))
	list, err := l.box.(mailbox.Summarizer).Summaries(l.t.Context(), uids)
	require.NoError(l.t, err)
	require.Len(l.t, list, len(uids))
	opened := l.files.take()
	for i, s := range list {
		require.Equal(l.t, uids[i], s.UID)
		want, err := mailbox.Summarize(strings.NewReader(text(l.t, l.box, s.UID)))
		require.NoError(l.t, err)
		require.Equal(l.t, want, s.Data, "UID %d", s.UID)
	}
	l.files.take()
	return opened
}

// replace puts a file in the place of another, as a program does that does not know of our locks.
func (l *listing) replace(path string, data []byte) {
	l.t.Helper()
	require.NoError(l.t, os.WriteFile(path+".other", data, 0o600))
	require.NoError(l.t, os.Rename(path+".other", path))
}

func TestListingOpensMessagesOnce(t *testing.T) {
	t.Parallel()
	l := newListing(t, 12)
	require.Equal(t, 12, l.list())
	require.Zero(t, l.list())
	l.restart()
	require.Zero(t, l.list())

	deliver(t, l.m, listingText(20))
	require.LessOrEqual(t, l.list(), 1, "if nobody has looked at it in the background")
	require.Zero(t, l.list())
	appendTo(t, l.box, listingText(21))
	_, err := l.box.Copy(t.Context(), []mailbox.UID{1, 2, 3}, mailbox.Inbox)
	require.NoError(t, err)
	_, err = l.box.SetFlags(t.Context(), []mailbox.UID{4}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.NoError(t, err)
	require.LessOrEqual(t, l.list(), 1)
	require.Zero(t, l.list())
	l.restart()
	require.Zero(t, l.list())
}

// What comes to a mailbox that was ever listed is summarized by the process that takes it, also if nobody lists it there.
func TestDeliveredMailIsSummarizedBeforeItIsListed(t *testing.T) {
	t.Parallel()
	l := newListing(t, 3)
	l.list()
	l.restart()
	for n := range 5 {
		deliver(t, l.m, listingText(10+n))
		require.Len(t, uidsOf(t, l.box), 4+n)
	}
	l.restart()
	require.Zero(t, l.list())
	require.Len(t, uidsOf(t, l.box), 8)
}

// Whatever is missing of the log, or damaged in it, is made again, and only once.
func TestSummaryLogDamage(t *testing.T) {
	t.Parallel()
	l := newListing(t, 3)
	l.list()
	logs := l.logs()
	require.Len(t, logs, 2)
	good := make([][]byte, 2)
	for i := range good {
		var err error
		good[i], err = os.ReadFile(logs[i])
		require.NoError(t, err)
	}
	check := func(file int, data []byte, what string, at int) {
		t.Helper()
		for _, path := range l.logs() {
			require.NoError(t, ignoreMissing(os.Remove(path)))
		}
		for i := range good {
			if i != file {
				l.replace(logs[i], good[i])
			}
		}
		l.replace(logs[file], data)
		l.list()
		require.Zero(t, l.list(), "%s %d of file %d is not mended", what, at, file)
	}
	for file, data := range good {
		step := 1 + file*15
		for at := 0; at < len(data); at += step {
			check(file, data[:at], "length", at)
			flipped := append([]byte(nil), data...)
			flipped[at] ^= 1 << (at % 8)
			check(file, flipped, "octet", at)
		}
		check(file, append(append([]byte(nil), data...), "torn"...), "end", len(data))
	}
	l.restart()
	require.Zero(t, l.list())
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// A log of another version, of the log or of what is in it, is made anew.
func TestSummaryLogOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for _, change := range [][2]string{
		{"mailbricks-summaries 1 ", "mailbricks-summaries 2 "}, {"mailbricks-summaries 1 ", "mailbricks-summaries 0 "},
		{" S1 ", " S2 "}, {" S1 ", " S0 "}, {" V1", " V2"}, {"mailbricks-summaries 1 ", "mailbricks-summaries 2 more "},
	} {
		l := newListing(t, 3)
		l.list()
		data, err := os.ReadFile(l.logs()[0])
		require.NoError(t, err)
		changed := strings.Replace(string(data), change[0], change[1], 1)
		require.NotEqual(t, string(data), changed)
		l.replace(l.logs()[0], []byte(changed))
		l.restart()
		require.Equal(t, 3, l.list(), "%q", change)
		require.Zero(t, l.list(), "%q", change)
		l.restart()
		require.Zero(t, l.list(), "%q", change)
		require.Len(t, l.logs(), 2)
	}
}

func TestSummaryLogIsShortened(t *testing.T) {
	t.Parallel()
	l := newListing(t, 40)
	l.list()
	made, err := mailbox.Summarize(strings.NewReader(listingText(0)))
	require.NoError(t, err)
	for range 30 {
		require.NoError(t, maildir.KeepSummaries(l.box, made))
	}
	l.stop() // waits for the background
	for _, path := range l.logs() {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(100+40*10*(36+len(made))), "%s", path)
	}
	l.start()
	require.Len(t, l.logs(), 2)
	_, err = l.box.Expunge(t.Context(), uidsOf(t, l.box)[1:])
	require.NoError(t, err)
	require.Zero(t, l.list(), "the last one of each counts, which is right for the first message")
}

// Another program removes files of the log while it is in use.
func TestSummaryLogIsRemovedUnderneath(t *testing.T) {
	t.Parallel()
	l := newListing(t, 3)
	l.list()
	for _, which := range [][]int{{0}, {1}, {0, 1}} {
		logs := l.logs()
		for _, i := range which {
			require.NoError(t, os.Remove(logs[i]))
		}
		require.Equal(t, 3, l.list(), "%d", which)
		require.Zero(t, l.list(), "%d", which)
		require.Len(t, l.logs(), 2)
	}
	require.NoError(t, os.Remove(l.path("mailbricks-summaries.lock")))
	appendTo(t, l.box, listingText(3))
	l.list()
	require.Zero(t, l.list())
}

// Two processes list one mailbox, add to its log and write it anew.
func TestSummaryLogOfTwoProcesses(t *testing.T) {
	t.Parallel()
	a := newListing(t, 5)
	b := &listing{t: t, root: a.root, files: watchFiles()}
	b.start()
	t.Cleanup(b.stop)
	require.Equal(t, 5, a.list())
	require.Zero(t, b.list(), "the other one has made them")
	for n := range 3 {
		appendTo(t, b.box, listingText(10+n))
		b.list()
		require.Zero(t, a.list())
	}
	var work sync.WaitGroup
	for i, l := range []*listing{a, b} {
		work.Go(func() {
			for n := range 10 {
				text := listingText(100*i + n)
				if _, err := l.box.Append(t.Context(), strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text))}); err != nil {
					t.Error(err)
				}
				uids, _, err := l.box.UIDs(t.Context())
				if err == nil {
					_, err = l.box.(mailbox.Summarizer).Summaries(t.Context(), uids)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	a.restart() // waits for what is done in the background
	b.restart()
	a.list()
	require.Zero(t, a.list())
	require.Zero(t, b.list())

	require.NoError(t, maildir.RewriteSummaries(a.box))
	require.Zero(t, b.list(), "finds what the other one has written anew")
	appendTo(t, b.box, listingText(50))
	b.list()
	require.Zero(t, a.list())
	require.Len(t, a.logs(), 2)
}

// One process has summaries of messages that another does not know of yet, though it reads the log.
func TestSummariesOfMessagesThatAreNotKnownYet(t *testing.T) {
	t.Parallel()
	a := newListing(t, 2)
	a.list()
	b := &listing{t: t, root: a.root, files: watchFiles()}
	b.start()
	t.Cleanup(b.stop)
	appendTo(t, b.box, listingText(3))
	b.list()
	b.restart() // waits for the background
	b.list()
	_, err := a.box.(mailbox.Summarizer).Summaries(t.Context(), []mailbox.UID{1}) // looks at the log only
	require.NoError(t, err)
	require.Zero(t, a.list())
	require.Len(t, uidsOf(t, a.box), 3)
}

// On a full disk messages are listed all the same, and when there is room again the log goes on.
func TestSummaryLogOnAFullDisk(t *testing.T) {
	t.Parallel()
	for room := range 8 {
		room *= 97
		l := newListing(t, 3)
		if room%2 == 0 { // with a log or without
			l.list()
			appendTo(t, l.box, listingText(4))
		}
		l.files.setRoom(room)
		l.list()
		appendTo(t, l.box, listingText(5))
		l.list()
		l.files.setRoom(-1)
		appendTo(t, l.box, listingText(6))
		l.list()
		l.list()
		require.Zero(t, l.list(), "%d octets of room", room)
		l.restart()
		require.Zero(t, l.list(), "%d octets of room", room)
	}
}

// A message is another one under the same name (which no program should do): that is noticed when it is opened.
func TestMessageIsReplacedUnderItsName(t *testing.T) {
	t.Parallel()
	l := newListing(t, 3)
	l.list()
	path, err := maildir.FileOf(l.path(""), 2)
	require.NoError(t, err)
	l.replace(path, []byte("Subject: another one, which is longer\r\n\r\nThat is all there is to say about it.\r\n"))
	require.Contains(t, text(t, l.box, 2), "another one")
	l.restart()
	require.Zero(t, l.list(), "made again when it was noticed")
	metas, err := l.box.Messages(t.Context(), []mailbox.UID{2})
	require.NoError(t, err)
	require.EqualValues(t, len(text(t, l.box, 2)), metas[0].Size)
}

// A UID is that of another file: a backup of the uidlist was put back, say. The summary of the old one does not count.
func TestSummaryIsOfTheFile(t *testing.T) {
	t.Parallel()
	l := newListing(t, 3)
	l.list()
	l.stop()
	path, err := maildir.FileOf(l.path(""), 2)
	require.NoError(t, err)
	base := strings.TrimSuffix(filepath.Base(path), ":2,")
	other := "Subject: quite another\r\n\r\n"
	name := fmt.Sprintf("1700000000.M1P1.other,S=%d,W=%d", len(other), len(other))
	require.NoError(t, os.WriteFile(l.path("cur/"+name+":2,"), []byte(other), 0o600))
	require.NoError(t, os.Remove(path))
	list, err := os.ReadFile(l.path("dovecot-uidlist"))
	require.NoError(t, err)
	require.Contains(t, string(list), base)
	require.NoError(t, os.WriteFile(l.path("dovecot-uidlist"), []byte(strings.ReplaceAll(string(list), base, name)), 0o600))
	l.start()
	require.Equal(t, 1, l.list())
	require.Zero(t, l.list())
}
