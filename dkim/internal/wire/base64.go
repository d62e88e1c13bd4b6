package wire

import (
	"encoding/base64"
	"errors"
	"strings"
)

// ErrBase64 says that a value is no base64.
var ErrBase64 = errors.New("is no base64")

// DecodeBase64 decodes a base64string, with white space anywhere and padding or none (RFC 6376 §2.10).
func DecodeBase64(s string) ([]byte, error) {
	s = StripFWS(s)
	for range 2 {
		s = strings.TrimSuffix(s, "=")
	}
	p, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, ErrBase64
	}
	return p, nil
}

// Base64Octet says whether an octet may stand in a base64string that is neither white space nor padding.
func Base64Octet(c byte) bool {
	return c == '+' || c == '/' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
