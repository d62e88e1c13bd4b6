package senderauth

import (
	"bytes"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/senderauth/authres"
)

// removeForged takes out the Authentication-Results fields that could be taken for ours (RFC 8601 §5).
func removeForged(msg *mailbricks.Message, servID string) {
	if !mayHaveResults(msg.Header()) {
		return
	}
	msg.Remove(func(f mailbricks.Field) bool {
		name, value, _ := bytes.Cut(f.Raw(), []byte(":"))
		return strings.EqualFold(visible(name), authres.Name) && authres.Forged(string(value), servID)
	})
}

// mayHaveResults says whether a header may have such fields, without a close look: whether one begins with the letter.
func mayHaveResults(header []byte) bool {
	for line := range bytes.Lines(header) {
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		for _, c := range line {
			if c <= ' ' || c >= 0x7f {
				continue
			}
			if c|0x20 == 'a' {
				return true
			}
			break
		}
	}
	return false
}

// visible is a field's name as careless readers see it: a fold, a blank or a control character in or behind it makes no
// other field of it.
func visible(name []byte) string {
	if len(name) > 2*len(authres.Name) {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, string(name))
}
