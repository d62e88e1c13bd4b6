package mutf7

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is the base64 of RFC 3501 §5.1.3.
func encoding() *base64.Encoding {
	return base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)
}

// isDirect says whether a character stands for itself.
func isDirect(r rune) bool { return r >= ' ' && r < 0x7f }

// Encode gives the modified UTF-7 of a text. Characters of except are written in base64 though they could stand for
// themselves, as a dot must be in the name of a Maildir++ folder. Octets that are no UTF-8 become U+FFFD.
func Encode(s, except string) string {
	direct := func(r rune) bool { return isDirect(r) && !strings.ContainsRune(except, r) }
	shifted := func(r rune) bool { return !direct(r) }
	if !strings.Contains(s, "&") && strings.IndexFunc(s, shifted) < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		end := strings.IndexFunc(s, shifted)
		if end < 0 {
			end = len(s)
		}
		b.WriteString(strings.ReplaceAll(s[:end], "&", "&-"))
		s = s[end:]
		if end = strings.IndexFunc(s, direct); end < 0 {
			end = len(s)
		}
		if end > 0 {
			encodeRun(&b, s[:end])
		}
		s = s[end:]
	}
	return b.String()
}

func encodeRun(b *strings.Builder, s string) {
	var raw []byte
	for _, u := range utf16.Encode([]rune(s)) {
		raw = append(raw, byte(u>>8), byte(u))
	}
	b.WriteByte('&')
	b.WriteString(encoding().EncodeToString(raw))
	b.WriteByte('-')
}

// Decode reads modified UTF-7. It takes only the one form that Encode gives without exceptions, and no control characters:
// ok is false for any other.
func Decode(s string) (text string, ok bool) {
	var b strings.Builder
	shifted := false // the last thing was a run of base64
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
		run, valid := decodeRun(encoding().Strict(), s[i+1:i+end])
		if end == 1 {
			run, valid, shifted = "&", true, false
		} else if shifted || strings.ContainsFunc(run, mustBeDirect) { // two in a row should have been one
			return "", false
		} else {
			shifted = true
		}
		if !valid {
			return "", false
		}
		b.WriteString(run)
		i += end
	}
	return b.String(), true
}

// mustBeDirect says whether a character may not be in base64: printable ASCII stands for itself, and control characters are
// in no name.
func mustBeDirect(r rune) bool { return r < 0xa0 }

// decodeRun reads what stands between "&" and "-".
func decodeRun(enc *base64.Encoding, s string) (string, bool) {
	if strings.ContainsAny(s, "\r\n") { // which package base64 passes over
		return "", false
	}
	raw, err := enc.DecodeString(s)
	if err != nil || len(raw) == 0 || len(raw)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	runes := utf16.Decode(units)
	for _, r := range runes {
		if r == utf8.RuneError {
			return "", false
		}
	}
	return string(runes), true
}

// DecodeLoose reads modified UTF-7 as it is found on disk: what is none, or would be a control character or one of
// except, stands for itself.
func DecodeLoose(s, except string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, more := strings.Cut(s, "&")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		coded, after, ended := strings.Cut(rest, "-")
		text, valid := decodeRun(encoding(), coded) // bits that are left over harm nobody here
		if coded == "" {
			text, valid = "&", true
		}
		if !ended || !valid || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || strings.ContainsRune(except, r) }) {
			b.WriteByte('&')
			s = rest
			continue
		}
		b.WriteString(text)
		s = after
	}
}
