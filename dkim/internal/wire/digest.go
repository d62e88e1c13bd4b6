package wire

import (
	"bytes"
	"crypto/sha256"
)

// Form is what a signature's digest depends on beside the message.
type Form struct {
	// Names is h= in lower case.
	Names []string
	// Skip is where the signature's own field begins in the header; -1 when it is not there yet.
	Skip int
	// Field is the signature's field with the value of b= deleted.
	Field string
	// Relaxed is the canonicalization of the header.
	Relaxed bool
}

// Digest is the SHA-256 of the signed header fields and, behind them, the signature's own (RFC 6376 §3.7).
func Digest(h Header, form Form) []byte {
	sum := sha256.New()
	var line []byte
	h.Select(form.Names, form.Skip, func(raw []byte) {
		line = AppendHeader(line[:0], raw, form.Relaxed)
		sum.Write(line)
	})
	line = AppendHeader(line[:0], []byte(form.Field), form.Relaxed)
	sum.Write(bytes.TrimSuffix(line, []byte("\r\n")))
	return sum.Sum(nil)
}
