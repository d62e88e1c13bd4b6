//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// How much each does in TestDovecotBeside.
const (
	besideFirst  = 20 // messages that are there before, whose flags both change
	besideRounds = 120
)

var appendUID = regexp.MustCompile(`\[APPENDUID \d+ (\d+)\]`)

// given are the UIDs that a server has told, and what they mean.
type given struct {
	mu   sync.Mutex
	ids  map[int]string
	gone map[int]bool
}

// append puts a message into INBOX and notes its UID.
func (g *given) append(c *imapRaw, name string, n int, flags string) int {
	text := treeLetter(name, n)
	_, end := c.do("APPEND INBOX (%s) {%d+}\r\n%s", flags, len(text), text)
	found := appendUID.FindStringSubmatch(end)
	if found == nil {
		c.t.Errorf("no UID: %s", end)
		return 0
	}
	uid, _ := strconv.Atoi(found[1])
	g.mu.Lock()
	defer g.mu.Unlock()
	id := fmt.Sprintf("<%d.%x@example.org>", n, name)
	if other, ok := g.ids[uid]; ok {
		c.t.Errorf("UID %d is of %s and %s", uid, other, id)
	}
	g.ids[uid] = id
	return uid
}

func (g *given) expunge(c *imapRaw, uid int) {
	c.do(`UID STORE %d +FLAGS.SILENT (\Deleted)`, uid)
	c.do("UID EXPUNGE %d", uid)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone[uid] = true
}

// work changes INBOX as a client does, with flags and keywords of its own.
func (g *given) work(c *imapRaw, who string, flag string) {
	c.open("SELECT", "INBOX")
	for n := range besideRounds {
		uid := g.append(c, who, n, flag)
		set := fmt.Sprintf("%d,%d", 1+n%besideFirst, 1+(n*7)%besideFirst)
		if n%3 == 0 {
			c.do(`UID STORE %s -FLAGS.SILENT (%s %s-%d)`, set, flag, who, n%5)
		} else {
			c.do(`UID STORE %s +FLAGS.SILENT (%s %s-%d)`, set, flag, who, n%5)
		}
		if n%4 == 0 {
			g.expunge(c, uid)
		}
	}
	c.do(`UID STORE 1:%d +FLAGS.SILENT (%s %s-end)`, besideFirst, flag, who)
}

// Dovecot and we use one account at the same time: what either takes in or changes is there once, with one UID, for both.
func TestDovecotBeside(t *testing.T) {
	t.Parallel()
	need(t, "dovecot")
	w := newWorld(t)
	d := w.newDovecot(3)
	h := w.newHost(2, "a.test")
	h.configure("[run]\nuser = \"mail\"") // so that each can read what the other has written
	require.NoError(t, os.Chmod(w.dir, 0o711))
	require.NoError(t, os.Chmod(h.dir, 0o711))
	sh(t, "chown -R mail: $DIR; mkdir -p $DIR/data/mail/a.test; chown -R mail: $DIR", "DIR="+h.dir)
	home := filepath.Join(h.dir, "data", "mail", "a.test", "ann")

	d.start()
	for n := range besideFirst {
		d.lmtp(treeLetter("first", n))
	}
	c := d.session()
	c.open("SELECT", "INBOX")
	require.Len(t, c.fetch(), besideFirst)
	c.logout()
	d.stop()
	move(t, d.maildir(), home)
	require.NoError(t, os.Symlink(home, d.maildir()))
	h.start()
	d.start()

	ours := func() *imapRaw {
		return dialIMAP(t, net.JoinHostPort(h.ip, "993"), "ann@a.test", h.ca.ClientConfig(h.name))
	}
	g := &given{ids: map[int]string{}, gone: map[int]bool{}}
	here, there := ours(), d.session()
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { g.work(here, "ours", `\Answered`) })
	wg.Go(func() { g.work(there, "theirs", `\Flagged`) })
	wg.Go(func() {
		for n := range besideRounds {
			d.lmtp(treeLetter("handed in", n))
		}
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%v", time.Since(began))
	here.logout()
	there.logout()

	want := map[string]int{}
	for n := range besideFirst {
		want[fmt.Sprintf("<%d.%x@example.org>", n, "first")]++
	}
	for n := range besideRounds {
		want[fmt.Sprintf("<%d.%x@example.org>", n, "handed in")]++
	}
	for uid, id := range g.ids {
		if !g.gone[uid] {
			want[id]++
		}
	}
	for who, session := range map[string]func() *imapRaw{"here": ours, "there": d.session} {
		eventually(t, who, func() error {
			c := session()
			defer c.logout()
			c.open("SELECT", "INBOX")
			letters := c.fetch()
			got := map[string]int{}
			for _, l := range letters {
				got[l.MessageID]++
			}
			if fmt.Sprint(want) != fmt.Sprint(got) {
				return fmt.Errorf("%d messages, not %d: %v, not %v", len(got), len(want), got, want)
			}
			return nil
		})
	}
	here, there = ours(), d.session()
	a, b := here.dump(), there.dump()
	same(t, a, b, "beside each other")
	for uid, id := range g.ids {
		if l, ok := a.Boxes["INBOX"].Letters[uid]; ok {
			require.Equal(t, id, l.MessageID, "UID %d", uid)
		} else {
			require.True(t, g.gone[uid], "UID %d", uid)
		}
	}
	for uid := 1; uid <= besideFirst; uid++ {
		require.Subset(t, a.Boxes["INBOX"].Letters[uid].Flags, []string{`\Answered`, `\Flagged`, "ours-end", "theirs-end"}, "UID %d", uid)
	}
	here.logout()
	there.logout()
	lock, err := filepath.Glob(filepath.Join(home, "*.lock"))
	require.NoError(t, err)
	require.NotContains(t, lock, filepath.Join(home, "dovecot-uidlist.lock"))
	log, err := os.ReadFile(filepath.Join(d.dir, "log"))
	require.NoError(t, err)
	require.NotRegexp(t, `(?i)error|corrupt|duplicate|reappeared`, string(log))
}
