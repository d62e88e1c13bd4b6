//go:build !amd64

package wire

func markBare(marks []uint64, p []byte) { markBareGeneric(marks, p) }

func markRelaxed(marks []uint64, p []byte) { markRelaxedGeneric(marks, p) }
