package sign

import (
	"net/mail"
	"strings"

	"github.com/mailbricks/mailbricks"
)

// authorDomain is the domain of the first address in the topmost From field; empty when none can be found. It need not
// be strict: a wrong guess finds no key, or signs with a domain that is not that of From, which proves nothing.
func authorDomain(msg *mailbricks.Message) string {
	value := msg.Get("From")
	if list, err := mail.ParseAddressList(value); err == nil && len(list) > 0 {
		_, domain := mailbricks.SplitAddress(list[0].Address)
		return domain
	}
	if open := strings.LastIndexByte(value, '<'); open >= 0 {
		value, _, _ = strings.Cut(value[open+1:], ">")
	}
	_, domain := mailbricks.SplitAddress(strings.TrimSpace(value))
	return domain
}
