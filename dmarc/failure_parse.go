package dmarc

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// maxFailureText is how much of the part for a person is kept.
const maxFailureText = 8 << 10

// ParseFailureReport reads the mail that a failure report is (RFC 9991, RFC 6591, RFC 5965). It is tolerant: parts are
// found whatever is around them and however they are encoded, unknown fields and values are no error, and what is missing
// leaves its field empty.
//
// Some senders write no machine-readable part. Of these what the text says in lines like "Sender IP Address: 192.0.2.1" is
// taken, with a warning.
//
// Errors are ErrNoReport for a mail that is no failure report, or one of another kind, as on abuse; ErrReportTooLarge for
// more than MaxFailureBytes; and those of r. Memory grows with the size of the mail.
func ParseFailureReport(r io.Reader) (*FailureReport, error) {
	report, err := parseFailureReport(r)
	if err != nil {
		return nil, fmt.Errorf("dmarc: read failure report: %w", err)
	}
	return report, nil
}

func parseFailureReport(r io.Reader) (*FailureReport, error) {
	left := int64(MaxFailureBytes)
	data, err := io.ReadAll(&limitedReader{r: r, left: &left})
	if err != nil {
		return nil, err
	}
	root, err := mimeindex.Parse(bytes.NewReader(data), mimeindex.Limits{Depth: maxReportDepth, Parts: maxReportParts})
	if err != nil {
		return nil, err
	}
	f := &failureParser{data: data, report: &FailureReport{}}
	f.visit(root)
	switch {
	case f.feedback != nil:
		err = f.readFeedback(f.feedback)
	case f.report.Text != "":
		err = f.readText()
	default:
		err = ErrNoReport
	}
	if err != nil {
		return nil, err
	}
	if len(f.report.Header) == 0 {
		f.warning("no header of the failed message")
	}
	return f.report, nil
}

// failureParser collects what the parts of a mail say.
type failureParser struct {
	data     []byte
	report   *FailureReport
	feedback []byte // the machine-readable part
	text     string // the part for a person as it came
}

func (f *failureParser) warning(format string, args ...any) {
	if len(f.report.Warnings) < MaxReportWarnings {
		f.report.Warnings = append(f.report.Warnings, fmt.Sprintf(format, args...))
	}
}

// visit takes the first part of each kind.
func (f *failureParser) visit(part *mimeindex.Part) {
	message := part.Message()
	switch {
	case message != nil && f.feedback == nil && message.Is("multipart", "report"): // a report that was forwarded
		f.visit(message)
	case isQuotedPart(part):
		f.quoted(f.content(part), part.Is("message", ""))
	case len(part.Children) > 0:
		for _, child := range part.Children {
			f.visit(child)
		}
	default:
		f.leaf(part)
	}
}

// isQuotedPart says whether a part is the failed message or its header: of one of the types of RFC 6591 §3.1, or its
// counterpart by RFC 6533 §4.
func isQuotedPart(part *mimeindex.Part) bool {
	return part.Is("message", "rfc822") || part.Is("message", "global") || part.Is("message", "global-headers") ||
		part.Is("text", "rfc822-headers")
}

func (f *failureParser) leaf(part *mimeindex.Part) {
	content := bytes.TrimLeft(f.content(part), "\r\n")
	const first = "feedback-type:"
	isFeedback := len(content) > len(first) && strings.EqualFold(string(content[:len(first)]), first)
	switch {
	case f.feedback == nil && (isFeedback || part.Is("message", "feedback-report")):
		f.feedback = content
	case f.feedback == nil && f.report.Text == "" && part.Is("text", "plain"):
		text := decodeCharset(string(content[:min(len(content), maxFailureText)]), strings.ToLower(part.Param("charset")))
		f.text = strings.ReplaceAll(text, "\r\n", "\n")
		f.report.Text = cleanLines(f.text)
	}
}

// content is the body of a part without its transfer encoding.
func (f *failureParser) content(part *mimeindex.Part) []byte {
	body := f.data[part.BodyOffset() : part.BodyOffset()+part.BodySize()]
	r, _ := mimeindex.NewTransferReader(bytes.NewReader(body), part.Encoding)
	content, _ := io.ReadAll(r) // what is in memory can be read
	return content
}

// quoted takes the failed message, or the header of it.
func (f *failureParser) quoted(content []byte, withBody bool) {
	if len(f.report.Header) > 0 {
		return
	}
	end := len(content)
	for off := 0; off < len(content); {
		line, rest, _ := bytes.Cut(content[off:], []byte("\n"))
		if len(bytes.TrimRight(line, "\r")) == 0 {
			end = off
			if withBody {
				f.report.Body = slices.Clone(rest[:min(len(rest), MaxFailureBody)])
			}
			break
		}
		off += len(line) + 1
	}
	f.report.Header = slices.Clone(content[:min(end, MaxFailureHeader)])
}

// cleanLines cleans each line of a text.
func cleanLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(s, "\r\n")) {
		b.WriteString(cleanText(line))
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n")
}

// readFeedback reads the fields of the machine-readable part.
func (f *failureParser) readFeedback(block []byte) error {
	header := mimeindex.Header(block)
	kind, _ := header.Get("Feedback-Type")
	if kind = strings.ToLower(value(kind)); kind != "auth-failure" {
		return fmt.Errorf("%w: its feedback type is %q", ErrNoReport, kind)
	}
	n := 0
	for field := range header.Fields() {
		if n++; n > 10*maxFailureFields {
			f.warning("more than %d fields", n-1)
			break
		}
		f.field(strings.ToLower(field.Name), field.Text())
	}
	if f.report.AuthFailure == "" {
		f.warning("no Auth-Failure")
	}
	if f.report.ReportedDomain == "" {
		f.warning("no Reported-Domain")
	}
	return nil
}

// value is a field's value without the comments around it (RFC 5322 §3.2.2), clean.
func value(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		switch {
		case text[i] == '(':
			i, _ = skipComment(text, i)
		case text[i] == '"':
			_, end, _ := quoted(text, i+1, '"')
			b.WriteString(text[i:end])
			i = end
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return cleanText(b.String())
}

// field takes one field. Of those that may be there once, the first counts.
func (f *failureParser) field(name, text string) {
	r := f.report
	if target := f.textField(name); target != nil {
		if *target == "" {
			*target = fromASCII(value(text))
		}
		return
	}
	switch name {
	case "authentication-results": // with its comments
		if r.AuthenticationResults == "" {
			r.AuthenticationResults = fromASCII(cleanText(text))
		}
	case "auth-failure":
		r.AuthFailure = strings.ToLower(value(text))
	case "delivery-result":
		r.DeliveryResult = strings.ToLower(value(text))
	case "identity-alignment":
		list := strings.ReplaceAll(value(text), ",", " ")
		r.IdentityAlignment = alignmentMethods(strings.Fields(list))
	case "original-mail-from":
		r.OriginalMailFrom = fromASCII(mailAddress(text))
	case "original-rcpt-to":
		if len(r.OriginalRecipients) < maxFailureFields {
			r.OriginalRecipients = append(r.OriginalRecipients, fromASCII(mailAddress(text)))
		}
	case "dkim-canonicalized-header":
		r.DKIMCanonicalizedHeader = fromBase64(text)
	case "dkim-canonicalized-body":
		r.DKIMCanonicalizedBody = fromBase64(text)
	case "dkim-selector-dns":
		r.DKIMSelectorDNS = fromASCII(unquote(text))
	case "spf-dns":
		f.spf(text)
	default:
		f.numberField(name, value(text))
	}
}

// textField is where the text of a field goes; nil for fields that are not plain text.
func (f *failureParser) textField(name string) *string {
	r := f.report
	switch name {
	case "user-agent":
		return &r.UserAgent
	case "reported-domain":
		return &r.ReportedDomain
	case "original-envelope-id":
		return &r.OriginalEnvelopeID
	case "dkim-domain":
		return &r.DKIMDomain
	case "dkim-identity":
		return &r.DKIMIdentity
	case "dkim-selector":
		return &r.DKIMSelector
	}
	return nil
}

// numberField takes fields with dates, addresses and numbers.
func (f *failureParser) numberField(name, text string) {
	r := f.report
	ok := true
	switch name {
	case "arrival-date", "received-date": // the latter is historic (RFC 5965 §3.2)
		r.ArrivalDate, ok = mimeindex.ParseDate(text)
	case "source-ip":
		r.SourceIP, ok = parseLiteral(text)
	case "source-port":
		var n uint64
		n, ok = parseUint(text, 16)
		r.SourcePort = uint16(n)
	case "incidents":
		var n uint64
		n, ok = parseUint(text, 32)
		r.Incidents = uint32(n)
	case "reporting-mta":
		kind, host, found := strings.Cut(text, ";")
		if r.ReportingMTA = strings.TrimSpace(host); !found {
			r.ReportingMTA = kind
		}
	}
	if !ok {
		f.warning("%s %q cannot be read", name, cut(text, maxInternedText))
	}
}

// parseUint reads a number of so many bits; 0 for what is none.
func parseUint(text string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, false
	}
	return n, true
}

// spf takes a field like: txt : example.com : "v=spf1 -all" (RFC 6591 §4).
func (f *failureParser) spf(text string) {
	kind, rest, _ := strings.Cut(text, ":")
	domain, record, found := strings.Cut(rest, ":")
	if !found || len(f.report.SPFDNS) >= maxFailureFields {
		f.warning("SPF-DNS %q cannot be read", cleanText(cut(text, maxInternedText)))
		return
	}
	f.report.SPFDNS = append(f.report.SPFDNS, FailureSPF{
		Type: strings.ToLower(value(kind)), Domain: value(domain), Record: fromASCII(unquote(record)),
	})
}

// unquote is the content of a quoted-string, or what stands there without quotes.
func unquote(text string) string {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, `"`); ok {
		text, _, _ = quoted(rest, 0, '"')
	}
	return cleanText(text)
}

// mailAddress is an address without its angle brackets.
func mailAddress(text string) string {
	text = cleanText(text)
	if i, j := strings.IndexByte(text, '<'), strings.LastIndexByte(text, '>'); i >= 0 && j > i {
		text = text[i+1 : j]
	}
	return strings.TrimSpace(text)
}

// parseLiteral reads an address, with or without what RFC 5321 §4.1.3 puts around it.
func parseLiteral(text string) (netip.Addr, bool) {
	text = strings.Trim(text, "[] ")
	if len(text) > 5 && strings.EqualFold(text[:5], "ipv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}

// fromBase64 decodes what a field has in lines; nil for what makes no sense.
func fromBase64(text string) []byte {
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil
	}
	return decoded
}

// fromASCII undoes EmbeddedUnicodeChar (RFC 6533 §3) for characters outside ASCII.
func fromASCII(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !found {
			return cleanText(b.String())
		}
		digits, _, ended := strings.Cut(after[:min(len(after), len("10FFFF}"))], "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if s = after; ended && err == nil && n >= utf8.RuneSelf && utf8.ValidRune(rune(n)) {
			b.WriteRune(rune(n))
			s = after[len(digits)+1:]
		} else {
			b.WriteString(`\x{`)
		}
	}
}

// readText reads a report that has only the part for a person, as the filters of some Exim installations write it.
func (f *failureParser) readText() error {
	r := f.report
	for line := range strings.Lines(r.Text) {
		name, text, found := strings.Cut(strings.TrimSpace(line), ":")
		if !found {
			if strings.HasPrefix(line, "---") { // a copy of the header follows
				break
			}
			continue
		}
		text = strings.TrimSpace(text)
		switch strings.ToLower(name) {
		case "sender domain":
			r.ReportedDomain = text
		case "sender ip address":
			f.numberField("source-ip", text)
		case "received date":
			f.numberField("arrival-date", text)
		case "spf alignment", "dkim alignment":
			if strings.EqualFold(text, "no") {
				r.IdentityAlignment = append(r.IdentityAlignment, strings.ToLower(name[:strings.IndexByte(name, ' ')]))
			}
		}
	}
	if r.ReportedDomain == "" || !r.SourceIP.IsValid() {
		return ErrNoReport
	}
	r.AuthFailure = AuthFailureDMARC
	r.IdentityAlignment = alignmentMethods(r.IdentityAlignment)
	f.warning("no machine-readable part")
	if _, header, found := strings.Cut(f.text, "\n---"); found {
		_, header, _ = strings.Cut(header, "\n")
		f.quoted([]byte(strings.TrimLeft(header, "\n")), false)
	}
	return nil
}
