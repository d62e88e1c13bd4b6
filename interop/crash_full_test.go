//go:build interop

package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallDisk mounts a file system of its own, which is full soon, where an account's mail lies, or skips the test.
func smallDisk(t *testing.T, dir string, size string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput()
	if err != nil {
		t.Skipf("nothing can be mounted here, so that no disk can be full: %v: %s", err, out)
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", "-l", dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
}

// fill leaves so many octets free on the disk, as near as it can.
func fill(t *testing.T, dir string, free int) {
	t.Helper()
	file := filepath.Join(dir, "filler")
	require.NoError(t, os.RemoveAll(file))
	f, err := os.Create(file)
	require.NoError(t, err)
	block := make([]byte, 4096)
	size := 0
	for {
		n, err := f.Write(block)
		size += n
		if err != nil {
			break // there is no more room
		}
	}
	require.NoError(t, f.Truncate(int64(max(size-free, 0))))
	require.NoError(t, f.Close())
}

// letterTo delivers a message and gives the reply to its end, or that which has refused it before.
func letterTo(t *testing.T, h *host, to, subject string, lines int) string {
	t.Helper()
	c, err := textproto.Dial("tcp", h.ip+":25")
	require.NoError(t, err)
	defer c.Close()
	expect := func() string {
		code, text, err := c.ReadResponse(0)
		require.NoError(t, err)
		return fmt.Sprintf("%d %s", code, text)
	}
	expect()
	for _, command := range []string{"EHLO full.test", "MAIL FROM:<x@burst.test>", "RCPT TO:<" + to + ">", "DATA"} {
		require.NoError(t, c.PrintfLine("%s", command))
		if reply := expect(); reply[0] != '2' && reply[0] != '3' {
			return reply
		}
	}
	require.NoError(t, c.PrintfLine("Subject: %s\r\n\r\n%send\r\n.", subject, strings.Repeat("Line of "+subject+"\r\n", lines)))
	return expect()
}

// On a disk that is full, or nearly, mail is refused for now and nothing of what there is is broken; when there is room again,
// all works on. What was taken is there, once, and what was refused is not.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := []string{"[policy]", `trusted_networks = ["127.0.0.0/8"]`, "[limits]", "connections_per_ip = 100"}
	h := w.newHost(2, "full.test", append(config, `free_space = "1M"`)...)
	disk := filepath.Join(h.dir, "data", "mail")
	smallDisk(t, disk, "16m")
	h.start()
	dialAnn := func() *brittle {
		c, err := dialBrittle(h.ip+":993", h.user("ann"), "secret", &tls.Config{RootCAs: h.ca.Pool(), ServerName: h.name})
		require.NoError(t, err)
		return c
	}
	c := dialAnn()
	there := map[string]int{}
	for i := range 5 {
		subject := fmt.Sprintf("before-%d", i)
		_, err := c.append("INBOX", subject, "()", 5)
		require.NoError(t, err)
		there[subject] = 1
	}

	// Nearly full: it is refused before anything is written.
	fill(t, disk, 512<<10)
	require.Regexp(t, `^452 4\.3\.1 `, letterTo(t, h, h.user("ann"), "nearly", 5))
	_, err := c.append("INBOX", "nearly", "()", 5)
	require.ErrorIs(t, err, errRefused)
	require.Regexp(t, `NO \[(LIMIT|OVERQUOTA|UNAVAILABLE)\]`, err.Error())
	c.close()
	h.stop()

	// Full while it is written: at each of some places.
	h.configure(append(config, `free_space = "1k"`)...)
	h.start()
	c = dialAnn()
	_, _, err = c.do("CREATE Work")
	require.True(t, err == nil || errors.Is(err, errRefused), "%v", err)
	if err != nil {
		require.NoError(t, os.Remove(filepath.Join(disk, "filler")))
		_, _, err = c.do("CREATE Work")
		require.NoError(t, err)
	}
	taken, refused := 0, 0
	outcome := func(err error) bool {
		if err == nil {
			taken++
			return true
		}
		require.ErrorIs(t, err, errRefused, "the connection stays")
		require.Contains(t, err.Error(), ": NO ")
		refused++
		return false
	}
	for pages := range 14 {
		fill(t, disk, pages*4096)
		subject := fmt.Sprintf("full-%d", pages)
		reply := letterTo(t, h, h.user("ann"), subject, 2000) // 40 KiB
		require.Regexp(t, `^(250|452 4\.3\.1) `, reply)
		if reply[0] == '2' {
			there[subject]++
		}
		subject = fmt.Sprintf("small-%d", pages)
		if _, err := c.append("INBOX", subject, "()", 20); outcome(err) {
			there[subject]++
		}
		_, _, err := c.do("SELECT INBOX")
		if !outcome(err) {
			continue // it cannot even note what has come
		}
		_, _, err = c.do("UID STORE 1:3 +FLAGS (\\Flagged Kw%d)", pages)
		outcome(err)
		if _, _, err = c.do("UID COPY 1 Work"); outcome(err) {
			there["before-0"]++
		}
		_, _, err = c.do("CREATE Box%d", pages)
		outcome(err)
	}
	require.Positive(t, taken)
	require.Positive(t, refused)
	require.Regexp(t, `^452 4\.3\.1 `, func() string {
		fill(t, disk, 8192)
		return letterTo(t, h, h.user("ann"), "none", 2000)
	}())

	// There is room again, for this process and the next.
	require.NoError(t, os.Remove(filepath.Join(disk, "filler")))
	for _, again := range []bool{false, true} {
		if again {
			c.close()
			h.stop()
			h.start()
			c = dialAnn()
		}
		subject := fmt.Sprintf("after-%v", again)
		require.Regexp(t, `^250 `, letterTo(t, h, h.user("ann"), subject, 2000))
		there[subject]++
		_, err = c.append("INBOX", subject+"-too", "()", 5)
		require.NoError(t, err)
		there[subject+"-too"]++
		count := map[string]int{}
		for _, name := range []string{"INBOX", "Work"} {
			box, err := c.look(name)
			require.NoError(t, err)
			for _, m := range box.messages {
				count[m.subject]++
			}
		}
		require.Equal(t, there, count)
		_, _, err = c.do("UID STORE 1:3 +FLAGS (\\Seen Later)")
		require.NoError(t, err)
	}
	c.close()
	h.stop()
	require.NotContains(t, h.must("maildir", "check", h.user("ann")), "damage")
	left, err := filepath.Glob(filepath.Join(disk, "full.test", "ann", "tmp", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
