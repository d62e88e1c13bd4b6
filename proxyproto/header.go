package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"

	pires "github.com/pires/go-proxyproto"
)

// Sizes of headers in octets (PROXY protocol, version 2.3 of the specification).
const (
	// MaxHeader is the longest header that is read: 16 octets and, in version 2, what stands behind them. The specification
	// lets that be 65,535 octets; the longest in use, those with a client certificate, have two or three thousand.
	MaxHeader = 16 + 4096

	maxV1    = 107 // §2.1, with its CRLF
	prefixV2 = 16  // §2.2: signature, version and command, family and protocol, length
	probe    = 256 // for the first read: a usual header, and what the client has sent by then
)

// What can be wrong with a header.
var (
	errSignature = errors.New("connection does not begin with a header")
	errTooLong   = errors.New("header is too long")
	errField     = errors.New("header has a field that is cut off")
	errChecksum  = errors.New("header has a wrong checksum")
	errDatagram  = errors.New("header is for datagrams")
)

// signatures of version 1 and 2.
const (
	signatureV1 = "PROXY "
	signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// readHeader reads a header and gives it, and what was read behind it. Nothing is read once it is clear that there is none.
func readHeader(r io.Reader) (header, rest []byte, err error) {
	buf := make([]byte, 0, probe)
	for {
		size, err := headerSize(buf)
		if err != nil {
			return nil, nil, err
		}
		if size > 0 && len(buf) >= size {
			return buf[:size:size], buf[size:], nil
		}
		if size > cap(buf) {
			buf = append(make([]byte, 0, size), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, err
		}
	}
}

// headerSize is how long the header is that begins with buf; 0: that is not known yet.
func headerSize(buf []byte) (int, error) {
	switch {
	case isPrefix(buf, signatureV1):
		if end := bytes.IndexByte(buf[:min(len(buf), maxV1)], '\n'); end >= 0 {
			return end + 1, nil
		}
		if len(buf) >= maxV1 {
			return 0, errTooLong
		}
		return 0, nil
	case isPrefix(buf, signatureV2):
		if len(buf) < prefixV2 {
			return 0, nil
		}
		size := prefixV2 + int(binary.BigEndian.Uint16(buf[prefixV2-2:]))
		if size > MaxHeader {
			return 0, errTooLong
		}
		return size, nil
	}
	return 0, errSignature
}

// isPrefix says whether buf begins with signature, as far as it goes.
func isPrefix(buf []byte, signature string) bool {
	n := min(len(buf), len(signature))
	return string(buf[:n]) == signature[:n]
}

// parseHeader gives the addresses of a complete header; both are nil if it names none.
func parseHeader(raw []byte) (local, remote net.Addr, err error) {
	r := bufio.NewReaderSize(bytes.NewReader(raw), len(raw)) // in one piece, which version 1 needs
	h, err := pires.Read(r)
	switch {
	case err != nil:
		return nil, nil, err
	case r.Buffered() > 0:
		return nil, nil, fmt.Errorf("%d octets of the header were not understood", r.Buffered())
	}
	if h.Command.IsLocal() { // also UNKNOWN of version 1
		return nil, nil, nil
	}
	if h.TransportProtocol.IsDatagram() {
		return nil, nil, errDatagram
	}
	if err := checkFields(raw, h); err != nil {
		return nil, nil, err
	}
	return cleaned(h.DestinationAddr), cleaned(h.SourceAddr), nil
}

// cleaned is an address of a header. The name of a Unix socket is its client's choice: it might look like an IP address.
func cleaned(a net.Addr) net.Addr {
	unix, ok := a.(*net.UnixAddr)
	if !ok {
		return a
	}
	if strings.HasPrefix(unix.Name, "/") && !strings.ContainsFunc(unix.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return unix
	}
	return &net.UnixAddr{Net: unix.Net}
}

// checkFields checks that the fields of variable length behind the addresses of version 2 are whole, and the CRC32c that may be
// among them (§2.2.3).
func checkFields(raw []byte, h *pires.Header) error {
	if h.Version != 2 {
		return nil
	}
	fields := raw[prefixV2+addressesSize(h.TransportProtocol):]
	for len(fields) > 0 {
		if len(fields) < 3 {
			return errField
		}
		kind, size := pires.PP2Type(fields[0]), int(binary.BigEndian.Uint16(fields[1:]))
		if fields = fields[3:]; size > len(fields) {
			return errField
		}
		if kind == pires.PP2_TYPE_CRC32C && (size != crc32.Size || !sumIsRight(raw, fields)) {
			return errChecksum
		}
		fields = fields[size:]
	}
	return nil
}

// sumIsRight checks the checksum of raw, with which the rest of it begins.
func sumIsRight(raw, rest []byte) bool {
	zeroed := bytes.Clone(raw)
	clear(zeroed[len(raw)-len(rest):][:crc32.Size])
	return crc32.Checksum(zeroed, crc32.MakeTable(crc32.Castagnoli)) == binary.BigEndian.Uint32(rest)
}

// addressesSize is how long the addresses of version 2 are.
func addressesSize(p pires.AddressFamilyAndProtocol) int {
	switch {
	case p.IsIPv4():
		return 2 * (4 + 2)
	case p.IsIPv6():
		return 2 * (16 + 2)
	}
	return 2 * 108 // Unix
}
