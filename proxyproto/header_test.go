package proxyproto

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	pires "github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"
)

// v2 builds a header of version 2 with a length of its own choosing.
func v2(command, family byte, length int, rest ...string) string {
	return signatureV2 + string([]byte{command, family, byte(length >> 8), byte(length)}) + strings.Join(rest, "")
}

// v2of builds one with the right length.
func v2of(command, family byte, rest ...string) string {
	return v2(command, family, len(strings.Join(rest, "")), rest...)
}

// field is a field of variable length.
func field(kind byte, value string) string {
	return string([]byte{kind, byte(len(value) >> 8), byte(len(value))}) + value
}

const (
	v4Addresses = "\xcb\x00\x71\x09" + "\xc0\x00\x02\x01" + "\xc0\x00" + "\x00\x19" // 203.0.113.9:49152 to 192.0.2.1:25
	v6Addresses = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\xc0\x00" + "\x00\x19"
)

// unixAddresses are the names of two sockets.
func unixAddresses(source, destination string) string {
	pad := func(s string) string { return s + strings.Repeat("\x00", 108-len(s)) }
	return pad(source) + pad(destination)
}

// withSum puts a checksum into a header that ends with an empty one.
func withSum(header string) string {
	raw := []byte(header)
	binary.BigEndian.PutUint32(raw[len(raw)-4:], crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli)))
	return string(raw)
}

// headers are valid ones and what they say: both addresses, or "" for none.
var headers = map[string]struct{ raw, remote, local string }{
	// The examples of the specification, §2.1.
	"v1 TCP4":         {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535"},
	"v1 TCP6":         {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	"v1 UNKNOWN":      {"PROXY UNKNOWN\r\n", "", ""},
	"v1 UNKNOWN long": {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "", ""},
	"v1 usual":        {"PROXY TCP4 203.0.113.9 192.0.2.1 49152 25\r\n", "203.0.113.9:49152", "192.0.2.1:25"},

	"v2 TCP4":                 {v2of(0x21, 0x11, v4Addresses), "203.0.113.9:49152", "192.0.2.1:25"},
	"v2 TCP6":                 {v2of(0x21, 0x21, v6Addresses), "[2001:db8::9]:49152", "[2001:db8::1]:25"},
	"v2 with fields":          {v2of(0x21, 0x11, v4Addresses, field(0x01, "h2"), field(0x20, "\x01\x00\x00\x00\x00")), "203.0.113.9:49152", "192.0.2.1:25"},
	"v2 with padding":         {v2of(0x21, 0x11, v4Addresses, field(0x04, "\x00\x00\x00"), field(0xe0, "")), "203.0.113.9:49152", "192.0.2.1:25"},
	"v2 of the greatest size": {v2of(0x21, 0x11, v4Addresses, field(0xe0, strings.Repeat("x", 4096-12-3))), "203.0.113.9:49152", "192.0.2.1:25"},
	"v2 with a checksum":      {withSum(v2of(0x21, 0x11, v4Addresses, field(0x04, "\x00\x00\x00"), field(0x03, "\x00\x00\x00\x00"))), "203.0.113.9:49152", "192.0.2.1:25"},
	"v2 LOCAL":                {v2of(0x20, 0x00), "", ""},
	"v2 LOCAL with addresses": {v2of(0x20, 0x11, v4Addresses), "", ""},
	"v2 LOCAL without those":  {v2of(0x20, 0x11), "", ""},
	"v2 LOCAL with rubbish":   {v2of(0x20, 0x11, "abc"), "", ""},
	"v2 Unix":                 {v2of(0x21, 0x31, unixAddresses("/run/client", "/run/server")), "/run/client", "/run/server"},
	"v2 Unix without a name":  {v2of(0x21, 0x31, unixAddresses("", "/run/server"), field(0xe0, "x")), "", "/run/server"},
	"v2 Unix that looks like an address": {
		v2of(0x21, 0x31, unixAddresses("127.0.0.1:25", "/run/\nserver")), "", ""},
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for name, c := range headers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rest = "EHLO client.example\r\n"
			for _, r := range []io.Reader{ // however it arrives
				strings.NewReader(c.raw + rest), iotest.OneByteReader(strings.NewReader(c.raw + rest)), iotest.HalfReader(strings.NewReader(c.raw + rest)),
				iotest.DataErrReader(strings.NewReader(c.raw + rest)),
			} {
				header, read, err := readHeader(r)
				require.NoError(t, err)
				require.Equal(t, c.raw, string(header))
				unread, err := io.ReadAll(r)
				require.NoError(t, err)
				require.Equal(t, rest, string(read)+string(unread))
				local, remote, err := parseHeader(header)
				require.NoError(t, err)
				if remote == nil {
					require.Nil(t, local)
					require.Empty(t, c.remote+c.local)
					return
				}
				require.Equal(t, c.remote, remote.String())
				require.Equal(t, c.local, local.String())
			}
		})
	}
}

// badHeaders are not to be believed.
var badHeaders = map[string]string{
	"nothing":                  "",
	"SMTP":                     "EHLO client.example\r\n",
	"TLS":                      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	"lower case":               "proxy TCP4 203.0.113.9 192.0.2.1 49152 25\r\n",
	"v1 no protocol":           "PROXY \r\n",
	"v1 no addresses":          "PROXY TCP4\r\n",
	"v1 too few":               "PROXY TCP4 203.0.113.9 192.0.2.1 49152\r\n",
	"v1 too many":              "PROXY TCP4 203.0.113.9 192.0.2.1 49152 25 26\r\n",
	"v1 two blanks":            "PROXY  TCP4 203.0.113.9 192.0.2.1 49152 25\r\n",
	"v1 tab":                   "PROXY\tTCP4 203.0.113.9 192.0.2.1 49152 25\r\n",
	"v1 LF":                    "PROXY TCP4 203.0.113.9 192.0.2.1 49152 25\n",
	"v1 CR":                    "PROXY TCP4 203.0.113.9 192.0.2.1 49152 25\r",
	"v1 no port":               "PROXY TCP4 203.0.113.9 192.0.2.1 49152 \r\n",
	"v1 port too large":        "PROXY TCP4 203.0.113.9 192.0.2.1 65536 25\r\n",
	"v1 signed port":           "PROXY TCP4 203.0.113.9 192.0.2.1 +1 25\r\n",
	"v1 port with a zero":      "PROXY TCP4 203.0.113.9 192.0.2.1 025 25\r\n",
	"v1 wrong family":          "PROXY TCP4 2001:db8::9 2001:db8::1 49152 25\r\n",
	"v1 IPv4 as TCP6":          "PROXY TCP6 203.0.113.9 192.0.2.1 49152 25\r\n",
	"v1 zone":                  "PROXY TCP6 fe80::9%eth0 fe80::1 49152 25\r\n",
	"v1 octal":                 "PROXY TCP4 0313.0.113.9 192.0.2.1 49152 25\r\n",
	"v1 name":                  "PROXY TCP4 client.example 192.0.2.1 49152 25\r\n",
	"v1 unheard of":            "PROXY UDP4 203.0.113.9 192.0.2.1 49152 25\r\n",
	"v1 NUL":                   "PROXY TCP4 203.0.113.9\x00 192.0.2.1 49152 25\r\n",
	"v1 too long":              "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", // 108 octets
	"v1 endless":               "PROXY UNKNOWN " + strings.Repeat("x", 1<<20),
	"v2 signature cut off":     signatureV2[:11],
	"v2 signature wrong":       "\r\n\r\n\x00\r\nQUIT\r",
	"v2 no length":             signatureV2 + "\x21\x11",
	"v2 cut off":               v2(0x21, 0x11, 12, v4Addresses[:11]),
	"v2 version 1":             v2of(0x11, 0x11, v4Addresses),
	"v2 version 3":             v2of(0x31, 0x11, v4Addresses),
	"v2 command":               v2of(0x22, 0x11, v4Addresses),
	"v2 too short for IPv4":    v2of(0x21, 0x11, v4Addresses[:11]),
	"v2 too short for IPv6":    v2of(0x21, 0x21, v4Addresses),
	"v2 too short for Unix":    v2of(0x21, 0x31, v6Addresses),
	"v2 unspecified":           v2of(0x21, 0x00),
	"v2 family":                v2of(0x21, 0x41, v4Addresses),
	"v2 transport":             v2of(0x21, 0x13, v4Addresses),
	"v2 half unspecified":      v2of(0x21, 0x10, v4Addresses),
	"v2 UDP":                   v2of(0x21, 0x12, v4Addresses),
	"v2 Unix datagram":         v2of(0x21, 0x32, unixAddresses("/a", "/b")),
	"v2 too long":              v2(0x21, 0x11, 4097, v4Addresses, strings.Repeat("\x04\x00\x00", 2000)),
	"v2 longest":               v2(0x21, 0x11, 0xffff, v4Addresses, strings.Repeat("\x00", 1<<16)),
	"v2 LOCAL too long":        v2(0x20, 0x00, 4097, strings.Repeat("\x00", 5000)),
	"v2 LOCAL unheard of":      v2of(0x20, 0xff),
	"v2 field cut off":         v2of(0x21, 0x11, v4Addresses, "\x01\x00"),
	"v2 field longer than all": v2of(0x21, 0x11, v4Addresses, "\x01\x00\x09h2"),
	"v2 wrong checksum":        v2of(0x21, 0x11, v4Addresses, field(0x03, "\x00\x00\x00\x00")),
	"v2 short checksum":        v2of(0x21, 0x11, v4Addresses, field(0x03, "\x00\x00")),
}

func TestBadHeaders(t *testing.T) {
	t.Parallel()
	for name, raw := range badHeaders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, _, err := readHeader(strings.NewReader(raw))
			if err == nil {
				_, _, err = parseHeader(header)
			}
			require.Error(t, err)
		})
	}
}

func TestNoMoreIsReadThanAHeaderMayHave(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{"v1": "PROXY ", "v2": v2(0x21, 0x11, 0xffff), "neither": "EHLO "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &counting{r: io.MultiReader(strings.NewReader(begin), zeros{})}
			_, _, err := readHeader(r)
			require.Error(t, err)
			require.LessOrEqual(t, r.n, probe)
		})
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// FuzzHeader compares with the library's own reading of a stream, in the sense of which ours must never accept more, and checks
// that no octet is lost.
func FuzzHeader(f *testing.F) {
	for _, c := range headers {
		f.Add([]byte(c.raw + "EHLO client.example\r\n"))
	}
	for _, raw := range badHeaders {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		header, rest, err := readHeader(iotest.OneByteReader(r))
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(header), MaxHeader)
		unread, _ := io.ReadAll(r)
		require.Equal(t, string(stream), string(header)+string(rest)+string(unread))
		local, remote, err := parseHeader(header)
		if err != nil {
			return
		}
		require.Equal(t, local == nil, remote == nil)
		if remote == nil {
			return
		}
		switch at := remote.(type) {
		case *net.TCPAddr:
			h := &pires.Header{Version: 2, Command: pires.PROXY, TransportProtocol: pires.TCPv6, SourceAddr: remote, DestinationAddr: local}
			again, err := h.Format()
			require.NoError(t, err)
			_, second, err := parseHeader(again)
			require.NoError(t, err)
			require.Equal(t, at.String(), second.String())
		case *net.UnixAddr:
			require.True(t, at.Name == "" || at.Name[0] == '/')
		default:
			t.Fatalf("%T", remote)
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	for _, name := range []string{"v1 usual", "v2 TCP4", "v2 with a checksum"} {
		raw := headers[name].raw
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				header, _, err := readHeader(strings.NewReader(raw))
				if err == nil {
					_, _, err = parseHeader(header)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
