package mimetext

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// NewReader gives the text of a part as UTF-8: the body without its transfer encoding and out of its character set. Text
// in a character set or encoding that is not known comes as it is; the only errors are those of body.
func NewReader(part *mimeindex.Part, body io.Reader) io.Reader {
	body, _ = mimeindex.NewTransferReader(body, part.Encoding)
	decoder := charsetDecoder(part.Param("charset"))
	if decoder == nil {
		return body
	}
	return transform.NewReader(body, decoder)
}

// KnownCharset says whether text in this character set can be made UTF-8; SEARCH CHARSET of an unknown one is
// refused with BADCHARSET (RFC 3501 §6.4.4).
func KnownCharset(charset string) bool {
	return isPlainCharset(charset) || charsetDecoder(charset) != nil
}

// DecodeCharset makes text UTF-8. Where it already is, or the character set is not known, it stays as it is.
func DecodeCharset(text []byte, charset string) string {
	if decoder := charsetDecoder(charset); decoder != nil {
		if decoded, _, err := transform.Bytes(decoder, text); err == nil {
			return string(decoded)
		}
	}
	return string(text)
}

// isPlainCharset says whether text needs no decoding. US-ASCII with the eighth bit set is most often UTF-8.
func isPlainCharset(charset string) bool {
	switch strings.ToLower(charset) {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968", "utf-8", "utf8":
		return true
	}
	return false
}

// charsetDecoder finds the decoder of a character set, nil if none is needed or known.
func charsetDecoder(charset string) transform.Transformer {
	charset = strings.ToLower(strings.TrimSpace(charset))
	if isPlainCharset(charset) {
		return nil
	}
	if strings.HasSuffix(charset, "utf-7") { // utf-7 and the older unicode-1-1-utf-7
		return &utf7Decoder{}
	}
	if enc := charsetEncoding(charset); enc != nil {
		return enc.NewDecoder()
	}
	return nil
}

func charsetEncoding(charset string) encoding.Encoding {
	switch charset {
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM) // RFC 2781 §4.3
	case "utf-32":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "cp932", "ms932", "windows-932":
		return japanese.ShiftJIS
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	}
	if enc, err := htmlindex.Get(charset); err == nil {
		if name, err := htmlindex.Name(enc); err == nil && name != "replacement" {
			return enc
		}
		return nil
	}
	if enc, err := ianaindex.MIME.Encoding(charset); err == nil && enc != nil {
		return enc
	}
	if rest, ok := strings.CutPrefix(charset, "cp"); ok { // cp1252, cp866
		if enc, err := ianaindex.MIME.Encoding("ibm" + rest); err == nil && enc != nil {
			return enc
		}
		if enc, err := htmlindex.Get("windows-" + rest); err == nil {
			return enc
		}
	}
	return nil
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// utf7Decoder decodes RFC 2152. What is no valid sequence stays as it is.
type utf7Decoder struct {
	shifted bool
	bits    uint32
	count   int  // bits not used yet
	fresh   bool // right behind the plus sign
	high    rune // first half of a surrogate pair
}

// Reset implements transform.Transformer.
func (u *utf7Decoder) Reset() { *u = utf7Decoder{} }

// Transform implements transform.Transformer.
func (u *utf7Decoder) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < 2*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		c := src[nSrc]
		nSrc++
		if !u.shifted {
			if c == '+' {
				*u = utf7Decoder{shifted: true, fresh: true}
				continue
			}
			dst[nDst] = c
			nDst++
			continue
		}
		v := strings.IndexByte(base64Alphabet, c)
		if v < 0 {
			nDst += u.unshift(dst[nDst:], c)
			continue
		}
		u.fresh = false
		u.bits = u.bits<<6 | uint32(v)
		if u.count += 6; u.count >= 16 {
			u.count -= 16
			nDst += u.unit(dst[nDst:], rune(u.bits>>u.count&0xffff))
		}
	}
	return nDst, nSrc, nil
}

// unshift ends a shifted sequence with the octet that is not part of it.
func (u *utf7Decoder) unshift(dst []byte, c byte) int {
	fresh := u.fresh
	u.shifted = false
	switch {
	case c != '-':
		dst[0] = c
	case fresh: // +- is a plus sign
		dst[0] = '+'
	default: // the minus sign is absorbed
		return 0
	}
	return 1
}

// unit takes a UTF-16 code unit.
func (u *utf7Decoder) unit(dst []byte, r rune) int {
	switch {
	case r >= 0xd800 && r < 0xdc00:
		u.high = r
		return 0
	case r >= 0xdc00 && r < 0xe000 && u.high != 0:
		r = (u.high-0xd800)<<10 + (r - 0xdc00) + 0x10000
	}
	u.high = 0
	return utf8.EncodeRune(dst, r)
}
