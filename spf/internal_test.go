package spf

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

var recordSeeds = []string{
	"v=spf1", "v=spf1 -all", "v=spf1 +mx a:colo.example.com/28 -all", "v=spf1 a/24//64 mx:%{d2}/0 ptr:x.y ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all",
	"v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d} redirect=_spf.%{o} exp=%{S}.why.com", "v=spf1 a:%%.%_.%-", "v=spf1 x=%{t} 1=2 include:a.b:c/d.e",
	"v=spf1 a:%{d127R-.+,/_=}", "v=spf1 a:..com.", "v=spf1 \x00 \xff",
}

func FuzzRecord(f *testing.F) {
	for _, s := range recordSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		if !isRecord(txt) {
			return
		}
		rec, err := parseRecord(txt)
		if err != nil {
			return
		}
		if !isASCII(txt) {
			t.Fatalf("record with octets beyond ASCII accepted: %q", txt)
		}
		if again, err := parseRecord(txt + "  -all "); err != nil || len(again.directives) != len(rec.directives)+1 {
			t.Fatalf("one more term makes %d directives of %d: %v", len(again.directives), len(rec.directives), err)
		}
		if _, err := parseRecord(txt + " -all."); err == nil {
			t.Fatal("a syntax error at the end went unseen")
		}
	})
}

func FuzzMacro(f *testing.F) {
	for _, s := range recordSeeds {
		f.Add(s, "strong-bad", "mail.example.com")
	}
	f.Add("%{s}%{l}%{o}%{d}%{i}%{p}%{v}%{h}%{c}%{r}%{t}%{S1r-+=}", "a\r\nb\xff", "[::1]")
	f.Fuzz(func(t *testing.T, text, local, helo string) {
		e := &evaluation{
			ctx: context.Background(), ip: netip.MustParseAddr("2001:db8::cb01"), helo: helo, host: "unknown",
			local: local, senderDomain: "example.com", ptrDone: true, maxExplain: 300,
		}
		if m, ok := parseMacros(text, true); ok {
			out := e.expandText(m, "example.com")
			if len(out) > 300 || strings.ContainsFunc(out, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
				t.Fatalf("explanation %q", out)
			}
		}
		if m, ok := parseDomainSpec(text); ok {
			if out := e.expandName(m, "example.com"); len(out) > domainname.MaxName+1 && strings.Contains(out, ".") {
				t.Fatalf("name of %d octets: %q", len(out), out)
			}
		}
	})
}

func TestLongExpansionKeepsItsRightEnd(t *testing.T) {
	t.Parallel()
	e := &evaluation{local: strings.Repeat("a.", 2000) + "z", senderDomain: "example.com", ip: netip.MustParseAddr("192.0.2.1")}
	m, ok := parseDomainSpec(strings.Repeat("%{l}.", 500) + "example.com")
	if !ok {
		t.Fatal("not a domain-spec")
	}
	got := e.expandName(m, "example.com")
	if want := strings.Repeat("a.", 119) + "z.example.com"; len(got) > domainname.MaxName || !strings.HasSuffix(got, ".z.example.com") || len(got) < domainname.MaxName-2 {
		t.Fatalf("got %q, want like %q", got, want)
	}
}

func BenchmarkParseRecord(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRecord("v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 ip6:2001:db8::/32 include:_spf.example.com a:%{d}.x.com -all"); err != nil {
			b.Fatal(err)
		}
	}
}
