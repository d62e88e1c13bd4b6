package smtpd

import (
	"fmt"
	"strings"
)

// extensions are the lines of the EHLO reply that offer something.
func (c *conn) extensions() []string {
	lines := []string{
		"PIPELINING", fmt.Sprintf("SIZE %d", max(c.set.maxMessageSize, 0)), "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES",
	}
	if !c.set.NoSMTPUTF8 {
		lines = append(lines, "SMTPUTF8")
	}
	if limits := c.limits(); limits != "" {
		lines = append(lines, "LIMITS"+limits)
	}
	if c.set.TLSConfig != nil && c.session.Peer.TLS == nil {
		lines = append(lines, "STARTTLS")
	}
	if names := c.mechanisms(); len(names) > 0 && c.session.Peer.Identity == nil {
		lines = append(lines, "AUTH "+strings.Join(names, " "))
	}
	return append(lines, "HELP")
}

// limits are the parameters of LIMITS (RFC 9422 §3), each with a space in front; a value has at most six digits.
func (c *conn) limits() string {
	const most = 999999
	var b strings.Builder
	for _, limit := range []struct {
		name  string
		value int
	}{{"MAILMAX", c.set.maxTransactions}, {"RCPTMAX", c.set.maxRecipients}} {
		if limit.value > 0 && limit.value <= most {
			fmt.Fprintf(&b, " %s=%d", limit.name, limit.value)
		}
	}
	return b.String()
}
