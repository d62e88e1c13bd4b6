package wire

import "encoding/binary"

// Eight octets at once: a word has the high bit of an octet set where something holds of it.
const (
	ones = 0x0101010101010101
	low7 = 0x7f7f7f7f7f7f7f7f
	high = 0x8080808080808080
)

// isNot marks the octets that differ from zero.
func isNot(w uint64) uint64 { return (w&low7 + low7) | w }

// gatherBits puts the high bits of the octets side by side.
func gatherBits(w uint64) uint64 { return (w & high >> 7) * 0x0102040810204080 >> 56 }

// markBareGeneric is markBare in plain Go.
func markBareGeneric(marks []uint64, p []byte) {
	for i := range marks {
		block := p[64*i : 64*i+65]
		var word uint64
		for k := 0; k < 64; k += 8 {
			before, octets := binary.LittleEndian.Uint64(block[k:]), binary.LittleEndian.Uint64(block[k+1:])
			bare := isNot(before^'\r'*ones) &^ isNot(octets^'\n'*ones)
			word |= gatherBits(bare) << k
		}
		marks[i] = word
	}
}

// markRelaxedGeneric is markRelaxed in plain Go.
func markRelaxedGeneric(marks []uint64, p []byte) {
	for i := range marks {
		block := p[64*i : 64*i+65]
		var word uint64
		for k := 0; k < 64; k += 8 {
			before, octets := binary.LittleEndian.Uint64(block[k:]), binary.LittleEndian.Uint64(block[k+1:])
			bare := isNot(before^'\r'*ones) &^ isNot(octets^'\n'*ones)
			tab := ^isNot(octets ^ '\t'*ones)
			low := ^(octets&low7 + (low7 - ' '*ones) | octets) // up to a space
			word |= gatherBits(bare|tab|low&^isNot(before^' '*ones)) << k
		}
		marks[i] = word
	}
}
