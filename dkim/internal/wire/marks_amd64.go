package wire

// markBare sets, for each of the 64*len(marks) octets of p behind the first, a bit where it is a LF and the octet in
// front of it no CR. It is in assembly, with instructions that every amd64 has, because it must cost little beside a
// SHA-256 that the processor has instructions for.
//
//go:noescape
func markBare(marks []uint64, p []byte)

// markRelaxed is markBare that marks TAB also, and octets up to a space that a space stands in front of.
//
//go:noescape
func markRelaxed(marks []uint64, p []byte)
