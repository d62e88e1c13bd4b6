package spf

import (
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

const (
	foldAt     = 78  // RFC 5322 §2.1.1
	maxValue   = 256 // of one value in a field, in octets; twice as much where all of it is escaped
	maxComment = 400 // likewise; no line may have 998 (RFC 5322 §2.1.1)
)

// ReceivedSPF is the value of a Received-SPF field (RFC 7208 §9.1) that tells of the verdict, folded with CRLF and TAB,
// without the field's name and its last line end. Receiver is the name of the host that checked; it may be empty. What
// the client made up is quoted, and cut where it is too long; what no field may hold becomes "?".
//
//	msg.Prepend("Received-SPF", verdict.ReceivedSPF("mx.example.com"))
func (v Verdict) ReceivedSPF(receiver string) string {
	f := folder{col: len("Received-SPF: ")}
	f.token(v.Result.String())
	f.comment(v.summary(receiver))
	ip := "unknown"
	if v.Client.IP.IsValid() {
		ip = v.Client.IP.String()
	}
	f.pair("identity", v.Identity.String())
	f.pair("client-ip", ip)
	if v.Identity == MailFrom {
		f.pair("envelope-from", v.Client.From)
	}
	if v.Client.Helo != "" {
		f.pair("helo", v.Client.Helo)
	}
	if receiver != "" {
		f.pair("receiver", receiver)
	}
	switch {
	case v.Mechanism != "":
		f.pair("mechanism", v.Mechanism)
	case v.Result == Neutral:
		f.pair("mechanism", "default")
	}
	if v.Err != nil && (v.Result == PermError || v.Result == TempError) {
		f.pair("problem", v.Err.Error())
	}
	return f.String()
}

// summary is the comment for people.
func (v Verdict) summary(receiver string) string {
	domain, ip := "domain of "+v.Client.From, v.Client.IP.String()
	if v.Identity == Helo {
		domain = "host " + v.Client.Helo
	}
	var text string
	switch v.Result {
	case Pass:
		text = domain + " designates " + ip + " as permitted sender"
	case Fail:
		text = domain + " does not designate " + ip + " as permitted sender"
	case SoftFail:
		text = domain + " does probably not permit " + ip
	case Neutral:
		text = ip + " is neither permitted nor denied by " + domain
	case None:
		text = domain + " does not say who may send for it"
	case TempError:
		text = "no answer from the DNS for " + domain
	default:
		text = "invalid record for " + domain
	}
	if receiver != "" {
		text = receiver + ": " + text
	}
	return text
}

// folder builds a field value out of tokens with white space between them.
type folder struct {
	strings.Builder
	col int
}

// token appends text that must not be broken, on a line of its own where it would not fit.
func (f *folder) token(text string) {
	switch width := utf8.RuneCountInString(text); {
	case f.Len() == 0:
		f.col += width
	case f.col+1+width > foldAt:
		f.WriteString("\r\n\t")
		f.col = 8 + width
	default:
		f.WriteByte(' ')
		f.col += 1 + width
	}
	f.WriteString(text)
}

// comment appends a comment, word by word.
func (f *folder) comment(text string) {
	for word := range strings.FieldsSeq(fieldtext.Comment(fieldtext.Clean(text, maxComment))) {
		f.token(word)
	}
}

// pair appends a key-value-pair with its semicolon.
func (f *folder) pair(key, value string) {
	value = fieldtext.Clean(value, maxValue)
	if !isDotAtom(value) {
		value = fieldtext.Quote(value)
	}
	f.token(key + "=" + value + ";")
}

// isDotAtom is dot-atom-text of RFC 5322 §3.2.3.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if c := atom[i]; !isAlnum(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
				return false
			}
		}
	}
	return true
}
