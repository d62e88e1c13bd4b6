package reporting

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

// lineLength is that of base64 in a message (RFC 2045 §6.8).
const lineLength = 76

// The name in the From field.
const (
	// maxDisplay is how much of the organization's name stands there, in octets.
	maxDisplay = 100
	// maxQuoted is the longest that is written as a quoted-string. It has the line with "From: ", as has an encoded word
	// for maxEncoded octets: neither is longer than the 76 that RFC 2047 §2 allows.
	maxQuoted  = lineLength - len("From: ")
	maxEncoded = 42
)

// message is the mail that carries a report (RFC 9990 §3.5.2).
func (r *Reporter) message(rep *dmarc.Report, attachment []byte, to string) []byte {
	m := &rep.Metadata
	boundary := "report-" + m.ReportID // base64 and the text below have no line that begins so
	file := fmt.Sprintf("%s!%s!%d!%d!%s.xml.gz", r.Hostname, rep.Policy.Domain, m.Begin.Unix(), m.End.Unix(), m.ReportID)

	var b bytes.Buffer
	b.Grow(len(attachment)/3*4 + len(attachment)/lineLength*4 + 8<<10)
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	r.header(&b, to, m.ReportID)
	field("Subject", "Report Domain: "+rep.Policy.Domain+"\r\n Submitter: "+r.Hostname+"\r\n Report-ID: <"+m.ReportID+">")
	field("MIME-Version", "1.0")
	field("Content-Type", `multipart/mixed; boundary="`+boundary+`"`)
	b.WriteString("\r\n--" + boundary + "\r\n")
	field("Content-Type", "text/plain; charset=us-ascii")
	b.WriteString("\r\n" + summary(r.Hostname, rep) + "\r\n--" + boundary + "\r\n")
	field("Content-Type", "application/gzip;\r\n name=\""+file+"\"")
	field("Content-Disposition", "attachment;\r\n filename=\""+file+"\"")
	field("Content-Transfer-Encoding", "base64")
	b.WriteString("\r\n")
	writeBase64(&b, attachment)
	b.WriteString("--" + boundary + "--\r\n")
	return b.Bytes()
}

// header writes the fields that all reports have.
func (r *Reporter) header(b *bytes.Buffer, to, id string) {
	fmt.Fprintf(b, "From: %s\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\n",
		mailbox(r.organization(), r.Email), to, r.time().UTC().Format(time.RFC1123Z), id, r.Hostname)
}

// mailbox is an address with a name in front of it, as it may stand behind "From: ".
func mailbox(name, address string) string {
	name = displayName(name)
	last := name[strings.LastIndexByte(name, '\n')+1:]
	if len("From: ")+len(last)+len(" <>")+len(address) > lineLength {
		return name + "\r\n <" + address + ">"
	}
	return name + " <" + address + ">"
}

// displayName is a name as it may stand in front of an address.
func displayName(name string) string {
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, name)
	name = name[:runes(name, maxDisplay)]
	quoted := fieldtext.Quote(name)
	if isVisibleASCII(strings.ReplaceAll(name, " ", "")) && !strings.Contains(name, "=?") && len(quoted) <= maxQuoted {
		return quoted
	}
	return encodedWords(name)
}

// encodedWords writes a text in the encoding "B", whose letters may all stand in a phrase; "Q" has others, too (RFC 2047
// §5). Each word is in a line of its own, and has whole characters.
func encodedWords(text string) string {
	var words []string
	for text != "" {
		n := runes(text, maxEncoded)
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(text[:n]))+"?=")
		text = text[n:]
	}
	return strings.Join(words, "\r\n ")
}

// runes is how many octets of a text of whole characters have room in most.
func runes(text string, most int) int {
	n := min(len(text), most)
	for n < len(text) && n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return n
}

// summary is what a person reads. All of it is ASCII, in lines of less than 998 octets.
func summary(hostname string, rep *dmarc.Report) string {
	var messages, passed int64
	for i := range rep.Records {
		messages += rep.Records[i].Count
		if rep.Records[i].Passed() {
			passed += rep.Records[i].Count
		}
	}
	begin, end := rep.Metadata.Begin.UTC().Format(time.RFC1123Z), rep.Metadata.End.UTC().Format(time.RFC1123Z)
	return fmt.Sprintf("This is a DMARC aggregate report (RFC 9990). The data is in the attachment.\r\n\r\n"+
		"Domain:    %s\r\nSubmitter: %s\r\nReport-ID: %s\r\nFrom:      %s\r\nUntil:     %s\r\nMessages:  %d\r\nPassed:    %d\r\n",
		rep.Policy.Domain, hostname, rep.Metadata.ReportID, begin, end, messages, passed)
}

// writeBase64 writes data in lines.
func writeBase64(b *bytes.Buffer, data []byte) {
	const chunk = lineLength / 4 * 3
	line := make([]byte, 0, lineLength+2)
	for len(data) > 0 {
		n := min(chunk, len(data))
		line = base64.StdEncoding.AppendEncode(line[:0], data[:n])
		b.Write(append(line, '\r', '\n'))
		data = data[n:]
	}
}
