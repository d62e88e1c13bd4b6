package relay

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
)

// maxReturnedHeader is the most octets of a header that a notification returns; it ends at a field.
const maxReturnedHeader = 64 << 10

// notice is a delivery status notification that is to be made (RFC 3464).
type notice struct {
	hostname   string
	from       string // header From address
	to         string // envelope sender of the message
	id         string // of the message in the queue
	envelopeID string
	arrival    time.Time
	lifetime   time.Duration
	full       bool // return all of the message
	rcpts      []noticeRcpt
}

type noticeRcpt struct {
	address  string
	original string // "rfc822;address", or empty
	status   status
}

// compose makes the notification: a multipart/report (RFC 6522) of a text for people, a part for programs, and the
// message or its header.
func (n *notice) compose(spool *mailbricks.Spool, msg *mailbricks.Message) (*mailbricks.Envelope, *mailbricks.Message, error) {
	now := time.Now()
	boundary := "=_" + rand.Text()
	eight := n.full && has8Bit(msg.Reader()) || !n.full && has8Bit(bytes.NewReader(msg.Header()))
	w := spool.Writer()
	n.writeHeader(w, msg, boundary, now, eight)
	n.writeText(w, boundary)
	n.writeStatus(w, boundary)
	n.writeReturned(w, boundary, msg, eight)
	fmt.Fprintf(w, "\r\n--%s--\r\n", boundary)
	report, err := w.Message() // fails if one of the writes did
	if err != nil {
		return nil, nil, fmt.Errorf("relay: compose report: %w", err)
	}
	env := &mailbricks.Envelope{
		ID: "report-" + n.id, Received: now, Size: report.Size(),
		Recipients: []mailbricks.Recipient{{Address: n.to, Notify: mailbricks.NotifyNever}}, // RFC 3461 §6.1
		SMTPUTF8:   !isASCII(n.to),
		Body:       mailbricks.Body7Bit,
	}
	if eight {
		env.Body = mailbricks.Body8Bit
	}
	return env, report, nil
}

func (n *notice) writeHeader(w io.Writer, msg *mailbricks.Message, boundary string, now time.Time, eight bool) {
	fmt.Fprintf(w, "From: Mail Delivery System <%s>\r\nTo: <%s>\r\n", n.from, n.to)
	subject := "Your message could not be delivered"
	if about := clip(decodeWords(msg.Get("Subject"))); about != "" {
		subject += ": " + about
	}
	fmt.Fprintf(w, "Subject: %s\r\n", encodeWords(subject))
	fmt.Fprintf(w, "Date: %s\r\n", now.Format(time.RFC1123Z))
	fmt.Fprintf(w, "Message-ID: <%s@%s>\r\n", strings.ToLower(rand.Text()), n.hostname)
	if id := messageID(msg.Get("Message-ID")); id != "" {
		fmt.Fprintf(w, "In-Reply-To: %s\r\nReferences: %s\r\n", id, id)
	}
	fmt.Fprint(w, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n") // RFC 3834 §5
	if eight {
		fmt.Fprint(w, "Content-Transfer-Encoding: 8bit\r\n")
	}
	fmt.Fprintf(w, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n", boundary)
	fmt.Fprint(w, "This is a delivery report in MIME format.\r\n\r\n")
}

// writeText writes the part for people.
func (n *notice) writeText(w io.Writer, boundary string) {
	fmt.Fprintf(w, "--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", boundary)
	q := quotedprintable.NewWriter(w)
	people := "these people"
	if len(n.rcpts) == 1 {
		people = "this person"
	}
	fmt.Fprintf(q, "This is the mail server %s.\r\n\r\nI am sorry: your message did not reach %s, and I will not try again.\r\n", n.hostname, people)
	for _, r := range n.rcpts {
		fmt.Fprintf(q, "\r\n    %s\r\n\r\n%s\r\n", clip(r.address), n.explain(r))
	}
	fmt.Fprint(q, "\r\nThe technical details and ")
	if n.full {
		fmt.Fprint(q, "your message are attached.\r\n")
	} else {
		fmt.Fprint(q, "the header of your message are attached.\r\n")
	}
	_ = q.Close() // w keeps its error
}

// explain says why a recipient was not reached.
func (n *notice) explain(r noticeRcpt) string {
	var b strings.Builder
	if r.original != "" {
		if _, address, ok := strings.Cut(r.original, ";"); ok && address != r.address {
			fmt.Fprintf(&b, "(You wrote to %s, which leads there.)\r\n", clip(address))
		}
	}
	if reason := plainReason(r.status.Status); reason != "" {
		b.WriteString(reason + "\r\n")
	}
	switch {
	case r.status.Kind != Expired:
	case r.status.Attempts == 0:
		fmt.Fprintf(&b, "For %s the place it goes to could not be reached, as attempts with other messages have shown. The last time this happened:\r\n",
			days(n.lifetime))
	default:
		fmt.Fprintf(&b, "I have tried for %s, %s. The last time this happened:\r\n", days(n.lifetime), times(r.status.Attempts))
	}
	host := r.status.Host
	if r.status.Addr != "" {
		host += " (" + r.status.Addr + ")"
	}
	switch {
	case r.status.Reply != "":
		fmt.Fprintf(&b, "The mail server %s said:\r\n\r\n        %s\r\n", host, r.status.Reply)
	case r.status.public() != "":
		fmt.Fprintf(&b, "%s.\r\n", strings.TrimSuffix(r.status.public(), "."))
	}
	return b.String()
}

// plainReason is what an enhanced status code means, for people (RFC 3463 §3); empty: nothing that helps.
func plainReason(status string) string {
	_, code, _ := strings.Cut(status, ".")
	switch code {
	case "1.1":
		return "There is no such mailbox. Is the address spelt correctly?"
	case "1.2":
		return "The part of the address behind the @ does not exist. Is it spelt correctly?"
	case "1.3":
		return "The address is not a valid one."
	case "1.10":
		return "This domain does not accept mail."
	case "2.1":
		return "The mailbox is disabled."
	case "2.2":
		return "The mailbox is full."
	case "2.3", "3.4":
		return "The message is too large for the recipient."
	case "4.1", "4.2":
		return "The recipient's mail server could not be reached."
	case "4.3", "4.4":
		return "The recipient's mail server could not be found."
	case "4.6":
		return "The mail would go round in a circle."
	case "6.7", "6.9":
		return "The recipient's mail server does not take international addresses or header fields."
	}
	if strings.HasPrefix(code, "7.") {
		return "The recipient's mail server refuses the message by its rules."
	}
	return ""
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	if d >= 2*time.Hour {
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	}
	return d.Round(time.Second).String()
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// writeStatus writes the part for programs (RFC 3464 §2).
func (n *notice) writeStatus(w io.Writer, boundary string) {
	fmt.Fprintf(w, "\r\n--%s\r\nContent-Type: message/delivery-status\r\n\r\n", boundary)
	if n.envelopeID != "" {
		fmt.Fprintf(w, "Original-Envelope-Id: %s\r\n", xtext(n.envelopeID))
	}
	fmt.Fprintf(w, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\n", asciiText(n.hostname), n.arrival.Format(time.RFC1123Z))
	for _, r := range n.rcpts {
		fmt.Fprint(w, "\r\n")
		if kind, address, ok := strings.Cut(r.original, ";"); ok {
			fmt.Fprintf(w, "Original-Recipient: %s\r\n", typedAddress(kind, address))
		}
		fmt.Fprintf(w, "Final-Recipient: %s\r\nAction: failed\r\nStatus: %s\r\n", typedAddress("rfc822", r.address), finalStatus(r.status))
		if r.status.Host != "" {
			fmt.Fprintf(w, "Remote-MTA: dns; %s\r\n", asciiText(r.status.Host))
		}
		if r.status.Reply != "" {
			fmt.Fprintf(w, "Diagnostic-Code: smtp; %s\r\n", foldLong(asciiText(r.status.Reply)))
		} else if text := r.status.public(); text != "" {
			fmt.Fprintf(w, "Diagnostic-Code: x-local; %s\r\n", foldLong(asciiText(text)))
		}
		if !r.status.Last.IsZero() {
			fmt.Fprintf(w, "Last-Attempt-Date: %s\r\n", r.status.Last.Format(time.RFC1123Z))
		}
	}
}

// finalStatus is the status code of the failure: what expired was a failure for now until then (RFC 3464 §2.3.4 has the
// code say that the failure is final).
func finalStatus(s status) string {
	if !validEnhanced(s.Status) {
		return "5.0.0"
	}
	return "5" + s.Status[1:]
}

// typedAddress is an address with its type; one in UTF-8 is written so that the part stays in ASCII (RFC 6533 §3).
func typedAddress(kind, address string) string {
	kind, address = clip(kind), clip(address)
	if isASCII(address) {
		return asciiText(kind) + "; " + address
	}
	var b strings.Builder
	b.WriteString("utf-8; ")
	for _, r := range address {
		if r < 0x80 && r > ' ' && r != '\\' && r != '+' && r != '=' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\x{%X}", r)
		}
	}
	return b.String()
}

// writeReturned writes the message or its header (RFC 6522 §3, §4).
func (n *notice) writeReturned(w io.Writer, boundary string, msg *mailbricks.Message, eight bool) {
	encoding := "7bit"
	if eight {
		encoding = "8bit"
	}
	if n.full {
		fmt.Fprintf(w, "\r\n--%s\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: %s\r\n\r\n", boundary, encoding)
		_, _ = msg.WriteTo(w) // w keeps its error
		return
	}
	fmt.Fprintf(w, "\r\n--%s\r\nContent-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: %s\r\n\r\n", boundary, encoding)
	written := 0
	for f := range msg.Fields() {
		if written += len(f.Raw()); written > maxReturnedHeader {
			return
		}
		_, _ = w.Write(f.Raw()) // w keeps its error
	}
}

// has8Bit says whether there is an octet above 127. A part that cannot be read has none: it comes up when it is copied.
func has8Bit(r io.Reader) bool {
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			if c >= 0x80 {
				return true
			}
		}
		if err != nil {
			return false
		}
	}
}

// messageID takes the first identifier of a field, if it is one.
func messageID(value string) string {
	id, _, ok := strings.Cut(strings.TrimSpace(value), ">")
	if !ok || !strings.HasPrefix(id, "<") || len(id) > 250 || strings.ContainsAny(id, " \t") || !isASCII(id) || clip(id) != id {
		return ""
	}
	return id + ">"
}

func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: func(string, io.Reader) (io.Reader, error) { return nil, io.EOF }}
	if out, err := d.DecodeHeader(s); err == nil {
		return out
	}
	return s
}

// encodeWords makes a text fit for a header field: in words of RFC 2047 where it is not ASCII, and folded.
func encodeWords(s string) string {
	if isASCII(s) {
		return foldLong(s)
	}
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), " ", "\r\n ")
}

// asciiText makes a text ASCII, for fields that have no other way.
func asciiText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}

// foldColumn is where a long field is folded (RFC 5322 §2.1.1 has 78, and 998 at most).
const foldColumn = 70

// foldLong folds a text at its blanks.
func foldLong(s string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(s) {
		switch {
		case i == 0:
		case column+len(word) > foldColumn:
			b.WriteString("\r\n\t")
			column = 0
		default:
			b.WriteByte(' ')
		}
		b.WriteString(word)
		column += len(word) + 1
	}
	return b.String()
}
