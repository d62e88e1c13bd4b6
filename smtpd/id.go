package smtpd

import "math/rand/v2"

// newID is a name of 80 random bits. It is no secret.
func newID() string {
	const digits, length = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16 // of 5 bits, as RFC 4648 §6 has them
	var id [length]byte
	for i, bits := 0, uint64(0); i < length; i++ {
		if i%(length/2) == 0 {
			bits = rand.Uint64()
		}
		id[i] = digits[bits%32]
		bits /= 32
	}
	return string(id[:])
}
