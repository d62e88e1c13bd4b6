package archive

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/mailbox"
)

func utf7() *base64.Encoding {
	return base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)
}

// folderName is the folder of a mailbox in a Maildir++ tree: ".A.B" for "A/B", each level in modified UTF-7 (RFC 3501
// §5.1.3), with which also a dot is written; empty for INBOX.
func folderName(name string) string {
	if name == mailbox.Inbox {
		return ""
	}
	var b strings.Builder
	for level := range strings.SplitSeq(name, mailbox.Delimiter) {
		b.WriteByte('.')
		encodeLevel(&b, level)
	}
	return b.String()
}

func encodeLevel(b *strings.Builder, level string) {
	plain := func(r rune) bool { return r >= ' ' && r <= '~' && r != '.' && r != '/' }
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
		if end == 0 {
			continue
		}
		var raw []byte
		for _, u := range utf16.Encode([]rune(level[:end])) {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteString("&" + utf7().EncodeToString(raw) + "-")
		level = level[end:]
	}
}

// mailboxName is the reverse; what is no modified UTF-7 stands for itself, and ok is false for what is no mailbox's folder.
func mailboxName(folder string) (name string, ok bool) {
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
	return name, err == nil && name != mailbox.Inbox
}

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
