package imapd_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/mailbox"
)

// A user whose mail the log-in does not open reads why; it is no guess, and the session goes on.
func TestLogInToLockedMail(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) {
		s.MaxAuthFailures = 1
		s.Store = func(context.Context, mailbricks.Identity) (mailbox.Store, error) {
			return nil, fmt.Errorf("maildir: %w", mailbox.ErrLocked)
		}
	})
	w.dial().Talk(`
		C: a LOGIN joe secret
		S: a NO [UNAVAILABLE] Your mail is encrypted and this log-in does not open it: log in with your password (PLAIN over TLS) or ask your administrator
		C: b AUTHENTICATE TWOSTEP ` + b64("ann") + `
		S: + ` + b64("proof") + `
		C:` + " " + `
		S: b NO [UNAVAILABLE] Your mail is encrypted <>
		C: c NOOP
		S: c OK NOOP completed
	`)
}
