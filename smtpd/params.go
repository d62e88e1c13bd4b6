package smtpd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks"
)

// parameters goes through the parameters of MAIL or RCPT (RFC 5321 §4.1.2). take gets the name in upper case, and the value,
// which is empty when there is none.
func parameters(verb string, words []string, take func(name, value string) *mailbricks.Reply) *mailbricks.Reply {
	var seen []string
	for _, word := range words {
		name, value, hasValue := strings.Cut(word, "=") // a value may hold a further "=" in practice
		name = strings.ToUpper(name)
		if !validKeyword(name) || hasValue && value == "" {
			return badArgument("Malformed " + verb + " parameter")
		}
		for _, other := range seen {
			if name == other {
				return badArgument(fmt.Sprintf("%s parameter %s is given twice", verb, name))
			}
		}
		seen = append(seen, name)
		if reply := take(name, value); reply != nil {
			return reply
		}
	}
	return nil
}

// notOffered is the reply to a parameter that EHLO did not offer (RFC 5321 §4.1.1.11).
func notOffered(verb, name string) *mailbricks.Reply {
	return misuse(555, "5.5.4", fmt.Sprintf("%s parameter %s is not offered here", verb, name))
}

// validKeyword says whether name is an esmtp-keyword (RFC 5321 §4.1.2), in upper case.
func validKeyword(name string) bool {
	for i := range len(name) {
		switch b := name[i]; {
		case b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-' && i > 0:
		default:
			return false
		}
	}
	return name != ""
}

// number gives s if it has 1 to most digits and nothing else; most must be less than 19.
func number(s string, most int) (int64, bool) {
	if len(s) == 0 || len(s) > most || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// decodeXtext decodes xtext (RFC 3461 §4) that is not empty and has no control characters.
func decodeXtext(s string) (string, bool) {
	if strings.Contains(s, "=") {
		return "", false
	}
	return decodeLooseXtext(s)
}

// decodeLooseXtext is decodeXtext for values in which clients leave "=" as it is.
func decodeLooseXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '+':
			if i+2 >= len(s) || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil || n < ' ' || n == 0x7f { // a control character would end up in a header or log
				return "", false
			}
			b.WriteByte(byte(n))
			i += 2
		case ch < '!' || ch > '~':
			return "", false
		default:
			b.WriteByte(ch)
		}
	}
	return b.String(), b.Len() > 0
}

func isUpperHex(b byte) bool { return b >= '0' && b <= '9' || b >= 'A' && b <= 'F' }
