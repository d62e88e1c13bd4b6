package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sequences are all strings of n octets out of those that line ends, ends of messages and attempts at them are made of.
func sequences(n int) []string {
	all := []string{""}
	for range n {
		var longer []string
		for _, s := range all {
			for _, octet := range "\r\n.\x00X" {
				longer = append(longer, s+string(octet))
			}
		}
		all = longer
	}
	return all
}

// Whatever a message holds, a server that takes other line ends than CRLF for line ends finds no second message in it: every CR
// stands before an LF and every LF behind a CR, and the one line that is a dot is the last.
func TestNothingIsSmuggledOut(t *testing.T) {
	const hidden = "MAIL FROM:<smuggled@example.com>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, zone)
				p := w.peer("192.0.2.25:25", &peer{ext: []string{"PIPELINING", "8BITMIME"}})
				mx := w.mx()
				for i, sequence := range sequences(n) {
					text := "A: 1\r\n\r\n" + []string{"body", "body\r\n"}[i%2] + sequence + hidden
					out := mx.Deliver(t.Context(), envelope("", "bob@example.net"), message(text))
					require.NoError(t, out[0].Err)
					mails := p.mails()
					require.Len(t, mails, i+1)
					data := mails[i].data
					bare := strings.ContainsAny(strings.ReplaceAll(data, "\r\n", ""), "\r\n")
					require.False(t, bare, "%q", data)
					require.Equal(t, len(data)-len(".\r\n"), strings.Index(data, "\r\n.\r\n")+2, "%q", data)
				}
				for _, command := range p.commands() {
					require.Regexp(t, `^(EHLO out\.example\.com|MAIL FROM:<>.*|RCPT TO:<bob@example\.net>|DATA|RSET|QUIT)$`, command)
				}
			})
		})
	}
}
