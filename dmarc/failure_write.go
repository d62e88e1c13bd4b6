package dmarc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/fieldtext"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// Lengths of lines, without their ends.
const (
	foldAt      = 76  // where a field is folded if it can be (RFC 5322 §2.1.1 wants at most 78)
	maxWord     = 900 // of a word that cannot be folded
	maxTextLine = 998 // RFC 5322 §2.1.1
)

// dateFormat is date-time of RFC 5322 §3.3.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// Write writes the report as the MIME entity that a mail consists of: the fields MIME-Version and Content-Type of
// multipart/report, an empty line, and the three parts, with CRLF, in 7bit. The fields From, To, Subject, Date and
// Message-ID belong in front of it.
//
// Whatever is in the values, each stays in its field: they are cleaned, folded, and characters outside ASCII are written
// as RFC 6533 §3 writes them in addresses, \x{E9}, since the format is ASCII (RFC 5965 §7.1), or in the case of domains
// as A-labels. The quoted header goes as text/rfc822-headers, and as message/global-headers (RFC 6533 §4.3) if there is
// UTF-8 in it; with a Body the message is a message/rfc822 or message/global. Bare LFs in both become CRLF.
//
// A report without ReportedDomain, without Header, or without both AuthenticationResults and ReportingMTA is refused with
// ErrReportInvalid. Other errors are w's.
func (r *FailureReport) Write(w io.Writer) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("dmarc: write failure report: %w: %w", ErrReportInvalid, err)
	}
	parts := [][]byte{r.textPart(), r.feedbackPart(), r.messagePart()}
	sum := sha256.Sum256(bytes.Join(parts, nil)) // no text can have its own hash in it
	boundary := "=_" + hex.EncodeToString(sum[:16])
	var b bytes.Buffer
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report;\r\n")
	b.WriteString(" boundary=\"" + boundary + "\"\r\n\r\n")
	for _, part := range parts {
		b.WriteString("--" + boundary + "\r\n")
		b.Write(part)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("dmarc: write failure report: %w", err)
	}
	return nil
}

func (r *FailureReport) validate() error {
	switch {
	case cleanText(r.ReportedDomain) == "":
		return errors.New("no reported domain")
	case len(r.quotedHeader()) == 0:
		return errors.New("no header of the failed message")
	case cleanText(r.AuthenticationResults) == "" && cleanText(r.ReportingMTA) == "":
		return errors.New("neither authentication results nor a reporting MTA")
	}
	return nil
}

// textPart is for a person.
func (r *FailureReport) textPart() []byte {
	text := r.Text
	if text == "" {
		text = r.defaultText()
	}
	var b bytes.Buffer
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		_, _ = io.WriteString(w, cleanText(line)+"\r\n") // a bytes.Buffer takes everything
	}
	_ = w.Close()
	return b.Bytes()
}

func (r *FailureReport) defaultText() string {
	var b strings.Builder
	b.WriteString("This is an authentication failure report (RFC 9991) for a message that\n")
	fmt.Fprintf(&b, "has an address of %s in its From field", cleanText(r.ReportedDomain))
	if r.SourceIP.IsValid() {
		fmt.Fprintf(&b, ".\nIt was received from IP %s", r.SourceIP.Unmap())
		if !r.ArrivalDate.IsZero() {
			fmt.Fprintf(&b, " on %s", r.ArrivalDate.Format(dateFormat))
		}
	}
	b.WriteString(".\nThe domain's DMARC record asks for such reports.\n")
	return b.String()
}

// feedbackFields writes the fields of the machine-readable part.
type feedbackFields struct{ bytes.Buffer }

// field writes a field that has a value.
func (f *feedbackFields) field(name, value string) {
	value = ascii(strings.Join(strings.Fields(cleanText(value)), " "))
	if value == "" {
		return
	}
	f.WriteString(name + ":")
	column := len(name) + 1
	for word := range strings.SplitSeq(value, " ") {
		for word != "" {
			piece := word[:min(len(word), maxWord)]
			word = word[len(piece):]
			if column+1+len(piece) > foldAt && column > len(name)+1 {
				f.WriteString("\r\n")
				column = 0
			}
			f.WriteString(" " + piece)
			column += 1 + len(piece)
		}
	}
	f.WriteString("\r\n")
}

// encoded writes a field in base64, in lines.
func (f *feedbackFields) encoded(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	f.WriteString(name + ":")
	for text := base64.StdEncoding.EncodeToString(value); text != ""; {
		n := min(len(text), foldAt-1)
		f.WriteString("\r\n " + text[:n])
		text = text[n:]
	}
	f.WriteString("\r\n")
}

// feedbackPart has the fields of RFC 5965 §3 and RFC 6591 §3, as RFC 9991 §4 wants them.
func (r *FailureReport) feedbackPart() []byte {
	var f feedbackFields
	f.WriteString("Content-Type: message/feedback-report\r\nContent-Transfer-Encoding: 7bit\r\n\r\n")
	f.field("Feedback-Type", "auth-failure")
	f.field("Version", "1")
	f.field("User-Agent", orElse(r.UserAgent, "mailbricks"))
	f.field("Auth-Failure", orElse(r.AuthFailure, AuthFailureDMARC))
	f.field("Authentication-Results", orElse(r.AuthenticationResults,
		domainText(r.ReportingMTA)+"; dmarc=fail header.from="+domainText(r.ReportedDomain)))
	f.field("Identity-Alignment", orElse(strings.Join(alignmentMethods(r.IdentityAlignment), ", "), "none"))
	f.field("Delivery-Result", deliveryResult(r.DeliveryResult))
	f.field("Reported-Domain", domainText(r.ReportedDomain))
	if r.SourceIP.IsValid() {
		f.field("Source-IP", addressLiteral(r.SourceIP))
	}
	if r.SourcePort != 0 {
		f.field("Source-Port", strconv.Itoa(int(r.SourcePort)))
	}
	if !r.ArrivalDate.IsZero() {
		f.field("Arrival-Date", r.ArrivalDate.Format(dateFormat))
	}
	if r.Incidents > 1 {
		f.field("Incidents", strconv.FormatUint(uint64(r.Incidents), 10))
	}
	if r.ReportingMTA != "" {
		f.field("Reporting-MTA", "dns; "+domainText(r.ReportingMTA))
	}
	r.envelopeFields(&f)
	r.methodFields(&f)
	return f.Bytes()
}

func (r *FailureReport) envelopeFields(f *feedbackFields) {
	f.field("Original-Mail-From", "<"+addressText(r.OriginalMailFrom)+">")
	for _, to := range r.OriginalRecipients[:min(len(r.OriginalRecipients), maxFailureFields)] {
		f.field("Original-Rcpt-To", "<"+addressText(to)+">")
	}
	f.field("Original-Envelope-Id", r.OriginalEnvelopeID)
}

func (r *FailureReport) methodFields(f *feedbackFields) {
	f.field("DKIM-Domain", domainText(r.DKIMDomain))
	f.field("DKIM-Identity", addressText(r.DKIMIdentity))
	f.field("DKIM-Selector", domainText(r.DKIMSelector))
	f.encoded("DKIM-Canonicalized-Header", r.DKIMCanonicalizedHeader)
	f.encoded("DKIM-Canonicalized-Body", r.DKIMCanonicalizedBody)
	if r.DKIMSelectorDNS != "" {
		f.field("DKIM-Selector-DNS", quotedString(r.DKIMSelectorDNS))
	}
	for _, s := range r.SPFDNS[:min(len(r.SPFDNS), maxFailureFields)] {
		kind := "txt"
		if strings.EqualFold(s.Type, "spf") {
			kind = "spf"
		}
		f.field("SPF-DNS", kind+" : "+domainText(s.Domain)+" : "+quotedString(s.Record))
	}
}

func orElse(value, fallback string) string {
	if cleanText(value) == "" {
		return fallback
	}
	return value
}

// alignmentMethods are those that RFC 9991 §4 knows, each once.
func alignmentMethods(methods []string) []string {
	var out []string
	for _, known := range []string{"dkim", "spf"} {
		for _, m := range methods {
			if strings.EqualFold(m, known) {
				out = append(out, known)
				break
			}
		}
	}
	return out
}

func deliveryResult(s string) string {
	switch s = strings.ToLower(s); s {
	case "", DeliveryDelivered, DeliverySpam, DeliveryPolicy, DeliveryReject:
		return s
	}
	return DeliveryOther
}

// addressLiteral is an address as RFC 5965 §3.2 wants it: in the form of RFC 5321 §4.1.3.
func addressLiteral(a netip.Addr) string {
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	return "IPv6:" + a.String()
}

// domainText is a domain with A-labels, in one word.
func domainText(domain string) string {
	if d, ok := domainname.Identity(domain); ok {
		return d
	}
	return strings.ReplaceAll(cleanText(domain), " ", "")
}

// addressText is a mail address in one word, with its domain in A-labels, and without what could end it.
func addressText(address string) string {
	address = strings.Map(func(r rune) rune {
		if r == '<' || r == '>' {
			return -1
		}
		return r
	}, cleanText(address))
	local, domain, ok := cutLast(address, "@")
	if !ok || isPlain(domain) {
		return address
	}
	return local + "@" + domainText(domain)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// quotedString makes a quoted-string (RFC 5322 §3.2.4).
func quotedString(s string) string {
	return fieldtext.Quote(cleanText(s))
}

// ascii writes characters outside ASCII as EmbeddedUnicodeChar (RFC 6533 §3).
func ascii(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, r)
		}
	}
	return b.String()
}

// quotedHeader is the header as it is quoted: with CRLF, without an empty line, and whole fields of it only.
func (r *FailureReport) quotedHeader() []byte {
	var out []byte
	kept := 0 // up to where fields are complete
	for line := range bytes.Lines(r.Header) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if line[0] != ' ' && line[0] != '\t' {
			kept = len(out)
		}
		if len(out)+len(line)+2 > MaxFailureHeader {
			return out[:kept]
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

// messagePart quotes the failed message (RFC 6591 §3.1).
func (r *FailureReport) messagePart() []byte {
	content := r.quotedHeader()
	kind, global := "text/rfc822-headers", "message/global-headers"
	if r.Body != nil {
		body, _ := io.ReadAll(mimeindex.CRLFReader(bytes.NewReader(r.Body[:min(len(r.Body), MaxFailureBody)])))
		content = append(append(content, "\r\n"...), body...)
		kind, global = "message/rfc822", "message/global"
	}
	var b bytes.Buffer
	if is7bit(content) {
		b.WriteString("Content-Type: " + kind + "\r\nContent-Transfer-Encoding: 7bit\r\n\r\n")
		b.Write(content)
		return b.Bytes()
	}
	if r.Body != nil || utf8.Valid(content) {
		kind = global // and nothing but 7bit may be used on message/rfc822 here (RFC 2046 §5.2.1)
	}
	b.WriteString("Content-Type: " + kind + "\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for text := base64.StdEncoding.EncodeToString(content); text != ""; {
		n := min(len(text), foldAt)
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	return b.Bytes()
}

// is7bit says whether content can go as 7bit data (RFC 2045 §2.7).
func is7bit(content []byte) bool {
	for line := range bytes.Lines(content) {
		text, found := bytes.CutSuffix(line, []byte("\r\n"))
		if len(text) > maxTextLine || !found && bytes.HasSuffix(line, []byte("\n")) {
			return false
		}
		for _, c := range text {
			if c == 0 || c == '\r' || c >= utf8.RuneSelf {
				return false
			}
		}
	}
	return true
}
