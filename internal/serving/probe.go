package serving

import (
	"errors"
	"io"
)

// ProbeStep is how far apart are the octets that Probe reads: no farther than the pieces that are encrypted each by itself.
const ProbeStep = 16 << 10

// Probe reads one of every ProbeStep of the n octets of a message from off on, and the last one. It is for what is about to be
// announced with its length: from then on nothing but the end of the connection tells a client that it does not get all, and when it
// comes again it meets the same message and gets to none behind it. A file that was cut, or is encrypted and damaged, is found out so.
// It fails with the reader's error, and with [io.ErrUnexpectedEOF] too.
func Probe(r io.ReaderAt, off, n int64) error {
	var octet [1]byte
	for at := int64(0); at < n; at = min(at+ProbeStep, max(n-1, at+1)) {
		if got, err := r.ReadAt(octet[:], off+at); got == 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
	return nil
}
