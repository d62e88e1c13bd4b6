package smtpd_test

import (
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/smtpd"
)

func TestRefusedMAILsAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		setUp func(*smtpd.Server)
		mail  string
		code  string
	}{
		"SIZE":       {func(*smtpd.Server) {}, "MAIL FROM:<a@example.net> SIZE=99999999999", "552"},
		"no Handler": {func(s *smtpd.Server) { s.Handler = nil }, "MAIL FROM:<a@example.net>", "451"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxIdleCommands = 11; c.setUp(s) }, func(w *world) {
				refused := "C: " + c.mail + "\nS* " + c.code + "\n"
				w.talk(hello + strings.Repeat(refused, 10) + "C: " + c.mail + "\nS: 421 4.7.0 Too many commands without a message, closing\nS$\n")
			})
		})
	}
}
