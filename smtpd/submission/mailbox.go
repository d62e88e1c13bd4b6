package submission

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/mimetext"
	"github.com/mailbricks/mailbricks/smtpd"
)

const (
	// maxMailboxes is how many mailboxes From or Sender may have.
	maxMailboxes = 50
	// maxName is the longest display name in octets that is written anew; the rest is cut off.
	maxName = 400
)

var errManyMailboxes = fmt.Errorf("more than %d addresses", maxMailboxes)

// mailbox is an entry of From or Sender: a display name, which may hold encoded words, and a well-formed address.
type mailbox struct{ name, address string }

// parseMailboxes finds the mailboxes in a field's value, however it is written. One without an address gets otherwise.
func parseMailboxes(value, otherwise string) ([]mailbox, error) {
	var list []mailbox
	group := "" // the name of a group that has no members so far
	for a := range (mimeindex.AddressList{value}).All() {
		m := mailbox{name: a.Name, address: otherwise}
		switch {
		case a.Kind == mimeindex.GroupStart:
			group = a.Mailbox
			continue
		case a.Kind == mimeindex.GroupEnd && group == "":
			continue
		case a.Kind == mimeindex.GroupEnd:
			m.name = group
		case a.Host != "":
			address, err := join(a.Mailbox, a.Host)
			if err != nil {
				return nil, err
			}
			m.address = address
		case m.name == "":
			m.name = a.Mailbox
		}
		group = ""
		if list = append(list, m); len(list) > maxMailboxes {
			return nil, errManyMailboxes
		}
	}
	return list, nil
}

// join makes a well-formed address of a local part that has lost its quotes and a domain.
func join(local, domain string) (string, error) {
	address, err := smtpd.ParseAddress(local + "@" + domain)
	if err != nil || !strings.HasSuffix(address, "@"+domain) { // an "@" in the local part must not move the domain
		quoted := fieldtext.Quote(local)
		address, err = smtpd.ParseAddress(quoted + "@" + domain)
	}
	if err != nil {
		return "", errors.New("an address is malformed")
	}
	return address, nil
}

// sameToEverybody says whether a strict reader finds the same mailboxes in the value.
func sameToEverybody(value string, list []mailbox) bool {
	strict, err := strictParser().ParseList(value)
	if err != nil || len(strict) != len(list) {
		return false
	}
	for i, a := range strict {
		local, domain := cutLast(a.Address)
		if address, err := join(local, domain); err != nil || address != list[i].address {
			return false
		}
	}
	return true
}

// strictParser reads addresses by RFC 5322 §3.4 and takes encoded words in any character set.
func strictParser() *mail.AddressParser {
	return &mail.AddressParser{WordDecoder: &mime.WordDecoder{
		CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil },
	}}
}

func cutLast(address string) (local, domain string) {
	at := strings.LastIndexByte(address, '@')
	return address[:max(at, 0)], address[at+1:]
}

// format writes mailboxes as strictly as RFC 5322 §3.4 has it, one a line.
func format(list []mailbox, smtputf8 bool) string {
	var b strings.Builder
	for i, m := range list {
		if i > 0 {
			b.WriteString(",\r\n ")
		}
		if name := phrase(m.name, smtputf8); name != "" {
			b.WriteString(name + " ")
		}
		b.WriteString("<" + m.address + ">")
	}
	return b.String()
}

// phrase writes a display name (RFC 5322 §3.2.5): as it is if it is made of atoms, which encoded words are too; otherwise
// quoted, or as encoded words if it is not ASCII and must be (RFC 2047 §5).
func phrase(name string, smtputf8 bool) string {
	if isAtoms(name) && len(name) <= maxName && !isBrokenWord(name) {
		return name
	}
	name = strings.ToValidUTF8(mimetext.DecodeHeader(name), "")
	name = strings.Join(strings.Fields(strings.Map(visible, name)), " ")
	for len(name) > maxName || !utf8.ValidString(name) {
		name = strings.ToValidUTF8(name[:min(len(name), maxName)], "")
	}
	if name == "" {
		return ""
	}
	if !smtputf8 && strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		// Not Q: Go's has octets in it that a phrase must not (RFC 2047 §5).
		return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", name), "?= =?", "?=\r\n =?")
	}
	return fieldtext.Quote(name)
}

// isBrokenWord says whether a name of atoms has something that looks like an encoded word and is none.
func isBrokenWord(name string) bool {
	if !strings.Contains(name, "=?") {
		return false
	}
	_, err := strictParser().Parse(name + " <a@b>")
	return err != nil
}

// visible makes a space of what controls a terminal or a parser.
func visible(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

// isAtoms says whether s is one or more atoms with single blanks between them.
func isAtoms(s string) bool {
	for atom := range strings.SplitSeq(s, " ") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			b := atom[i]
			if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(b)) {
				return false
			}
		}
	}
	return true
}
