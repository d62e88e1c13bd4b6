package wire

import "bytes"

// AppendHeader appends a header field in its canonical form with CRLF: as it is (RFC 6376 §3.4.1) or relaxed (§3.4.2).
func AppendHeader(dst, raw []byte, relaxed bool) []byte {
	if relaxed {
		return appendRelaxed(dst, raw)
	}
	return appendSimple(dst, raw)
}

// appendSimple changes nothing but bare LF, and the line end that a cut-off message lacks.
func appendSimple(dst, raw []byte) []byte {
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte{'\n'})
		dst = append(dst, bytes.TrimSuffix(line, []byte{'\r'})...)
		dst = append(dst, '\r', '\n')
		raw = rest
	}
	return dst
}

func appendRelaxed(dst, raw []byte) []byte {
	name, value, colon := bytes.Cut(raw, []byte{':'})
	if !colon {
		name, value = trimLineEnd(raw), nil
	}
	dst = appendLower(dst, bytes.TrimRight(name, " \t"))
	dst = append(dst, ':')
	begin, blank := len(dst), false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case isBlank(c):
			blank = true
		case c == '\n', c == '\r' && i+1 < len(value) && value[i+1] == '\n': // unfolded; the blank behind it stays
		default:
			if blank && len(dst) > begin {
				dst = append(dst, ' ')
			}
			blank = false
			dst = append(dst, c)
		}
	}
	return append(dst, '\r', '\n')
}

func trimLineEnd(p []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(p, []byte{'\n'}), []byte{'\r'})
}
