package arc

import (
	"bytes"
	"crypto/sha256"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// covered are fields in relaxed form, one behind the other, as a seal covers them (RFC 8617 §4.1.3, §5.1.1).
type covered []byte

// add covers fields.
func (c *covered) add(raw ...[]byte) {
	for _, field := range raw {
		*c = wire.AppendHeader(*c, field, true)
	}
}

// digest is the SHA-256 of what is covered and, behind it, of the seal itself, whose b= has no value.
func (c *covered) digest(seal string) []byte {
	all := wire.AppendHeader(*c, []byte(seal), true)
	sum := sha256.Sum256(bytes.TrimSuffix(all, []byte("\r\n")))
	*c = all[:len(*c)] // keep what it has grown to
	return sum[:]
}
