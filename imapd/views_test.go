package imapd_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailbox"
)

// modelClient is what a client knows of a mailbox, from the responses it got and nothing else.
type modelClient struct {
	t fataler
	*client
	uids   []int // by sequence number; 0: not yet known
	flags  map[int]string
	recent int
	tags   int
}

// fataler is a testing.T or a rapid.T.
type fataler interface {
	Fatalf(format string, args ...any)
}

var fetchLine = regexp.MustCompile(`^\* (\d+) FETCH \((?:UID (\d+) )?FLAGS \(([^)]*)\)\)$`)

// run sends a command and replays its responses.
func (m *modelClient) run(command string) string {
	m.tags++
	tag := fmt.Sprintf("t%d", m.tags)
	m.send(tag + " " + command + "\r\n")
	for {
		line := m.line()
		if rest, tagged := strings.CutPrefix(line, tag+" "); tagged {
			m.silent(command)
			return rest
		}
		m.replay(command, line)
	}
}

var silentStore = regexp.MustCompile(`^(UID )?STORE (\d+):(\d+) \+FLAGS\.SILENT \((.*)\)$`)

// silent does what the client knows that a .SILENT STORE of its own did.
func (m *modelClient) silent(command string) {
	parts := silentStore.FindStringSubmatch(command)
	if parts == nil {
		return
	}
	first, _ := strconv.Atoi(parts[2])
	last, _ := strconv.Atoi(parts[3])
	for i, uid := range m.uids {
		n := i + 1
		if parts[1] != "" {
			n = uid
		}
		old, known := m.flags[uid]
		if known && n >= min(first, last) && n <= max(first, last) {
			list := strings.Fields(old + " " + parts[4])
			sort.Strings(list)
			m.flags[uid] = strings.Join(slices.Compact(list), " ")
		}
	}
}

func (m *modelClient) replay(command, line string) {
	fields := strings.Fields(line)
	n := 0
	if len(fields) > 2 {
		n, _ = strconv.Atoi(fields[1])
	}
	switch {
	case len(fields) < 3:
	case fields[2] == "EXISTS":
		if n < len(m.uids) {
			m.t.Fatalf("%s: EXISTS went from %d to %d", command, len(m.uids), n)
		}
		m.uids = append(m.uids, make([]int, n-len(m.uids))...)
	case fields[2] == "RECENT":
		m.recent = n
	case fields[2] == "EXPUNGE":
		if regexp.MustCompile(`FETCH|STORE|SEARCH`).MatchString(command) {
			m.t.Fatalf("EXPUNGE during %s", command)
		}
		if n < 1 || n > len(m.uids) {
			m.t.Fatalf("%s: EXPUNGE %d of %d", command, n, len(m.uids))
		}
		delete(m.flags, m.uids[n-1])
		m.uids = slices.Delete(m.uids, n-1, n)
	case fields[2] == "FETCH":
		m.replayFetch(line)
	}
}

func (m *modelClient) replayFetch(line string) {
	parts := fetchLine.FindStringSubmatch(line)
	if strings.Contains(line, "BODY[]") {
		return
	}
	if parts == nil {
		m.t.Fatalf("cannot read %q", line)
	}
	seq, _ := strconv.Atoi(parts[1])
	if seq < 1 || seq > len(m.uids) {
		m.t.Fatalf("FETCH %d of %d", seq, len(m.uids))
	}
	if parts[2] != "" {
		uid, _ := strconv.Atoi(parts[2])
		if known := m.uids[seq-1]; known != 0 && known != uid {
			m.t.Fatalf("message %d has UID %d, was %d", seq, uid, known)
		}
		m.uids[seq-1] = uid
	}
	if uid := m.uids[seq-1]; uid != 0 {
		m.flags[uid] = clean(parts[3])
	}
}

// clean sorts flags and takes \Recent off.
func clean(flags string) string {
	list := slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return f == `\Recent` })
	sort.Strings(list)
	return strings.Join(list, " ")
}

// TestSessionsStayInStep runs random commands in three sessions on one mailbox. What each of them was told, replayed by a
// client that believes everything, must at the end be what is in the mailbox.
func TestSessionsStayInStep(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := start(t, nil)
		defer w.stop()
		w.numbered(rapid.IntRange(0, 8).Draw(rt, "messages"))
		w.login().do("x CREATE other")
		clients := make([]*modelClient, 3)
		for i := range clients {
			clients[i] = &modelClient{t: rt, client: w.login(), flags: map[int]string{}}
			clients[i].run("SELECT INBOX")
		}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			c := clients[rapid.IntRange(0, 2).Draw(rt, "client")]
			command := drawCommand(rt, len(c.uids))
			if answer := c.run(command); strings.HasPrefix(answer, "BAD") {
				rt.Fatalf("%s: %s", command, answer)
			}
		}
		uids, flags := truth(w)
		want := fmt.Sprint(uids, flags)
		for i, c := range clients {
			c.run("NOOP")
			// What it was told without asking must be right of all messages that it has ever asked about.
			for uid, believed := range c.flags {
				if actual, there := flags[uid]; !there || actual != believed {
					rt.Fatalf("client %d believes that %d has %q, of %s", i, uid, believed, want)
				}
			}
			c.run("UID FETCH 1:* (FLAGS)")
			if got := fmt.Sprint(c.uids, c.flags); got != want {
				rt.Fatalf("client %d has %s\nthere is %s", i, got, want)
			}
		}
	})
}

// TestSessionsAtOnce runs sessions on one mailbox really at the same time, one of them in IDLE.
func TestSessionsAtOnce(t *testing.T) {
	t.Parallel()
	for store, start := range stores() {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			sessionsAtOnce(t, start(t))
		})
	}
}

func sessionsAtOnce(t *testing.T, w *world) {
	w.numbered(20)
	w.login().do("x CREATE other")
	commands := []string{"NOOP", "EXPUNGE", "UID FETCH 1:* (FLAGS)", "UID STORE 2:50 +FLAGS (\\Seen)", "UID STORE 5:99 -FLAGS (\\Seen)",
		"UID STORE 3:9 +FLAGS (\\Deleted)", "APPEND INBOX (\\Seen) {12+}\r\nA: b\r\n\r\nbody", "UID COPY 1:3 INBOX", "UID MOVE 12:15 other",
		"UID MOVE 22:23 INBOX", "SEARCH UNSEEN", "UID FETCH 1:* (BODY.PEEK[]<0.1>)", "STATUS INBOX (MESSAGES)"}
	idler := &modelClient{t: t, client: w.login(), flags: map[int]string{}}
	idler.run("SELECT INBOX")
	idler.Talk("C: i IDLE\nS: + idling")
	var sessions sync.WaitGroup
	clients := make([]*modelClient, 4)
	for i := range clients {
		c := &modelClient{t: t, client: w.login(), flags: map[int]string{}}
		clients[i] = c
		sessions.Go(func() {
			c.run("SELECT INBOX")
			for n := range 100 {
				command := commands[(n*(i*7+5)+i)%len(commands)]
				if answer := c.run(command); strings.HasPrefix(answer, "BAD") {
					t.Errorf("%s: %s", command, answer)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for line := idler.line(); !strings.HasPrefix(line, "i "); line = idler.line() {
			idler.replay("IDLE", line)
		}
	}()
	sessions.Wait()
	idler.send("DONE\r\n")
	<-ended
	uids, flags := truth(w)
	for i, c := range append(clients, idler) {
		c.run("NOOP")
		for uid, believed := range c.flags {
			require.Equal(t, flags[uid], believed, "client %d, message %d", i, uid)
		}
		c.run("UID FETCH 1:* (FLAGS)")
		require.Equal(t, fmt.Sprint(uids, flags), fmt.Sprint(c.uids, c.flags), "client %d", i)
	}
}

// drawCommand makes a command for a view of n messages.
func drawCommand(t *rapid.T, n int) string {
	flags := rapid.SampledFrom([]string{`\Seen`, `\Deleted`, `\Deleted \Seen`, `key`, ``}).Draw(t, "flags")
	op := rapid.SampledFrom([]string{"FLAGS", "+FLAGS", "-FLAGS", "+FLAGS.SILENT"}).Draw(t, "op")
	set := "1:*"
	if n > 0 {
		set = fmt.Sprintf("%d:%d", rapid.IntRange(1, n).Draw(t, "from"), rapid.IntRange(1, n).Draw(t, "to"))
	}
	commands := []string{"NOOP", "CHECK", "EXPUNGE", "UID FETCH 1:* (FLAGS)", "UID STORE 2:5 " + op + " (" + flags + ")", "UID EXPUNGE 1:7",
		"APPEND INBOX (" + flags + ") {12+}\r\nA: b\r\n\r\nbody", "UID SEARCH SEEN", "UID COPY 1:4 INBOX", "UID MOVE 3:4 other", "STATUS INBOX (MESSAGES)"}
	if n > 0 {
		commands = append(commands, "FETCH "+set+" (FLAGS)", "STORE "+set+" "+op+" ("+flags+")", "SEARCH "+set, "COPY "+set+" INBOX", "MOVE "+set+" INBOX", "MOVE "+set+" other")
	}
	return rapid.SampledFrom(commands).Draw(t, "command")
}

// truth is what is in INBOX, past the server.
func truth(w *world) (uids []mailbox.UID, flags map[int]string) {
	box := w.box("INBOX")
	defer box.Close()
	uids, _, err := box.UIDs(w.t.Context())
	require.NoError(w.t, err)
	metas, err := box.Messages(w.t.Context(), uids)
	require.NoError(w.t, err)
	flags = map[int]string{}
	for _, m := range metas {
		words := make([]string, len(m.Flags))
		for i, f := range m.Flags {
			words[i] = string(f)
		}
		flags[int(m.UID)] = clean(strings.Join(words, " "))
	}
	return uids, flags
}

// forgetful is a mailbox without a change log.
type forgetful struct {
	mailbox.Mailbox
}

func (forgetful) Changes(context.Context, mailbox.ModSeq) (mailbox.Changes, error) {
	return mailbox.Changes{}, mailbox.ErrTooOld
}

// Without a change log the same is told, by comparing.
func TestStoreWithoutChangeLog(t *testing.T) {
	t.Parallel()
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return forgetful{b} })
	w.numbered(5)
	a, b := w.selected(), w.selected()
	a.do("a STORE 2,4 +FLAGS.SILENT (\\Deleted)")
	a.do("a EXPUNGE")
	a.do("a STORE 1 +FLAGS.SILENT (\\Flagged)")
	a.do("a APPEND INBOX (\\Seen) {12+}\r\nA: b\r\n\r\nbody")
	b.Talk(`
		C: a FETCH 1 UID
		S: * 1 FETCH (UID 1)
		S: * 6 EXISTS
		S: * 0 RECENT
		S: * 1 FETCH (FLAGS (\Flagged))
		S: a OK FETCH completed
		C: b NOOP
		S: * 4 EXPUNGE
		S: * 2 EXPUNGE
		S: b OK NOOP completed
		C: c UID FETCH 1:* FLAGS
		S: * 1 FETCH (UID 1 FLAGS (\Flagged))
		S: * 2 FETCH (UID 3 FLAGS ())
		S: * 3 FETCH (UID 5 FLAGS ())
		S: * 4 FETCH (UID 6 FLAGS (\Seen))
		S: c OK UID FETCH completed
	`)
}

// \Recent is shown to one session only (RFC 3501 §2.3.2).
func TestRecent(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(2)
	a, b := w.selected(), w.selected()
	a.Talk(`
		C: a FETCH 1:2 FLAGS
		S: * 1 FETCH (FLAGS (\Recent))
		S: * 2 FETCH (FLAGS (\Recent))
		S: a OK FETCH completed
	`)
	b.Talk(`
		C: a FETCH 1:2 FLAGS
		S: * 1 FETCH (FLAGS ())
		S: * 2 FETCH (FLAGS ())
		S: a OK FETCH completed
	`)
	w.put(mail("3"))
	b.Talk(`
		C: b NOOP
		S: * 3 EXISTS
		S: * 1 RECENT
		S: b OK NOOP completed
	`)
	a.Talk(`
		C: b NOOP
		S: * 3 EXISTS
		S: * 2 RECENT
		S: b OK NOOP completed
		C: c FETCH 3 FLAGS
		S: * 3 FETCH (FLAGS ())
		S: c OK FETCH completed
	`)
}
