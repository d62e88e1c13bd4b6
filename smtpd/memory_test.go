package smtpd_test

import (
	"context"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// What a connection takes in memory does not depend on the size of its messages. (It does not run beside other tests: all that
// is allocated counts.)
func TestMemoryDoesNotGrowWithTheMessage(t *testing.T) {
	size := int64(0)
	addr := onLoopback(t, &smtpd.Server{
		Hostname: "mail.example.com", MaxMessageSize: 1 << 30, Spool: &mailbricks.Spool{Dir: t.TempDir()},
		Handler: mailbricks.HandlerFunc(func(_ context.Context, _ *mailbricks.Envelope, msg *mailbricks.Message) error {
			size = msg.Size()
			return nil
		}),
	})
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	c := newClient(t, conn)
	c.Talk(hello)
	chunk := []byte(strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000))
	for _, chunks := range []int{10, 1000} { // 72 MB
		c.Talk("C: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<b@example.com>\nS* 250\nC: DATA\nS* 354\nC: Subject: x\nC:")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range chunks {
			_, err := conn.Write(chunk)
			require.NoError(t, err)
		}
		c.Talk("C: .\nS* 250")
		runtime.ReadMemStats(&after)
		require.Greater(t, size, int64(chunks*len(chunk)))
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20), "%d octets", size)
	}
	c.Talk("C: QUIT\nS* 221")
}

// A folder that is gone is a failure that may pass, and the session goes on.
func TestSpoolFolderIsGone(t *testing.T) {
	dir := t.TempDir() + "/spool"
	require.NoError(t, os.Mkdir(dir, 0o700))
	inWorld(t, func(s *smtpd.Server) { s.Spool = &mailbricks.Spool{Dir: dir, Threshold: 1000} }, func(w *world) {
		require.NoError(w.t, os.Remove(dir))
		w.talk(toData + "C: Subject: x\nC:\nC: " + strings.Repeat("x", 2000) + "\nC: .\nS: 451 4.3.0 *\nC: NOOP\nS* 250\n")
		require.Empty(w.t, w.messages())
	})
}
