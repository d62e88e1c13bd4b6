package imapd

import (
	"iter"
	"strings"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/mimetext"
)

// fieldTexts are the texts of a header field that a search looks into, decoded (RFC 2047): the value with each fold as one
// space, as ENVELOPE shows it, the value with its white space as it is, and in address fields each address as ENVELOPE
// shows it, without what comments and quotes the field has (RFC 3501 §6.4.4).
func fieldTexts(f mimeindex.Field) iter.Seq[string] {
	return func(yield func(string) bool) {
		text, value := f.Text(), f.Value()
		if !yield(mimetext.DecodeHeader(text)) || value != text && !yield(mimetext.DecodeHeader(value)) {
			return
		}
		if !hasAddresses(f.Name) {
			return
		}
		for a := range (mimeindex.AddressList{value}).All() {
			if !yield(addressText(a)) {
				return
			}
		}
	}
}

// hasAddresses says whether a field holds addresses (RFC 5322 §3.6).
func hasAddresses(name string) bool {
	switch name = strings.ToLower(name); strings.TrimPrefix(name, "resent-") {
	case "from", "sender", "reply-to", "to", "cc", "bcc":
		return true
	}
	return false
}

// addressText is an address, or the name of a group, in the form of RFC 5322 §3.4 that needs no quotes.
func addressText(a mimeindex.Address) string {
	switch a.Kind {
	case mimeindex.GroupStart:
		return mimetext.DecodeHeader(a.Mailbox) + ":"
	case mimeindex.GroupEnd:
		return ";"
	}
	text := a.Mailbox
	if a.Host != "" {
		text += "@" + a.Host
	}
	if a.Name == "" {
		return text
	}
	return mimetext.DecodeHeader(a.Name) + " <" + text + ">"
}
