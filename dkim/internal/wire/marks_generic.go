package wire

import "encoding/binary"

// Eight octets at once: a word has the high bit of an octet set where something holds of it.
const (
	ones = 0x0101010101010101
	low7 = 0x7f7f7f7f7f7f7f7f
	high = 0x8080808080808080
)

// isNot marks the octets that are not zero.
func isNot(w uint64) uint64 { return (w&low7 + low7) | w }

// isBare marks LF without CR in front of it. The other bits are anything.
func isBare(before, octets uint64) uint64 {
	return isNot(before^'\r'*ones) &^ isNot(octets^'\n'*ones)
}

// isRelaxed marks what isBare does, TAB, and octets up to a space with a space in front of them.
func isRelaxed(before, octets uint64) uint64 {
	tab := ^isNot(octets ^ '\t'*ones)
	low := ^((octets&low7 + (low7 - ' '*ones)) | octets)
	return isBare(before, octets) | tab | low&^isNot(before^' '*ones)
}

// gatherBits puts the high bits of the octets side by side.
func gatherBits(w uint64) uint64 { return (w & high >> 7) * 0x0102040810204080 >> 56 }

// markBareGeneric is markBare in plain Go.
func markBareGeneric(marks []uint64, p []byte) {
	for i := range marks {
		block := (*[65]byte)(p[64*i:])
		var any uint64
		for k := 0; k < 64; k += 8 {
			any |= isBare(binary.LittleEndian.Uint64(block[k:]), binary.LittleEndian.Uint64(block[k+1:]))
		}
		if marks[i] = 0; any&high != 0 {
			marks[i] = markBlock(block, isBare)
		}
	}
}

// markRelaxedGeneric is markRelaxed in plain Go.
func markRelaxedGeneric(marks []uint64, p []byte) {
	for i := range marks {
		block := (*[65]byte)(p[64*i:])
		var any uint64
		for k := 0; k < 64; k += 8 {
			any |= isRelaxed(binary.LittleEndian.Uint64(block[k:]), binary.LittleEndian.Uint64(block[k+1:]))
		}
		if marks[i] = 0; any&high != 0 {
			marks[i] = markBlock(block, isRelaxed)
		}
	}
}

func markBlock(block *[65]byte, is func(before, octets uint64) uint64) uint64 {
	var word uint64
	for k := 0; k < 64; k += 8 {
		word |= gatherBits(is(binary.LittleEndian.Uint64(block[k:]), binary.LittleEndian.Uint64(block[k+1:]))) << k
	}
	return word
}
