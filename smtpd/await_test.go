package smtpd_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

// A check waits for who talks before it is their turn, and no longer than it must.
func TestAwaitInput(t *testing.T) {
	said := new(notes)
	waits := smtpd.Check{Connect: func(ctx context.Context, s *smtpd.Session) error {
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
		defer cancel()
		err := s.AwaitInput(ctx)
		said.add("%v after %s, %d waiting", err, time.Since(began), s.Pending())
		return nil
	}}
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{waits} }, func(w *world) {
		for _, script := range []string{
			"S* 220\nC: QUIT\nS* 221",
			"C: QUIT\nS* 220\nS* 221",
			"W: 2s\nC: NOOP\nC: QUIT\nS* 220\nS* 250\nS* 221",
			"W: 2s\nC: NOOP\nH:\nS* 220\nS* 250\nS$",
			"W: 3s\nH:\nS* 220\nS$",
		} {
			w.talk(script)
		}
		require.Equal(w.t, []string{
			"context deadline exceeded after 6s, 0 waiting",
			"<nil> after 0s, 6 waiting",
			"<nil> after 2s, 12 waiting",
			"<nil> after 2s, 6 waiting",
			"the peer has left after 3s, 0 waiting",
		}, said.all())
	})
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, new(smtpd.Session).AwaitInput(ended), context.Canceled)
}
