package senderauth_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Whatever client and message say, there is one field of ours, in front, and it can be read; the rest of the message stays.
func FuzzMessage(f *testing.F) {
	f.Add("mail.sender.example", "ann@sender.example", "Authentication-Results: mx.example.com; spf=pass\r\n"+letter, true)
	f.Add("[192.0.2.1]", "", "From: a@b, c@d\r\nDKIM-Signature: v=1; a=rsa-sha256; d=x; s=y; h=from; bh=; b=\r\nauthentication-results : dkim=pass\r\n\r\n", false)
	f.Add("x\r\ny", "\"a b\"@\xff", " folded\r\nAuthentication-Results\r\n:mx.example.com", true)
	f.Fuzz(func(t *testing.T, helo, from, raw string, all bool) {
		check := senderauth.Check(senderauth.Options{
			Resolver: zones(t, reject).Resolver(), Policy: strictly(senderauth.Reject), CheckHelo: all,
		})
		s := &smtpd.Session{Hostname: "mx.example.com", Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.25:4000"), Hello: helo}}
		tx := &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: from}}
		if err := check.Mail(context.Background(), tx); err != nil {
			t.Fatal(err)
		}
		msg := mailbricks.NewMessage([]byte(raw))
		defer msg.Close()
		size := msg.Size()
		if len(msg.Header()) == 0 {
			size += int64(len("\r\n")) // the blank line that a first field may need behind it
		}
		_ = check.Message(context.Background(), tx, msg) // the outcome is a matter of policy
		first := true
		for field := range msg.Fields() {
			if first != (field.Is(authres.Name) && strings.HasPrefix(field.Value(), "mx.example.com;")) {
				t.Fatalf("%q", msg.Header())
			}
			if first {
				if r, err := authres.Parse(field.Value()); err != nil || len(r.Results) < 3 {
					t.Fatalf("%q: %v", field.Raw(), err)
				}
				size += int64(len(field.Raw()))
			}
			first = false
		}
		if msg.Size() > size {
			t.Fatalf("%d octets too many", msg.Size()-size)
		}
	})
}
