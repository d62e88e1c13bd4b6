package dkim

import (
	"fmt"
	"slices"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// Warnings says, one sentence each, what a person who publishes the key should know of its record though it can be read:
// why mail cannot be signed with it, what verifiers make of it, what they ignore. It is empty for a good record.
func (k *Key) Warnings() []string {
	var all []string
	add := func(when bool, format string, args ...any) {
		if when {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(!k.forMail(), "s= does not list email, so the key is not for mail")
	add(!k.forSHA256(), "h= does not list sha256, so no signature can use the key (RFC 8301 §3.1)")
	bits := k.Bits()
	isRSA := k.Type == wire.RSA
	add(isRSA && bits < MinRSABits,
		"the key has %d bits; verifiers refuse RSA keys of less than %d (RFC 8301 §3.2)", bits, MinRSABits)
	add(isRSA && bits >= MinRSABits && bits < DefaultRSABits,
		"the key has %d bits; an RSA key should have %d (RFC 8301 §3.2)", bits, DefaultRSABits)
	add(isRSA && bits > MaxGeneratedBits,
		"the key has %d bits; verifiers need not accept RSA keys of more than %d (RFC 8301 §3.2)", bits, MaxGeneratedBits)
	add(k.Testing, "t=y says that DKIM is being tried out: verifiers treat the mail as if it were not signed")
	return slices.Concat(all, k.remarks)
}
