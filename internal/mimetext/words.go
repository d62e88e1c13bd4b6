package mimetext

import (
	"encoding/hex"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// DecodeHeader decodes the encoded words (RFC 2047) in an unfolded header value to UTF-8. Blanks between two encoded
// words go; characters that were cut between words of one character set are put together. What does not decode
// stays as it is.
func DecodeHeader(value string) string {
	end := strings.LastIndex(value, "?=") // behind which no word can be
	var d wordDecoder
	for rest := value; ; {
		i := strings.Index(rest, "=?")
		if i < 0 || len(value)-len(rest)+i >= end {
			d.text(rest)
			return d.out.String()
		}
		word, n := parseEncodedWord(rest[i:])
		if n == 0 {
			d.text(rest[:i+2])
			rest = rest[i+2:]
			continue
		}
		if strings.Trim(rest[:i], " \t\r\n") != "" || !d.afterWord {
			d.text(rest[:i])
		}
		d.word(word)
		rest = rest[i+n:]
	}
}

// encodedWord is one encoded word, decoded to the octets of its character set.
type encodedWord struct {
	charset string
	text    []byte
}

// parseEncodedWord reads the encoded word that s starts with and returns its length, 0 if there is none. Blanks inside
// are tolerated: some senders do not encode them.
func parseEncodedWord(s string) (encodedWord, int) {
	charset, rest, ok := strings.Cut(s[2:], "?")
	if !ok || charset == "" || len(rest) < 2 || rest[1] != '?' || strings.ContainsAny(charset, " \t\r\n=") {
		return encodedWord{}, 0
	}
	encoding := rest[0] | 0x20
	if encoding != 'q' && encoding != 'b' {
		return encodedWord{}, 0
	}
	end := strings.Index(rest[2:], "?=")
	if end < 0 {
		return encodedWord{}, 0
	}
	text := rest[2 : 2+end]
	charset, _, _ = strings.Cut(charset, "*") // RFC 2231 §5: a language may follow
	word := encodedWord{charset: charset}
	if encoding == 'b' {
		decoded, _ := mimeindex.NewTransferReader(strings.NewReader(text), "base64")
		word.text, _ = io.ReadAll(decoded) // a string's reader does not fail
	} else {
		word.text = decodeQ(text)
	}
	return word, len(s) - len(rest) + 2 + end + 2
}

// decodeQ decodes RFC 2047 §4.2.
func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(s):
			if octet, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				c = octet[0]
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}

// wordDecoder collects the words of one character set until another, or plain text, follows.
type wordDecoder struct {
	out       strings.Builder
	pending   encodedWord
	afterWord bool
}

func (d *wordDecoder) word(w encodedWord) {
	if d.afterWord && !strings.EqualFold(d.pending.charset, w.charset) {
		d.flush()
	}
	d.pending.charset = w.charset
	d.pending.text = append(d.pending.text, w.text...)
	d.afterWord = true
}

func (d *wordDecoder) text(s string) {
	d.flush()
	d.out.WriteString(s)
}

func (d *wordDecoder) flush() {
	if d.afterWord {
		d.out.WriteString(DecodeCharset(d.pending.text, d.pending.charset))
		d.pending, d.afterWord = encodedWord{}, false
	}
}
