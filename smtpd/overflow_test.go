package smtpd_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

func TestLimitsUpToAllThatCanBeCounted(t *testing.T) {
	for _, limit := range []int64{math.MaxInt64, math.MaxInt64 - 1, 1 << 62, 1<<62 - 1, -1} {
		t.Run(fmt.Sprint("DATA/", limit), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxMessageSize = limit }, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(toData)
				fmt.Fprint(c.Conn, "Subject: x\r\n\r\nfirst half\r\n")
				time.Sleep(time.Second)
				synctest.Wait()
				require.Empty(t, w.messages())
				fmt.Fprint(c.Conn, "second half\r\n.\r\n")
				require.Equal(t, "250", c.reply())
				require.Len(t, w.messages(), 1)
				require.Contains(t, string(w.messages()[0].Raw), "first half\r\nsecond half\r\n")
			})
		})
		t.Run(fmt.Sprint("BDAT/", limit), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxMessageSize = limit }, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(mailTo)
				fmt.Fprint(c.Conn, "BDAT 1\r\nxBDAT 9223372036854775807 LAST\r\nNOOP\r\n")
				require.Equal(t, "250", c.reply())
				require.Equal(t, "552", c.reply())
				_, err := c.Line()
				require.Error(t, err, "the NOOP is of the chunk")
				require.Empty(t, w.messages())
			})
		})
		t.Run(fmt.Sprint("dropped/", limit), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxMessageSize = limit }, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				fmt.Fprint(c.Conn, "BDAT 4\r\nRSETBDAT 9223372036854775807\r\nNOOP\r\n")
				require.Equal(t, "503", c.reply())
				require.Equal(t, "503", c.reply())
				_, err := c.Line()
				require.Error(t, err)
			})
		})
	}
}
