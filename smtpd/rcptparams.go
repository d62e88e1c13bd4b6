package smtpd

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks"
)

// rcptParameters takes the parameters of RCPT into rcpt. Only what EHLO offers is taken.
func (c *conn) rcptParameters(rcpt *mailbricks.Recipient, words []string) *mailbricks.Reply {
	return parameters("RCPT", words, func(name, value string) *mailbricks.Reply {
		switch {
		case !c.extended: // HELO offers nothing
		case name == "NOTIFY" && c.ext.DSN:
			return notify(rcpt, value)
		case name == "ORCPT" && c.ext.DSN:
			return originalRecipient(rcpt, value, c.tx.Envelope.SMTPUTF8)
		case name == "RRVS" && c.ext.RecipientValidSince:
			return validSince(rcpt, value)
		}
		return notOffered("RCPT", name)
	})
}

// notify is the NOTIFY parameter (RFC 3461 §4.1).
func notify(rcpt *mailbricks.Recipient, value string) *mailbricks.Reply {
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		switch word {
		case "": // the "#" of RFC 822 §2.7 lets elements be empty
		case "NEVER":
			rcpt.Notify |= mailbricks.NotifyNever
		case "SUCCESS":
			rcpt.Notify |= mailbricks.NotifySuccess
		case "FAILURE":
			rcpt.Notify |= mailbricks.NotifyFailure
		case "DELAY":
			rcpt.Notify |= mailbricks.NotifyDelay
		default:
			rcpt.Notify = 0
			return badNotify()
		}
	}
	if never := mailbricks.NotifyNever; rcpt.Notify == 0 || rcpt.Notify&never != 0 && rcpt.Notify != never {
		return badNotify()
	}
	return nil
}

func badNotify() *mailbricks.Reply {
	return badArgument("NOTIFY is NEVER or some of SUCCESS, FAILURE and DELAY")
}

// originalRecipient is the ORCPT parameter (RFC 3461 §4.2, RFC 6533 §3).
func originalRecipient(rcpt *mailbricks.Recipient, value string, smtputf8 bool) *mailbricks.Reply {
	kind, encoded, _ := strings.Cut(value, ";")
	address, ok := "", isAtom(kind) && len(value) <= maxOriginalRecipient
	switch {
	case !ok:
	case !strings.EqualFold(kind, "utf-8"):
		if address, ok = decodeLooseXtext(encoded); ok && !isASCII(address) {
			// It is what Postfix makes of an internationalised address.
			kind, ok = "utf-8", strings.EqualFold(kind, "rfc822") && utf8.ValidString(address) && !strings.ContainsFunc(address, unicode.IsControl)
		}
	case smtputf8 || isASCII(encoded):
		address, ok = decodeUnitext(encoded)
	default:
		return misuse(501, "5.6.7", "ORCPT with UTF-8 needs SMTPUTF8")
	}
	if !ok {
		return badArgument(fmt.Sprintf("ORCPT is a type and an address in up to %d octets, such as rfc822;name@example.com", maxOriginalRecipient))
	}
	rcpt.OriginalRecipient = kind + ";" + address
	return nil
}

// isAtom says whether s is an atom (RFC 5322 §3.2.3, without its CFWS).
func isAtom(s string) bool {
	for i := range len(s) {
		if !isAtext(s[i]) {
			return false
		}
	}
	return s != ""
}

// decodeUnitext decodes any of the three forms of a utf-8 address in ORCPT (RFC 6533 §3), in which \x{HEX} stands for a
// character. An "=" is let pass as in the other types. Control characters have no place in an address.
func decodeUnitext(s string) (string, bool) {
	if strings.Contains(s, "+") { // only as \x{2B}, or it could be xtext
		return "", false
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == '\\' {
			r, size = unitextChar(s)
		}
		if r == utf8.RuneError || unicode.IsControl(r) {
			return "", false
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String(), b.Len() > 0
}

// unitextChar gives the character that \x{HEX} at the start of s stands for, and its length; utf8.RuneError if there is none.
// HEX has no zeros in front beyond two digits.
func unitextChar(s string) (r rune, size int) {
	hex, found := strings.CutPrefix(s, `\x{`)
	end := strings.IndexByte(hex, '}')
	if !found || end < 2 || end > 6 || end > 2 && hex[0] == '0' {
		return utf8.RuneError, 1
	}
	n, err := strconv.ParseUint(hex[:end], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return utf8.RuneError, 1
	}
	return rune(n), len(`\x{}`) + end
}

// validSince is the RRVS parameter (RFC 7293 §3.1).
func validSince(rcpt *mailbricks.Recipient, value string) *mailbricks.Reply {
	stamp, action, hasAction := strings.Cut(strings.ToUpper(value), ";")
	since, ok := timestamp(stamp)
	if !ok || hasAction && action != "R" && action != "C" {
		return badArgument("RRVS is a time like 2006-01-02T15:04:05Z, with ;R or ;C behind it or not")
	}
	rcpt.ValidSince, rcpt.ValidSinceOptional = since, action == "C"
	return nil
}

// timestamp reads a time of RFC 3339 without a fraction, in upper case. A leap second, which time.Parse does not know, is the
// first of the next minute; only the last minute of a UTC day has one.
func timestamp(s string) (time.Time, bool) {
	const zulu, offset = len("2006-01-02T15:04:05Z"), len("2006-01-02T15:04:05+00:00")
	if len(s) != zulu && len(s) != offset {
		return time.Time{}, false
	}
	const second = len("2006-01-02T15:04:")
	leap := s[second:second+2] == "60"
	if leap {
		s = s[:second] + "59" + s[second+2:]
	}
	t, err := time.Parse(time.RFC3339, s)
	if leap {
		t = t.Add(time.Second)
		if h, m, _ := t.UTC().Clock(); h != 0 || m != 0 || t.Year() > 9999 { // which could not be written again
			return time.Time{}, false
		}
	}
	return t, err == nil
}
