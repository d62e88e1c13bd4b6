package smtpd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

// A peer that has gone does not keep its place for as long as the commands that it left would be tarpitted.
func TestTarpitFindsThatThePeerHasGone(t *testing.T) {
	var ended chan time.Time
	inWorld(t, func(s *smtpd.Server) {
		ended = make(chan time.Time, 1)
		s.MaxBadRecipients = -1
		s.Checks = []smtpd.Check{at("slow", "rcpt", smtpd.Tarpit(20*time.Second, nil), new(notes))}
		s.Trace.Disconnected = func(*smtpd.Session, error) { ended <- time.Now() }
	}, func(w *world) {
		conn, err := w.net.Dialer("203.0.113.9").Dial("tcp", w.addr)
		require.NoError(w.t, err)
		var commands strings.Builder
		commands.WriteString("EHLO client.example.net\r\nMAIL FROM:<a@example.net>\r\n")
		for i := range 100 {
			fmt.Fprintf(&commands, "RCPT TO:<u%d@example.com>\r\n", i)
		}
		time.Sleep(time.Second) // no talker before its turn
		_, err = conn.Write([]byte(commands.String()))
		require.NoError(w.t, err)
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(w.t, conn.Close())
		require.LessOrEqual(w.t, (<-ended).Sub(began), time.Minute)
	})
}
