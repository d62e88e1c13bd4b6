package wire

// mark looks through the octets of p behind the first, at most blockSize of them, and sets a bit in marks, whose words it
// returns as far as they are used, for each that is
//
//   - a LF without a CR in front of it;
//   - when relaxed, a TAB, or any octet up to a space with a space in front of it: blanks that a line ends with, or that
//     are to become one space. (Of other control characters, which do no harm here, it marks too many.)
func mark(marks *[blockSize / 64]uint64, p []byte, relaxed bool) []uint64 {
	n := len(p) - 1
	full := n / 64
	markWords(marks[:full], p, relaxed)
	if n%64 == 0 {
		return marks[:full]
	}
	var rest [65]byte // padded with zeros, which are not marked but behind a space
	copy(rest[:], p[64*full:])
	markWords(marks[full:full+1], rest[:], relaxed)
	marks[full] &= 1<<(n%64) - 1
	return marks[:full+1]
}

func markWords(marks []uint64, p []byte, relaxed bool) {
	if relaxed {
		markRelaxed(marks, p)
	} else {
		markBare(marks, p)
	}
}
