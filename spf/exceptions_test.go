package spf_test

import (
	"slices"
	"strings"
)

// exception is a case in which the other implementation does not do what the standard says.
type exception struct {
	// why cites the standard.
	why string
	// inject puts the case into a situation.
	inject func(g gen, s *situation)
	// mend changes the situation into one that means the same by the standard and that the other implementation
	// understands.
	mend func(s *situation)
}

// badTerm gives records a term behind all others, which makes a syntax error. Mended, the error is in front.
func badTerm(why string, terms ...string) exception {
	return exception{
		why: why,
		inject: func(g gen, s *situation) {
			s.edit(func(rec string) string {
				if g.IntN(3) == 0 {
					return rec
				}
				return rec + " " + g.pick(terms...)
			})
		},
		mend: func(s *situation) {
			s.edit(func(rec string) string {
				for _, term := range terms {
					if strings.HasSuffix(rec, " "+term) {
						return "v=spf1 moo"
					}
				}
				return rec
			})
		},
	}
}

// first puts a term in front of the others in most records, not in front of a syntax error.
func first(g gen, s *situation, terms ...string) {
	s.edit(func(rec string) string {
		isWrong := func(term string) bool { return strings.HasPrefix(rec, "v=spf1 "+term) }
		if g.IntN(4) == 0 || slices.ContainsFunc(wrong, isWrong) {
			return rec
		}
		return strings.Replace(rec, "v=spf1", "v=spf1 "+g.pick(terms...), 1)
	})
}

// quiet is a term that takes one of the ten look-ups but neither matches nor is void for the other implementation, which
// counts an AAAA record as an answer there.
const quiet = "exists:only6.example.com"

func mendTerm(s *situation, old, with string) {
	s.zone["only6.example.com"] = map[string][]string{"AAAA": {"2001:db8::9"}}
	s.edit(func(rec string) string { return strings.ReplaceAll(rec, old, with) })
}

// longLocal gives names beyond 253 octets, shortened is what is left of one.
var (
	longLocal = strings.Repeat("b.", 150) + "b"
	shortened = strings.Repeat("b.", 120) + "b.example.com"
)

var exceptions = []exception{
	badTerm("RFC 7208 §4.6: a syntax error anywhere in a record is permerror, also behind the mechanism that matches",
		"moo", "a:", "all:x.com", "ip4:1.2.3.4.5", "ptr:%{d", "-redirect=d1.example.com"),
	badTerm("RFC 7208 §6: exp must not appear twice", "exp=d1.example.com exp=d2.example.com"),
	badTerm("RFC 7208 §6.2, §12: the value of exp is a domain-spec", "exp=", "exp=%{z}.com", "exp=a"),
	badTerm("RFC 7208 §6, §12: the value of an unknown modifier is a macro-string", "x=%{", "moo=%(d)", "x=%{i0}", "v=%"),
	badTerm("RFC 7208 §12: ip4 takes an IPv4 network and ip6 an IPv6 network", "ip4:2001:db8::1", "ip4:2001:db8::/32", "ip6:192.0.2.1"),
	badTerm("RFC 7208 §12: cidr-lengths have no leading zeros", "ip4:192.0.2.1/032", "a/08", "mx//064"),
	badTerm("RFC 7208 §7.1: a domain-spec ends with a macro or a toplabel", "a:localhost", "mx:d1.example.123", "exists:d1.example.-", "ptr:a", "a:%{d}."),
	badTerm("RFC 7208 §12: records have octets of US-ASCII only", "x=\xc3\xa4", "a:\xff.example.com", "include:d\u00e4.example.com"),
	{
		why: "RFC 7208 §5: when the client has an IPv4 address, A records are fetched, otherwise AAAA; a name with others only is void",
		inject: func(g gen, s *situation) {
			for _, name := range d8 {
				delete(s.zone[name], g.pick("A", "AAAA"))
				delete(s.zone[name], "*")
			}
			first(g, s, "?a", "?a:d1.example.com ?a:d2.example.com", "?a:d1.example.com ?a:d2.example.com ?a:d3.example.com ?a:d4.example.com")
			if !s.ip.Is4() { // exists has A records for all
				s.edit(func(rec string) string { return strings.ReplaceAll(rec, "exists:", "exists:only4.example.com x=") })
				s.zone["only4.example.com"] = map[string][]string{"A": {"192.0.2.9"}}
			}
		},
		mend: func(s *situation) {
			for _, name := range d8 {
				delete(s.zone[name], map[bool]string{true: "AAAA", false: "A"}[s.ip.Is4()])
			}
		},
	},
	{
		why: "RFC 7208 §5.7: exists asks for A records; a name with AAAA records only is void",
		inject: func(g gen, s *situation) {
			first(g, s, quiet, quiet+" "+quiet, quiet+" "+quiet+" "+quiet)
			mendTerm(s, "", "")
		},
		mend: func(s *situation) { delete(s.zone, "only6.example.com") },
	},
	{
		why: "RFC 7208 §4.6.4: void look-ups are counted by terms, and the term mx also asks for addresses",
		inject: func(g gen, s *situation) {
			for _, name := range d8 {
				s.zone[name]["MX"] = [][]string{nil, {"host.example.com"}, {"gone.example.com"}, {"gone.example.com", "gone.example.com"}}[g.IntN(4)]
				delete(s.zone[name], "*")
			}
			first(g, s, "mx", "mx:d1.example.com mx:d2.example.com", "mx:d3.example.com mx:d4.example.com mx:d5.example.com")
		},
		mend: func(s *situation) {
			for _, name := range d8 {
				if slices.Contains(s.zone[name]["MX"], "gone.example.com") {
					delete(s.zone[name], "MX")
				}
			}
		},
	},
	{
		why: "RFC 7208 §5.4: if any address matches, the mechanism matches; the MX hosts behind it need no look-up",
		inject: func(g gen, s *situation) {
			s.zone["late.example.com"] = map[string][]string{"*": {"TIMEOUT"}}
			s.edit(func(rec string) string { return strings.ReplaceAll(rec, "MX", "a") })
			for _, name := range d8 {
				s.zone[name]["MX"] = []string{"host.example.com", "late.example.com"}
			}
			s.zone["host.example.com"] = map[string][]string{"A": {g.pick("192.0.2.0", s.ip.String())}, "AAAA": {"2001:db8::"}}
			if !s.ip.Is4() {
				s.zone["host.example.com"] = map[string][]string{"A": {"192.0.2.0"}, "AAAA": {g.pick("2001:db8::", s.ip.String())}}
			}
			first(g, s, "mx", "-mx", "~mx", "?mx")
		},
		mend: func(s *situation) {
			host := s.zone["host.example.com"]
			if !slices.Contains(append(host["A"], host["AAAA"]...), s.ip.String()) {
				return
			}
			for _, name := range d8 {
				s.zone[name]["MX"] = []string{"host.example.com"}
			}
		},
	},
	{
		why: "RFC 7208 §7.3: %{p} is the validated name of the client",
		inject: func(g gen, s *situation) {
			s.zone[arpa(s.ip)] = map[string][]string{"PTR": {"mail.example.com"}}
			s.zone["mail.example.com"] = map[string][]string{"A": {"192.0.2.99"}, "AAAA": {"2001:db8::99"}}
			s.zone["unknown.example.com"] = map[string][]string{"A": {g.addr4()}, "AAAA": {g.addr6()}}
			if g.IntN(3) > 0 {
				typ := map[bool]string{true: "A", false: "AAAA"}[s.ip.Is4()]
				s.zone["mail.example.com"][typ] = []string{s.ip.String()}
			}
			first(g, s, "exists:%{p1r}.example.com", "a:%{p}", "-exists:%{p}", "?a:%{p1r}.example.com")
		},
		mend: func(s *situation) {
			name := "mail.example.com"
			if host := s.zone[name]; !slices.Contains(append(host["A"], host["AAAA"]...), s.ip.String()) {
				name = "unknown"
			}
			label, _, _ := strings.Cut(name, ".")
			s.edit(func(rec string) string {
				return strings.NewReplacer("%{p1r}", label, "%{p}", name).Replace(rec)
			})
		},
	},
	{
		why: "RFC 7208 §7.1: a slash is a macro-literal",
		inject: func(g gen, s *situation) {
			s.zone["sl/ash.example.com"] = map[string][]string{"A": {g.addr4()}, "AAAA": {g.addr6()}}
			first(g, s, "a:sl/ash.example.com", "?a:sl/ash.example.com/30//126", "-exists:sl/ash.example.com", "exists:no/.sl/ash.%{d}")
		},
		mend: func(s *situation) {
			s.zone["slash.example.com"] = s.zone["sl/ash.example.com"]
			s.edit(func(rec string) string {
				return strings.NewReplacer("sl/ash", "slash", "no/", "no").Replace(rec)
			})
		},
	},
	{
		why: "RFC 7208 §7.3: where a macro's value has two delimiters in a row there is an empty part, so that the name is none",
		inject: func(g gen, s *situation) {
			s.from = "d1--d2" + s.from[strings.IndexByte(s.from, '@'):]
			first(g, s, "exists:%{l-}.example.com", "exists:%{l2-}.example.com")
		},
		mend: func(s *situation) {
			mendTerm(s, "exists:%{l-}.example.com", quiet)
			mendTerm(s, "exists:%{l2-}.example.com", quiet)
		},
	},
	{
		why: "RFC 7208 §4.8, §4.3: a target that is no domain name, as a label has more than 63 octets, is not asked for",
		inject: func(g gen, s *situation) {
			s.from = strings.Repeat("l", 64) + s.from[strings.IndexByte(s.from, '@'):]
			first(g, s, "exists:%{l}.example.com", "a:%{l}.example.com a:%{l}.example.com")
		},
		mend: func(s *situation) {
			for _, term := range []string{"exists:%{l}.example.com", "a:%{l}.example.com", "MX:%{l}.example.com", "ptr:%{l}.example.com", "exists:%{l}.%{o2}"} {
				mendTerm(s, term, quiet+" x=")
			}
		},
	},
	{
		why: "RFC 7208 §7.3: labels are removed from the left of a name that is too long",
		inject: func(g gen, s *situation) {
			s.from = longLocal + s.from[strings.IndexByte(s.from, '@'):]
			if g.IntN(2) == 0 {
				s.zone[shortened] = map[string][]string{"A": {g.addr4()}, "AAAA": {g.addr6()}}
			}
			first(g, s, "exists:%{l}.example.com", "?a:%{l}.example.com/0//0")
		},
		mend: func(s *situation) {
			s.edit(func(rec string) string {
				return strings.NewReplacer("%{l}.example.com", shortened, "%{l}.%{o2}", shortened).Replace(rec)
			})
		},
	},
	{
		why: "RFC 7208 §7.3: an upper-case letter escapes as URIs do, where a space is %20",
		inject: func(g gen, s *situation) {
			s.from = `"d 1"` + s.from[strings.IndexByte(s.from, '@'):]
			s.zone["%22d%201%22.example.com"] = map[string][]string{"A": {g.addr4()}, "AAAA": {g.addr6()}}
			first(g, s, "exists:%{L}.example.com", "?a:%{L}.example.com/30")
		},
		mend: func(s *situation) {
			s.zone["%22d+1%22.example.com"] = s.zone["%22d%201%22.example.com"]
		},
	},
	{
		why: "RFC 7208 §4.3: the local-part is postmaster where the sender has none",
		inject: func(g gen, s *situation) {
			s.from = s.from[strings.IndexByte(s.from, '@'):]
			s.zone["postmaster.example.com"] = map[string][]string{"A": {g.addr4()}, "AAAA": {g.addr6()}}
			first(g, s, "exists:%{l}.example.com", "-exists:%{s1r@}.example.com", "?a:%{l}.example.com/0")
		},
		mend: func(s *situation) { s.from = "postmaster" + s.from },
	},
	{
		why: "RFC 7208 §2.4: the sender is postmaster at the HELO name where the reverse-path is null",
		inject: func(g gen, s *situation) {
			s.from = ""
			s.zone["postmaster.example.com"] = map[string][]string{"A": {g.addr4()}, "AAAA": {g.addr6()}}
			first(g, s, "exists:%{l}.example.com", "-exists:%{o}", "?exists:%{s1r@}.example.com")
		},
		mend: func(s *situation) { s.from = "postmaster@" + s.helo },
	},
	{
		why: "RFC 7208 §2.4, RFC 5321 §4.1.2: a quoted local-part may have an at sign",
		inject: func(_ gen, s *situation) {
			s.from = `"a@b"` + s.from[strings.IndexByte(s.from, '@'):]
		},
		mend: func(s *situation) { s.from = strings.Replace(s.from, `"a@b"`, "ab", 1) },
	},
	{
		why: "RFC 7208 §4.3: a domain of one label is none to check",
		inject: func(g gen, s *situation) {
			s.from = "x@single"
			s.zone["single"] = map[string][]string{"TXT": {g.record()}}
		},
		mend: func(s *situation) { delete(s.zone, "single") },
	},
	{
		why: "RFC 7208 §5.6: ip6 is about clients with an IPv6 address, which an IPv4-mapped one is not (§5)",
		inject: func(g gen, s *situation) {
			first(g, s, "ip6:::ffff:"+g.addr4(), "-ip6:::ffff:192.0.2.0/125", "?ip6:::/0")
		},
		mend: func(s *situation) {
			if s.ip.Is4() {
				s.edit(func(rec string) string {
					return strings.NewReplacer("-ip6:::ffff:", "x=", "ip6:::ffff:", "x=", "?ip6:::/0", "").Replace(rec)
				})
			}
		},
	},
}

// d8 are the names that a situation is about.
var d8 = []string{
	"d0.example.com", "d1.example.com", "d2.example.com", "d3.example.com",
	"d4.example.com", "d5.example.com", "d6.example.com", "d7.example.com",
}
