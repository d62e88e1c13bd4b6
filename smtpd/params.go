package smtpd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// mailParameters takes the parameters of MAIL into env. Only what EHLO offers is taken (RFC 5321 §4.1.1.11).
func (c *conn) mailParameters(env *mailbricks.Envelope, words []string) *mailbricks.Reply {
	seen := make(map[string]bool, len(words))
	for _, word := range words {
		name, value, hasValue := strings.Cut(word, "=") // a value may hold a further "=" in practice
		name = strings.ToUpper(name)
		if !validKeyword(name) || hasValue && value == "" {
			return badArgument("Malformed MAIL parameter")
		}
		if seen[name] {
			return badArgument(fmt.Sprintf("MAIL parameter %s is given twice", name))
		}
		seen[name] = true
		if reply := c.mailParameter(env, name, value); reply != nil {
			return reply
		}
	}
	return nil
}

// mailParameter takes one parameter; value is empty when there is none.
func (c *conn) mailParameter(env *mailbricks.Envelope, name, value string) *mailbricks.Reply {
	switch {
	case !c.extended: // HELO offers nothing
	case name == "SIZE":
		return c.size(env, value)
	case name == "BODY":
		switch body := mailbricks.BodyType(strings.ToUpper(value)); body {
		case mailbricks.Body7Bit, mailbricks.Body8Bit:
			env.Body = body
			return nil
		}
		return badArgument("BODY is 7BIT or 8BITMIME")
	case name == "SMTPUTF8" && !c.set.NoSMTPUTF8:
		if value != "" {
			return badArgument("SMTPUTF8 takes no value")
		}
		env.SMTPUTF8 = true
		return nil
	case name == "AUTH" && c.set.Auth != nil:
		auth, ok := decodeXtext(value)
		if !ok {
			return badArgument("AUTH is <> or a mailbox in xtext")
		}
		if auth == "<>" || c.session.Peer.Identity == nil { // RFC 4954 §5: the word of a stranger counts for nothing
			auth = ""
		}
		env.Auth = &auth
		return nil
	}
	return misuse(555, "5.5.4", fmt.Sprintf("MAIL parameter %s is not offered here", name))
}

// size is the SIZE parameter (RFC 1870 §6).
func (c *conn) size(env *mailbricks.Envelope, value string) *mailbricks.Reply {
	if len(value) == 0 || len(value) > 20 || strings.Trim(value, "0123456789") != "" {
		return badArgument("SIZE is a number of up to 20 digits")
	}
	size, err := strconv.ParseInt(value, 10, 64)
	if err != nil && c.set.maxMessageSize < 0 {
		size = 0 // more than can be counted, and welcome
	} else if err != nil || serving.Over(size, c.set.maxMessageSize) {
		return c.tooLarge()
	}
	env.Size = size
	return nil
}

// tooLarge is the reply for a message above MaxMessageSize.
func (c *conn) tooLarge() *mailbricks.Reply {
	return &mailbricks.Reply{Code: 552, Enhanced: "5.3.4", Text: fmt.Sprintf("Message is larger than %d octets", c.set.maxMessageSize)}
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

// decodeXtext decodes xtext (RFC 3461 §4) that is not empty.
func decodeXtext(s string) (string, bool) {
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
		case ch < '!' || ch > '~' || ch == '=':
			return "", false
		default:
			b.WriteByte(ch)
		}
	}
	return b.String(), b.Len() > 0
}

func isUpperHex(b byte) bool { return b >= '0' && b <= '9' || b >= 'A' && b <= 'F' }
