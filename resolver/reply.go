package resolver

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// reply is what one packet says to a question.
type reply struct {
	name      string   // at the end of the CNAMEs, as a question has it
	records   []string // presentation form, TXT joined and raw
	ttl       time.Duration
	links     int  // CNAMEs that were followed
	partial   bool // there are CNAMEs, but nothing about the name at their end
	nxdomain  bool
	authentic bool
	truncated bool
	server    string
}

var (
	// errForeign says that a packet does not answer this question: a late answer to another one, or a forgery.
	errForeign = errors.New("not an answer to this question")
	// errFormat says that the server did not understand the query.
	errFormat    = errors.New("server does not understand the query (FORMERR, NOTIMP or BADVERS)")
	errMalformed = errors.New("malformed answer")
	errReferral  = errors.New("server refers to others instead of answering")
	errLoop      = errors.New("CNAME loop")
)

// errRcode is an answer without an answer.
type errRcode int

func (e errRcode) Error() string { return "server misbehaving (" + dns.RcodeToString[int(e)] + ")" }

// newQuery packs a question. ad asks for the AD bit (RFC 6840 §5.7).
func newQuery(id uint16, q question, edns, ad bool) ([]byte, error) {
	m := dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: id, RecursionDesired: true, AuthenticatedData: ad},
		Question: []dns.Question{{Name: q.fqdn(), Qtype: q.typ, Qclass: dns.ClassINET}},
	}
	if edns {
		m.SetEdns0(UDPSize, false)
	}
	return m.Pack()
}

// headerSize is the length of a DNS packet's header.
const headerSize = 12

// readReply reads the answer to a question from a packet.
func readReply(raw []byte, id uint16, q question) (*reply, error) {
	if len(raw) < headerSize {
		return nil, errForeign
	}
	var m dns.Msg
	malformed := m.Unpack(raw)
	if m.Id != id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return nil, errForeign
	}
	if len(m.Question) == 0 && m.Rcode == dns.RcodeFormatError { // RFC 6891 §7: from before EDNS
		return nil, errFormat
	}
	// RFC 5452 §9.1: the question is part of what an answer must match.
	if len(m.Question) != 1 || !q.is(m.Question[0]) {
		return nil, errForeign
	}
	switch {
	case m.Truncated: // RFC 2181 §9: what it holds does not count
		return &reply{truncated: true}, nil
	case malformed != nil:
		return nil, fmt.Errorf("%w: %w", errMalformed, malformed)
	case m.Rcode == dns.RcodeFormatError, m.Rcode == dns.RcodeNotImplemented, m.Rcode == dns.RcodeBadVers:
		return nil, errFormat // RFC 6891 §6.1.3, §7
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, errRcode(m.Rcode)
	}
	return readSections(&m, q)
}

func (q question) is(other dns.Question) bool {
	return other.Qtype == q.typ && other.Qclass == dns.ClassINET && asciiLower(other.Name) == q.fqdn()
}

// readSections follows the CNAMEs of the answer section to the records asked for. Records that no name on this way owns
// are not looked at: the server has no business telling them.
func readSections(m *dns.Msg, q question) (*reply, error) {
	rep := &reply{name: q.name, ttl: DefaultMaxTTL, authentic: m.AuthenticatedData}
	owned := map[string][]dns.RR{}
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Class == dns.ClassINET && (h.Rrtype == q.typ || h.Rrtype == dns.TypeCNAME) {
			owner := asciiLower(h.Name)
			owned[owner] = append(owned[owner], rr)
		}
	}
	seen := map[string]bool{}
	for {
		here := rep.name + "."
		if seen[here] {
			return nil, errLoop
		}
		seen[here] = true
		if rep.take(owned[here], q.typ); len(rep.records) > 0 {
			break
		}
		cname, ok := firstCNAME(owned[here])
		if !ok {
			break
		}
		rep.links++
		rep.shorten(cname.Hdr.Ttl)
		rep.name = strings.TrimSuffix(asciiLower(cname.Target), ".")
	}
	switch rep.nxdomain = m.Rcode == dns.RcodeNameError; {
	case len(rep.records) > 0 && rep.nxdomain:
		return nil, fmt.Errorf("%w: records of a name that does not exist", errMalformed)
	case len(rep.records) > 0:
		return rep, nil
	}
	if err := rep.negative(m); err != nil {
		return nil, err
	}
	return rep, nil
}

// take keeps the records of a type, each once (RFC 2181 §5).
func (rep *reply) take(rrs []dns.RR, typ uint16) {
	once := map[string]bool{}
	for _, rr := range rrs {
		if rr.Header().Rrtype != typ {
			continue
		}
		rep.shorten(rr.Header().Ttl)
		if text := presentation(rr); !once[text] {
			once[text] = true
			rep.records = append(rep.records, text)
		}
	}
}

func firstCNAME(rrs []dns.RR) (*dns.CNAME, bool) {
	for _, rr := range rrs {
		if cname, ok := rr.(*dns.CNAME); ok {
			return cname, true
		}
	}
	return nil, false
}

// shorten makes a TTL count for the whole reply, if it is the shortest.
func (rep *reply) shorten(ttl uint32) {
	if ttl > 1<<31-1 { // RFC 2181 §8
		ttl = 0
	}
	rep.ttl = min(rep.ttl, time.Duration(ttl)*time.Second)
}

// negative reads what the authority section says about the absence of records (RFC 2308 §2).
func (rep *reply) negative(m *dns.Msg) error {
	delegation := false
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			if !dns.IsSubDomain(rr.Hdr.Name, rep.name+".") {
				continue
			}
			rep.shorten(rr.Hdr.Ttl)
			rep.shorten(rr.Minttl) // RFC 2308 §5: the smaller one
			return nil
		case *dns.NS:
			delegation = true
		}
	}
	switch {
	case rep.nxdomain:
		rep.ttl = 0 // RFC 2308 §5: without a SOA it is not cached
	case rep.links > 0:
		rep.partial = true
	case delegation && !m.RecursionAvailable:
		return errReferral
	default:
		rep.ttl = 0
	}
	return nil
}

// presentation is the data of a record as text; for TXT it is the octets of its strings, joined.
func presentation(rr dns.RR) string {
	if txt, ok := rr.(*dns.TXT); ok {
		return unescape(strings.Join(txt.Txt, ""))
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// unescape undoes what the dns package does to the octets of TXT records (RFC 1035 §5.1).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			if c = s[i]; isDigit(c) && i+2 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) {
				c = (c-'0')*100 + (s[i+1]-'0')*10 + s[i+2] - '0'
				i += 2
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
