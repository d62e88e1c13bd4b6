package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxFileName is the longest name of a file or folder that is made, in octets.
const maxFileName = 200

// fileName gives a mailbox the name of one file or folder, on any system: %XX stands for what a name must not hold ("/"
// among it, and "%" itself). A name that is too long is cut, and ends with "%~" and eight digits that tell it from others.
func fileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		bad := c < ' ' || c == 0x7f || strings.IndexByte(`/\:*?"<>|%`, c) >= 0 || c == '.' && i == 0 ||
			(c == '.' || c == ' ') && i == len(name)-1 || i == 0 && isDevice(name)
		if bad {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() <= maxFileName {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	return strings.ToValidUTF8(b.String()[:maxFileName], "") + "%~" + hex.EncodeToString(sum[:4])
}

// isDevice says whether a name stands for a device on Windows, whatever follows behind a dot.
func isDevice(name string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	switch name {
	case "con", "prn", "aux", "nul":
		return true
	}
	port := strings.TrimPrefix(strings.TrimPrefix(name, "com"), "lpt")
	return len(name) == 4 && len(port) == 1 && port[0] >= '0' && port[0] <= '9'
}

// mailboxOf is the reverse of fileName, as far as there is one.
func mailboxOf(file string) string {
	var b strings.Builder
	for i := 0; i < len(file); i++ {
		if file[i] == '%' && i+2 < len(file) {
			if raw, err := hex.DecodeString(file[i+1 : i+3]); err == nil {
				b.Write(raw)
				i += 2
				continue
			}
		}
		b.WriteByte(file[i])
	}
	if !utf8.ValidString(b.String()) {
		return file
	}
	return b.String()
}
