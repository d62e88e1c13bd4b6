package maildir

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/mailbox"
)

// maxFileName is the longest name of a folder on disk, in octets.
const maxFileName = 255

// folderName gives the folder of a mailbox within the account's: ".A.B" for "A/B" (Maildir++), the account's own for
// INBOX. What stands between the dots is in modified UTF-7 (RFC 3501 §5.1.3), with which also a dot can be written that
// does not separate.
func folderName(name string) (string, error) {
	name, err := mailbox.CleanName(name)
	if err != nil {
		return "", err
	}
	if name == mailbox.Inbox {
		return "", nil
	}
	var b strings.Builder
	for level := range strings.SplitSeq(name, mailbox.Delimiter) {
		b.WriteByte('.')
		encodeLevel(&b, level)
	}
	if b.Len() > maxFileName {
		return "", fmt.Errorf("%w: longer than %d octets on disk", mailbox.ErrName, maxFileName)
	}
	return b.String(), nil
}

// mailboxName is the reverse of folderName. It takes every folder that can be a mailbox, also one whose name is not
// encoded as we would (Dovecot 2.4 writes UTF-8), and says no to others.
func mailboxName(folder string) (string, bool) {
	if len(folder) < 2 || folder[0] != '.' || !utf8.ValidString(folder) {
		return "", false
	}
	levels := strings.Split(folder[1:], ".")
	for i, level := range levels {
		levels[i] = decodeLevel(level)
		if strings.Contains(levels[i], mailbox.Delimiter) {
			return "", false
		}
	}
	name, err := mailbox.CleanName(strings.Join(levels, mailbox.Delimiter))
	if err != nil || name == mailbox.Inbox {
		return "", false
	}
	return name, true
}

// plain says whether a character stands for itself in a level's name on disk.
func plain(r rune) bool {
	return r >= ' ' && r <= '~' && r != '.' && r != '/' && !strings.ContainsRune(notInFileNames, r)
}

func utf7() *base64.Encoding {
	return base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)
}

func encodeLevel(b *strings.Builder, level string) {
	for level != "" {
		end := strings.IndexFunc(level, func(r rune) bool { return !plain(r) })
		if end < 0 {
			end = len(level)
		}
		b.WriteString(strings.ReplaceAll(level[:end], "&", "&-"))
		level = level[end:]
		if end = strings.IndexFunc(level, plain); end < 0 {
			end = len(level)
		}
		if end > 0 {
			b.WriteByte('&')
			b.WriteString(utf7().EncodeToString(utf16BE(level[:end])))
			b.WriteByte('-')
			level = level[end:]
		}
	}
}

func utf16BE(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u>>8), byte(u))
	}
	return out
}

// decodeLevel reads modified UTF-7; what is none stands for itself.
func decodeLevel(level string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(level, "&")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		coded, after, ended := strings.Cut(rest, "-")
		text, valid := decodeRun(coded)
		if !ended || !valid {
			b.WriteByte('&')
			level = rest
			continue
		}
		b.WriteString(text)
		level = after
	}
}

func decodeRun(coded string) (string, bool) {
	if coded == "" {
		return "&", true
	}
	raw, err := utf7().DecodeString(coded)
	if err != nil || len(raw)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	runes := utf16.Decode(units)
	for _, r := range runes {
		if r == utf8.RuneError || r < ' ' || r == '/' {
			return "", false
		}
	}
	return string(runes), true
}
