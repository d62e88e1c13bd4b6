//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Dovecot has letters for 26 keywords of a mailbox and keeps the others in its index alone: all 35 come over.
func TestDovecotKeywordsBeyond26(t *testing.T) {
	t.Parallel()
	need(t, "dovecot")
	w := newWorld(t)
	d := w.newDovecot(3)
	h := w.newHost(2, "a.test")
	const keywords, messages = 35, 20
	d.start()
	c := d.session()
	c.create("Many")
	for _, name := range []string{"INBOX", "Many"} {
		for n := range messages {
			letter := treeLetter(name, n)
			c.do(`APPEND "%s" () {%d+}`+"\r\n%s", name, len(letter), letter)
		}
		c.open("SELECT", name)
		for k := range keywords {
			c.do(`STORE %d:%d +FLAGS.SILENT ($Word%02d)`, k%messages+1, min(k%messages+5, messages), k)
		}
		c.do(`STORE 7 -FLAGS.SILENT ($Word33)`)
		c.do(`STORE 8 FLAGS.SILENT (\Seen $Word34 $Word01)`)
		c.do(`CLOSE`)
	}
	made := c.dump()
	c.logout()
	d.stop()

	letters, err := os.ReadFile(filepath.Join(d.maildir(), "dovecot-keywords"))
	require.NoError(t, err)
	require.NotContains(t, string(letters), "$Word34", "Dovecot has no letter for it")
	all := map[string]bool{}
	for _, flags := range flagsOf(made.Boxes["Many"]) {
		for _, flag := range flags {
			all[flag] = true
		}
	}
	for k := range keywords {
		require.True(t, all[fmt.Sprintf("$Word%02d", k)], "$Word%02d", k)
	}

	sameBoxes := func(when string) {
		t.Helper()
		got := c.dump()
		for _, name := range []string{"INBOX", "Many"} {
			require.Len(t, got.Boxes[name].Letters, messages, "%s, %s", name, when)
			require.Equal(t, made.Boxes[name].Validity, got.Boxes[name].Validity, "%s, %s", name, when)
			require.Equal(t, flagsOf(made.Boxes[name]), flagsOf(got.Boxes[name]), "%s, %s", name, when)
		}
	}
	move(t, d.maildir(), filepath.Join(h.dir, "data", "mail", "a.test", "ann"))
	h.start()
	c = dialIMAP(t, net.JoinHostPort(h.ip, "993"), "ann@a.test", h.ca.ClientConfig(h.name))
	sameBoxes("opened here")
	c.logout()
	h.stop()
	for _, pattern := range []string{"*/dovecot.index*", "dovecot.index*"} { // as the README has it, once one is sure to stay
		found, err := filepath.Glob(filepath.Join(h.dir, "data", "mail", "a.test", "ann", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		for _, path := range found {
			require.NoError(t, os.Remove(path))
		}
	}
	h.start()
	c = dialIMAP(t, net.JoinHostPort(h.ip, "993"), "ann@a.test", h.ca.ClientConfig(h.name))
	sameBoxes("without Dovecot's index")
	c.logout()
}
