package mailtest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// MaxChain is how many CNAME records a DNS follows one after the other.
const MaxChain = 16

// DefaultTTL is the TTL in seconds of records before the first one that has a TTL (after it, its TTL holds on, as
// RFC 1035 §5.1 has it) and without a $TTL, and of the SOA record that a DNS makes up for
// negative answers when the text has none.
const DefaultTTL = 300

// TB is the part of testing.TB that this package uses.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// DNS is all of the Domain Name System that a test needs, as a resolver without a cache would see it: what its zones do
// not hold does not exist. It knows wildcards (RFC 4592), empty non-terminals (RFC 8020) and CNAMEs across zones. It
// counts what it is asked.
type DNS struct {
	mu       sync.Mutex
	zone     *zone
	failures map[query]Failure
	secure   map[string]bool // origin: authentic or not
	queries  map[string]int
}

// query is a lower-case absolute name and a type; dns.TypeNone stands for all types.
type query struct {
	name string
	typ  uint16
}

// Failure is how a name fails to be resolved.
type Failure int

// The failures of SetFailure.
const (
	// NoFailure answers from the zones again.
	NoFailure Failure = iota
	// ServFail answers SERVFAIL.
	ServFail
	// Refused answers REFUSED.
	Refused
	// Timeout does not answer. A Resolver says so at once, without waiting.
	Timeout
	// NXDomain answers that the name does not exist, whatever the zones hold.
	NXDomain
)

// ParseZone reads master-file text (RFC 1035 §5) with any number of zones in it. Names without a final dot are relative
// to the last $ORIGIN, or to the root. White space that all lines begin with is cut, so that the text can be indented
// in a Go source. SOA records are welcome but not needed. $INCLUDE is refused.
func ParseZone(text string) (*DNS, error) {
	z, err := parseZone(text)
	if err != nil {
		return nil, err
	}
	return &DNS{zone: z, failures: map[query]Failure{}, secure: map[string]bool{}, queries: map[string]int{}}, nil
}

// MustZone is ParseZone for tests: it ends the test on an error.
func MustZone(tb TB, text string) *DNS {
	tb.Helper()
	d, err := ParseZone(text)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return d
}

// Replace puts other zones in place of all there were; on an error they stay. Failures, authenticity and counts stay.
func (d *DNS) Replace(text string) error {
	z, err := parseZone(text)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zone = z
	return nil
}

// SetFailure makes a name fail, for the record types given ("TXT", "MX") or, without any, for all. A failure for a
// type counts before one for all. A type that does not exist names nothing.
func (d *DNS) SetFailure(name string, failure Failure, rrtypes ...string) {
	types := make([]uint16, 0, len(rrtypes))
	for _, t := range rrtypes {
		types = append(types, dns.StringToType[strings.ToUpper(t)])
	}
	if len(rrtypes) == 0 {
		types = []uint16{dns.TypeNone}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, t := range types {
		if t == dns.TypeNone && i < len(rrtypes) {
			continue
		}
		d.failures[query{canonical(name), t}] = failure
	}
}

// SetAuthentic says whether DNSSEC proves (the AD bit, RFC 4035 §3.2.3) what stands at and below origin. The longest
// origin set counts; without any, nothing is authentic.
func (d *DNS) SetAuthentic(origin string, authentic bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secure[canonical(origin)] = authentic
}

// Queries says how often each name and type was asked for, of all Resolvers and servers together. Its keys are a
// lower-case absolute name and a type: "example.com. MX".
func (d *DNS) Queries() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := make(map[string]int, len(d.queries))
	for k, n := range d.queries {
		counts[k] = n
	}
	return counts
}

// answer is what there is to say to a query.
type answer struct {
	rcode     int
	records   []dns.RR // with the CNAMEs that lead to them
	name      string   // the last name of the chain
	soa       *dns.SOA // for negative answers
	authentic bool
	silent    bool // no answer at all
	loop      bool // more than MaxChain CNAMEs
}

// ask answers one query and counts it.
func (d *DNS) ask(name string, typ uint16) answer {
	name = canonical(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries[name+" "+dns.TypeToString[typ]]++
	a := answer{name: name, authentic: true}
	for range MaxChain {
		if d.fail(&a, typ) {
			return a
		}
		a.authentic = a.authentic && d.isAuthentic(a.name)
		records, exists := d.zone.lookup(a.name)
		if rrs := records[typ]; len(rrs) > 0 {
			a.records = append(a.records, rrs...)
			return a
		}
		cname := records[dns.TypeCNAME]
		if len(cname) == 0 {
			if !exists {
				a.rcode = dns.RcodeNameError
			}
			a.soa = d.zone.authority(a.name)
			return a
		}
		a.records = append(a.records, cname[0])
		a.name = canonical(cname[0].(*dns.CNAME).Target)
	}
	a.loop = true
	return a
}

// fail applies the failure set for the current name of a; d.mu is held.
func (d *DNS) fail(a *answer, typ uint16) bool {
	failure, ok := d.failures[query{a.name, typ}]
	if !ok {
		failure = d.failures[query{a.name, dns.TypeNone}]
	}
	switch failure {
	case ServFail:
		a.rcode = dns.RcodeServerFailure
	case Refused:
		a.rcode = dns.RcodeRefused
	case Timeout:
		a.silent = true
	case NXDomain:
		a.rcode, a.soa = dns.RcodeNameError, d.zone.authority(a.name)
		a.authentic = a.authentic && d.isAuthentic(a.name)
		return true
	default:
		return false
	}
	a.records, a.authentic = nil, false
	return true
}

// isAuthentic finds the longest origin that was set; d.mu is held.
func (d *DNS) isAuthentic(name string) bool {
	for _, ancestor := range ancestors(name) {
		if authentic, ok := d.secure[ancestor]; ok {
			return authentic
		}
	}
	return false
}

// zone has the records of all zones by lower-case owner name and type. It is not changed once made.
type zone struct {
	owners map[string]map[uint16][]dns.RR // an empty non-terminal has an empty map
}

func parseZone(text string) (*zone, error) {
	z := &zone{owners: map[string]map[uint16][]dns.RR{}}
	parser := dns.NewZoneParser(strings.NewReader(dedent(text)), ".", "")
	parser.SetDefaultTTL(DefaultTTL)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		z.add(rr)
	}
	if err := parser.Err(); err != nil {
		return nil, fmt.Errorf("mailtest: zone: %w", err)
	}
	for name, records := range z.owners {
		if len(records[dns.TypeCNAME]) > 0 && len(records) > 1 { // RFC 1034 §3.6.2
			return nil, fmt.Errorf("mailtest: zone: %s has a CNAME and other records", name)
		}
		if len(records[dns.TypeCNAME]) > 1 { // RFC 2181 §10.1
			return nil, fmt.Errorf("mailtest: zone: %s has more than one CNAME", name)
		}
	}
	return z, nil
}

func (z *zone) add(rr dns.RR) {
	name := canonical(rr.Header().Name)
	for _, ancestor := range ancestors(name) {
		if z.owners[ancestor] == nil {
			z.owners[ancestor] = map[uint16][]dns.RR{}
		}
	}
	records := z.owners[name]
	records[rr.Header().Rrtype] = append(records[rr.Header().Rrtype], rr)
}

// lookup finds the records of a name, its own or those of a wildcard, and says whether the name exists.
func (z *zone) lookup(name string) (map[uint16][]dns.RR, bool) {
	if records, ok := z.owners[name]; ok {
		return records, true
	}
	for _, encloser := range ancestors(name)[1:] {
		if _, ok := z.owners[encloser]; !ok {
			continue
		}
		// RFC 4592 §3.3.1: only the closest encloser's wildcard counts.
		wildcard, ok := z.owners["*."+strings.TrimPrefix(encloser, ".")]
		if !ok {
			return nil, false
		}
		return expand(wildcard, name), true
	}
	return nil, false
}

// expand gives a wildcard's records to a name.
func expand(wildcard map[uint16][]dns.RR, name string) map[uint16][]dns.RR {
	records := make(map[uint16][]dns.RR, len(wildcard))
	for typ, rrs := range wildcard {
		for _, rr := range rrs {
			rr = dns.Copy(rr)
			rr.Header().Name = name
			records[typ] = append(records[typ], rr)
		}
	}
	return records
}

// authority is the SOA record for a negative answer (RFC 2308 §3), the closest above name or a made-up one of the root.
func (z *zone) authority(name string) *dns.SOA {
	for _, ancestor := range ancestors(name) {
		if soa := z.owners[ancestor][dns.TypeSOA]; len(soa) > 0 {
			return soa[0].(*dns.SOA)
		}
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: DefaultTTL},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: DefaultTTL,
	}
}

// canonical is a name in lower case with a final dot, in one spelling whatever escapes it is written with.
func canonical(name string) string {
	name = dns.CanonicalName(name)
	var wire [256]byte
	if _, err := dns.PackDomainName(name, wire[:], 0, nil, false); err != nil {
		return name // no name: it is found nowhere
	}
	if spelled, _, err := dns.UnpackDomainName(wire[:], 0); err == nil {
		return dns.CanonicalName(spelled)
	}
	return name
}

// ancestors are a name and all above it up to the root.
func ancestors(name string) []string {
	var all []string
	for off, end := 0, name == "."; !end; off, end = dns.NextLabel(name, off) {
		all = append(all, name[off:])
	}
	return append(all, ".")
}

// dedent cuts the white space that all lines with something on them have in front.
func dedent(text string) string {
	lines := strings.Split(text, "\n")
	indent, first := "", true
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		space := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if first {
			indent, first = space, false
		}
		for !strings.HasPrefix(space, indent) {
			indent = indent[:len(indent)-1]
		}
	}
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, indent)
	}
	return strings.Join(lines, "\n")
}
