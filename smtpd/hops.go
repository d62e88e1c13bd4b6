package smtpd

import "bytes"

// hops counts the Received fields of a header (RFC 5321 §6.3).
func hops(header []byte) int {
	n := 0
	for len(header) > 0 {
		if isReceived(header) {
			n++
		}
		nl := bytes.IndexByte(header, '\n')
		if nl < 0 {
			break
		}
		header = header[nl+1:]
	}
	return n
}

// isReceived says whether a line begins a Received field. Blanks in front of the colon are an obsolete form (RFC 5322 §4.5).
func isReceived(line []byte) bool {
	const name = "received"
	if len(line) <= len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return false
	}
	return bytes.HasPrefix(bytes.TrimLeft(line[len(name):], " \t"), []byte(":"))
}
