//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Sizes of the burst.
const (
	burstMessages    = 2000
	burstConnections = 20
	burstKills       = 3
)

// burst sends messages over many connections and remembers what was answered.
type burst struct {
	h    *host
	mu   sync.Mutex
	next int
	done map[string]bool // Subject → got its 250
	open map[string]int  // Subject → how often the connection broke before the reply
}

// take gives the next subject; "" when there are no more.
func (b *burst) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == burstMessages {
		return ""
	}
	b.next++
	return fmt.Sprintf("burst-%04d", b.next)
}

func (b *burst) outcome(subject string, accepted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if accepted {
		b.done[subject] = true
	} else {
		b.open[subject]++
	}
}

func (b *burst) accepted() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.done)
}

// send sends messages over one connection until it breaks or there are no more, and gives the message without a reply.
func (b *burst) send(first string) (unanswered string) {
	d, err := dial(b.h)
	if err != nil {
		return first
	}
	defer d.conn.Close()
	for subject := first; ; subject = "" {
		if subject == "" {
			if subject = b.take(); subject == "" {
				return ""
			}
		}
		if !d.letter(subject, b.h.user("ann"), "outside@far.test") {
			b.outcome(subject, false)
			return subject
		}
		b.outcome(subject, true)
	}
}

// quick is a session that does not end the test when it breaks.
type quick struct {
	conn net.Conn
	buf  []byte
}

func dial(h *host) (*quick, error) {
	conn, err := net.Dial("tcp", h.ip+":25")
	if err != nil {
		return nil, err
	}
	q := &quick{conn: conn, buf: make([]byte, 4096)}
	if !q.ok("") || !q.ok("EHLO burst.test\r\n") {
		_ = conn.Close()
		return nil, fmt.Errorf("broken")
	}
	return q, nil
}

// ok sends and waits for a whole reply that is not a refusal.
func (q *quick) ok(command string) bool {
	if command != "" {
		if _, err := q.conn.Write([]byte(command)); err != nil {
			return false
		}
	}
	reply := ""
	for {
		n, err := q.conn.Read(q.buf)
		if err != nil {
			return false
		}
		reply += string(q.buf[:n])
		lines := strings.Split(strings.TrimSuffix(reply, "\r\n"), "\r\n")
		if last := lines[len(lines)-1]; strings.HasSuffix(reply, "\r\n") && len(last) > 3 && last[3] == ' ' {
			return last[0] == '2' || last[0] == '3'
		}
	}
}

// letter sends one message to a local and to a foreign recipient.
func (q *quick) letter(subject, local, foreign string) bool {
	body := strings.Repeat("Line of "+subject+"\r\n", 100)
	return q.ok("MAIL FROM:<x@burst.test>\r\n") && q.ok("RCPT TO:<"+local+">\r\n") && q.ok("RCPT TO:<"+foreign+">\r\n") &&
		q.ok("DATA\r\n") && q.ok("Subject: "+subject+"\r\n\r\n"+body+"end\r\n.\r\n")
}

func TestKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("far.test. IN MX 10 down.far.test.\ndown.far.test. IN A " + w.ip(99))
	a := w.newHost(2, "a.test", "[policy]", `trusted_networks = ["127.0.0.0/8"]`, "[limits]", "connections_per_ip = 100")
	a.start()
	b := &burst{h: a, done: map[string]bool{}, open: map[string]int{}}
	carry := make([]string, burstConnections)
	for kill := range burstKills + 1 {
		var wg sync.WaitGroup
		for i := range carry {
			wg.Go(func() { carry[i] = b.send(carry[i]) })
		}
		if kill < burstKills {
			target := (kill + 1) * burstMessages / (burstKills + 1)
			eventually(t, "part of the burst", func() error {
				if n := b.accepted(); n < target {
					return fmt.Errorf("%d accepted", n)
				}
				return nil
			})
			a.kill()
		}
		wg.Wait()
		if kill < burstKills {
			a.start()
		}
	}
	require.Equal(t, burstMessages, b.accepted())
	a.stop()
	counts := map[string]int{}
	subject := regexp.MustCompile(`(?m)^Subject: (burst-\d+)\r$`)
	for _, f := range a.files("ann", "") {
		content, err := os.ReadFile(f)
		require.NoError(t, err)
		match := subject.FindSubmatch(content)
		require.NotNil(t, match, f)
		require.True(t, strings.HasSuffix(string(content), "\r\nend\r\n"), "torn: %s", f)
		counts[string(match[1])]++
	}
	out := a.must("queue", "list") // opening the queue gives each message a file of its own
	queued := map[string]int{}
	for _, f := range queueFiles(t, a) {
		content, err := os.ReadFile(f)
		require.NoError(t, err)
		if match := subject.FindSubmatch(content); match != nil {
			require.Contains(t, string(content), "\r\nend\r\n", "torn: %s", f)
			queued[string(match[1])]++
		}
	}
	for name := range b.done {
		for where, n := range map[string]int{"mailbox": counts[name], "queue": queued[name]} {
			require.GreaterOrEqual(t, n, 1, "%s lost from the %s", name, where)
			require.LessOrEqual(t, n, 1+b.open[name], "%s too often in the %s", name, where)
		}
	}
	require.Len(t, counts, burstMessages)
	require.GreaterOrEqual(t, strings.Count(out, "to outside@far.test"), burstMessages)
}

func queueFiles(t *testing.T, h *host) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(filepath.Join(h.dir, "data", "queue", "msg"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	}))
	return files
}
