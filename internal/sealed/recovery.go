package sealed

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
)

// A recovery key is 160 random bits and a checksum of 20, in groups of letters and digits that are not mistaken for each
// other.
const (
	recoveryBits  = 160
	checksumBits  = 20
	recoveryChars = (recoveryBits + checksumBits) / 5
	groupChars    = 6
	// recoveryAlphabet has no I, L, O and U.
	recoveryAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// NewRecovery makes a recovery key: six groups of six.
func NewRecovery() string {
	raw := make([]byte, recoveryBits/8)
	_, _ = rand.Read(raw) // never fails
	defer clear(raw)
	return formatRecovery(raw)
}

func formatRecovery(raw []byte) string {
	all := append(append([]byte(nil), raw...), recoverySum(raw)...)
	var b strings.Builder
	for i := range recoveryChars {
		if i > 0 && i%groupChars == 0 {
			b.WriteByte('-')
		}
		var five byte
		for bit := 5 * i; bit < 5*i+5; bit++ {
			five = five<<1 | all[bit/8]>>(7-bit%8)&1
		}
		b.WriteByte(recoveryAlphabet[five])
	}
	return b.String()
}

// recoverySum is the checksum, with bits behind it that are not used.
func recoverySum(raw []byte) []byte {
	sum := sha256.Sum256(append([]byte("mailbricks recovery key "), raw...))
	sum[checksumBits/8] &= 0xf0
	return sum[:checksumBits/8+1]
}

// parseRecovery reads a recovery key as people type it or copy it from somewhere: case, spaces, punctuation and dashes of any
// kind do not matter, nor whether it is O or 0, I, L or 1.
func parseRecovery(text string) ([]byte, error) {
	all := make([]byte, recoveryBits/8+checksumBits/8+1)
	n := 0
	for _, r := range strings.ToUpper(text) {
		switch {
		case unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.Is(unicode.Cf, r): // also zero-width spaces
			continue
		case r == 'O':
			r = '0'
		case r == 'I' || r == 'L':
			r = '1'
		}
		five := strings.IndexRune(recoveryAlphabet, r)
		if five < 0 || n == recoveryChars {
			return nil, fmt.Errorf("%w: it is no recovery key, which has %d letters and digits", ErrSecret, recoveryChars)
		}
		for bit := range 5 {
			at := 5*n + bit
			all[at/8] |= byte(five) >> (4 - bit) & 1 << (7 - at%8)
		}
		n++
	}
	raw, sum := all[:recoveryBits/8], all[recoveryBits/8:]
	if n != recoveryChars || string(sum) != string(recoverySum(raw)) {
		return nil, fmt.Errorf("%w: the recovery key has a typing error", ErrSecret)
	}
	return raw, nil
}
