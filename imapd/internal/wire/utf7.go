package wire

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// base64m is the alphabet of modified UTF-7 (RFC 3501 §5.1.3), strict about the bits left over.
var base64m = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// DecodeMailbox gives the UTF-8 form of a mailbox name from the wire. INBOX in any case, alone or as the level above
// others, becomes "INBOX" (RFC 9051 §5.1). Only the one right encoding of a name is taken, so that no mailbox has two
// names; control characters are in none.
func DecodeMailbox(s string) (string, error) {
	const inbox = "INBOX"
	if n := len(inbox); len(s) >= n && strings.EqualFold(s[:n], inbox) && (len(s) == n || s[n] == '/') {
		s = inbox + s[n:]
	}
	name, ok := decodeUTF7(s)
	if !ok {
		return "", ErrMailboxName
	}
	return name, nil
}

// EncodeMailbox gives the form for the wire of a mailbox name in UTF-8. Octets that are no UTF-8 become U+FFFD.
func EncodeMailbox(name string) string {
	var b strings.Builder
	for len(name) > 0 {
		n := strings.IndexFunc(name, needsShift)
		if n < 0 {
			n = len(name)
		}
		b.WriteString(strings.ReplaceAll(name[:n], "&", "&-"))
		name = name[n:]
		if n = strings.IndexFunc(name, isDirect); n < 0 {
			n = len(name)
		}
		if n > 0 {
			encodeShifted(&b, name[:n])
		}
		name = name[n:]
	}
	return b.String()
}

func isDirect(r rune) bool { return r >= ' ' && r < 0x7f }

func needsShift(r rune) bool { return !isDirect(r) }

func encodeShifted(b *strings.Builder, s string) {
	units := utf16.Encode([]rune(s))
	raw := make([]byte, 0, 2*len(units))
	for _, u := range units {
		raw = append(raw, byte(u>>8), byte(u))
	}
	b.WriteByte('&')
	b.WriteString(base64m.EncodeToString(raw))
	b.WriteByte('-')
}

func decodeUTF7(s string) (string, bool) {
	var b strings.Builder
	shifted := false // the last thing was a shifted sequence
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isDirect(rune(c)) {
			return "", false
		}
		if c != '&' {
			b.WriteByte(c)
			shifted = false
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", false
		}
		if end == 1 {
			b.WriteByte('&')
			shifted = false
		} else if shifted || !decodeShifted(&b, s[i+1:i+end]) { // two in a row should have been one
			return "", false
		} else {
			shifted = true
		}
		i += end
	}
	return b.String(), true
}

func decodeShifted(b *strings.Builder, s string) bool {
	if strings.ContainsAny(s, "\r\n") { // which package base64 passes over
		return false
	}
	raw, err := base64m.DecodeString(s)
	if err != nil || len(raw)%2 != 0 {
		return false
	}
	for i := 0; i < len(raw); i += 2 {
		r := rune(raw[i])<<8 | rune(raw[i+1])
		if utf16.IsSurrogate(r) {
			if i += 2; i >= len(raw) {
				return false
			}
			if r = utf16.DecodeRune(r, rune(raw[i])<<8|rune(raw[i+1])); r == utf8.RuneError {
				return false
			}
		}
		if r < 0xa0 { // printable ASCII must stand for itself, and control characters are in no name
			return false
		}
		b.WriteRune(r)
	}
	return true
}
