package senderauth

import (
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim/arc"
)

// Whatever a sealer says, what becomes of it is bounded, and a pass has a source.
func FuzzTold(f *testing.F) {
	f.Add("spf=pass smtp.mailfrom=ann@sender.example; dkim=pass header.d=sender.example; dmarc=pass header.from=sender.example; arc=none smtp.remote-ip=192.0.2.1")
	f.Add("dmarc=pass (p=reject) action=none header.from=other.example; iprev=pass policy.iprev=fe80::1%eth0")
	f.Add("dkim=pass header.i=@; spf=pass smtp.helo=@@; ; (")
	f.Fuzz(func(t *testing.T, results string) {
		set := arc.Set{Instance: 1, Results: results, Seal: arc.Signature{Domain: "list.example", Selector: "s"}}
		m, passed := told(set, "sender.example")
		if any := passed || m.SPF.Pass || len(m.DKIM) > 0; any && !strings.Contains(strings.ToLower(results), "pass") {
			t.Fatalf("%q lets a message pass", results)
		}
		for _, d := range m.DKIM {
			if !d.Pass || strings.Contains(d.Domain, "@") {
				t.Fatalf("%+v from %q", d, results)
			}
		}
		if text := chainComment([]arc.Set{set, set}); len(text) > maxComment+100 || strings.ContainsAny(text, "\r\n%") {
			t.Fatalf("%q from %q", text, results)
		}
	})
}
