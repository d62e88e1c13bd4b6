package smtpd_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

// A line is stored octet for octet up to the named maximum, wherever a read ends.
func TestLineLengths(t *testing.T) {
	for _, length := range []int{
		998, 999, 4095, 4096, 8191, 8192, 32767, 32768, smtpd.DefaultMaxLineLength - 1, smtpd.DefaultMaxLineLength,
	} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			inWorld(t, unlimited, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				// The line is behind as much as makes its CR the first or last octet of a buffer, and it is read in two
				// parts that meet around its line end.
				for _, border := range []int{4 << 10, 32 << 10} {
					for shift := -2; shift <= 2; shift++ {
						front := "X:" + strings.Repeat("f", (2*border-length%border+shift-4)%border) + "\r\n"
						line := strings.Repeat("x", length-2) + ".\x01"
						text := front + line + "\r\n.\r\n"
						end := len(front) + length
						for at := end - 1; at <= end+5; at++ {
							w.data(c, text, at, at%2 == 0)
						}
					}
				}
				text := "." + strings.Repeat(".", length) + "\r\n.\r\n" // the dot that is taken out does not count
				for at := range 3 {
					w.data(c, text, at, false)
				}
			})
		})
	}
}

func TestLineLongerThanTheMaximum(t *testing.T) {
	for name, line := range map[string]string{
		"one more":         strings.Repeat("x", smtpd.DefaultMaxLineLength+1),
		"twice the length": strings.Repeat("x", 2*smtpd.DefaultMaxLineLength),
		"a dot more":       strings.Repeat(".", smtpd.DefaultMaxLineLength+2),
		"a bare LF in it":  strings.Repeat("x", smtpd.DefaultMaxLineLength) + "\n" + "x",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, unlimited, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				for _, at := range []int{1, len(line) - 1, len(line), len(line) + 1} {
					c.Talk(toData[len(hello):])
					c.write(line[:min(at, len(line))])
					synctest.Wait()
					c.write((line + "\r\n.\r\nNOOP\r\n")[min(at, len(line)):])
					c.Talk("S: 55* 5.*\nS: 250 2.0.0 Ok\n")
				}
				require.Empty(w.t, w.messages())
			})
		})
	}
}
