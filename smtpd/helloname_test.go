package smtpd_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// oddHello are names that no host has, and what Received makes of them.
var oddHello = map[string]string{
	"Jürgens-PC": "J?rgens-PC", "J\xfcrgens-PC": "J?rgens-PC", "a,b": "a?b", "me@here": "me?here", "!": "?", "(a": "?a", "[x]": "?x?", "<>": "??",
}

// People's computers have any names, and mail is submitted from them all the same.
func TestAnyHelloOfWhoLogsIn(t *testing.T) {
	for name, field := range oddHello {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { withAuth()(s); s.RequireAuth = true }, func(w *world) {
				w.talk("S* 220\nC: EHLO " + name + `
					S* 250
					C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
					S* 235
					C: MAIL FROM:<ann@example.com>
					S* 250
					C: RCPT TO:<bob@example.com>
					S* 250
					C: DATA
					S* 354
					C: .
					S* 250
				`)
				require.Equal(w.t, strings.ToValidUTF8(name, "?"), w.messages()[0].Envelope.Peer.Hello)
				require.Regexp(w.t, `^from `+strings.NewReplacer("?", `\?`).Replace(field)+` \(`, w.messages()[0].Message.Get("Received"))
			})
		})
	}
}

// Of others a name is asked for that can be one.
func TestOddHello(t *testing.T) {
	for name := range oddHello {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) { w.talk("S* 220\nC: EHLO " + name + "\nS: 501 5.5.4 *\n") })
		})
	}
	for _, name := range []string{"", "a\tb", "a\u00a0b", "a\u2028b", "\u202e", "\u0085", strings.Repeat("x", 256)} {
		t.Run("never "+name[:min(len(name), 10)], func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.RequireAuth = true }, func(w *world) {
				w.talk("S* 220\nC: EHLO " + name + "\nS: 501 5.5.4 *\n")
			})
		})
	}
}

// What a proxy passes on it has let in.
func TestAnyHelloByProxy(t *testing.T) {
	trust := func(s *smtpd.Server) { s.TrustXCLIENT = func(mailbricks.Peer) bool { return true } }
	inWorld(t, trust, func(w *world) {
		w.talk(hello + `
			C: XCLIENT HELO=J+C3+BCrgens-PC
			S* 220
			C: EHLO a,b
			S* 250
			C: XCLIENT HELO=a+20b
			S: 501 5.5.4 Malformed HELO
			C: XCLIENT NAME=a,b
			S: 501 5.5.4 Malformed NAME
			C: XCLIENT HELO=me@here
			S* 220
			C: EHLO client.example.net
			S* 250
			C: MAIL FROM:<ann@example.com>
			S* 250
		`)
	})
}

// A dot is no name.
func TestHelloOfADot(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk("S* 220\nC: EHLO .\nS* 250\nC: MAIL FROM:<>\nS* 250\nC: RCPT TO:<bob@example.com>\nS* 250\nC: DATA\nS* 354\nC: .\nS* 250\n")
		require.Contains(w.t, w.messages()[0].Message.Get("Received"), "from unknown (")
	})
}
