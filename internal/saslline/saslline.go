// Package saslline is the part of SASL (RFC 4422) that all protocols of lines have in common: challenges and responses in
// base64, one a line, which the client may cancel with a "*" (RFC 4954 §4, RFC 5034 §4, RFC 3501 §6.2.2).
package saslline

import (
	"encoding/base64"
	"errors"
)

// What a client can do wrong in an exchange.
var (
	ErrCancelled = errors.New("sasl: cancelled by the client")
	ErrBase64    = errors.New("sasl: response is not base64")
	ErrNotEmpty  = errors.New("sasl: response after the last challenge is not empty")
	ErrTooMany   = errors.New("sasl: too many challenges")
)

// MaxChallenges is how many challenges one exchange may have; no mechanism needs more than three.
const MaxChallenges = 16

// Initial decodes the initial response that the command had as an argument, if it had one: nil is none, and "=" stands for
// an empty one (RFC 4954 §4, RFC 5034 §4, RFC 4959 §3).
func Initial(text string, given bool) ([]byte, error) {
	switch {
	case !given:
		return nil, nil
	case text == "":
		return nil, ErrBase64
	case text == "=":
		return []byte{}, nil
	}
	return decode(text)
}

// Exchange goes from the initial response, nil for none, through challenges and responses to the client's identity. next is
// the mechanism: it gives a challenge, or the identity, or the identity with a last challenge that asks for an empty
// response (RFC 4422 §5: additional data with success). ask sends the client a challenge, which is in base64 already, and
// gives the line that answers, without its end. Their errors end the exchange, and so do the client's: see above.
func Exchange[ID any](
	initial []byte, next func(response []byte) (challenge []byte, id *ID, err error), ask func(challenge string) (string, error),
) (*ID, error) {
	response := initial
	for range MaxChallenges {
		challenge, id, err := next(response)
		if err != nil {
			return nil, err
		}
		if id != nil && challenge == nil {
			return id, nil
		}
		line, err := ask(base64.StdEncoding.EncodeToString(challenge))
		if err != nil {
			return nil, err
		}
		if line == "*" {
			return nil, ErrCancelled
		}
		if response, err = decode(line); err != nil {
			return nil, err
		}
		if id != nil {
			if len(response) > 0 {
				return nil, ErrNotEmpty
			}
			return id, nil
		}
	}
	return nil, ErrTooMany
}

// decode never gives nil for a response, which would be none.
func decode(text string) ([]byte, error) {
	response := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(response, []byte(text))
	if err != nil {
		return nil, ErrBase64
	}
	return response[:n], nil
}
