//go:build interop

package interop

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is refused gets the code that the sender's software understands, and nothing of it is stored.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newHost(2, "a.test", "[limits]", `message_size = "10k"`)
	a.must("email", "add", "eve@a.test", "secret")
	w.publishHost("mail.strict.test", w.ip(9), "strict.test")
	a.start()

	for name, talk := range map[string]func(*dialogue){
		"unknown recipient": func(d *dialogue) {
			d.expect("MAIL FROM:<x@strict.test>", "250 ")
			d.expect("RCPT TO:<nobody@a.test>", `550 5\.1\.1`)
		},
		"relaying": func(d *dialogue) {
			d.expect("MAIL FROM:<ann@a.test>", "250 ")
			d.expect("RCPT TO:<x@strict.test>", `550 5\.7\.1`)
		},
		"AUTH on 25": func(d *dialogue) { d.expect("AUTH PLAIN "+plain("ann@a.test", "secret"), "503 ") },
		"too large, announced": func(d *dialogue) {
			d.expect("MAIL FROM:<> SIZE=10241", "552 ")
		},
		"too large, not announced": func(d *dialogue) {
			d.expect("MAIL FROM:<>", "250 ")
			d.expect("RCPT TO:<ann@a.test>", "250 ")
			d.expect("DATA", "354 ")
			d.say("Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 200))
			d.expect(".", "552 ")
			d.expect("NOOP", "250 ")
		},
		"forged": func(d *dialogue) {
			d.expect("MAIL FROM:<boss@strict.test>", "250 ")
			d.expect("RCPT TO:<ann@a.test>", "250 ")
			d.expect("DATA", "354 ")
			d.say("From: The Boss <boss@strict.test>\r\nSubject: forged\r\n\r\nPay this.\r\n")
			d.expect(".", `550 5\.7\.1`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := a.talk(25)
			defer d.close()
			d.expect("EHLO mail.strict.test", "250 ")
			talk(d)
		})
	}
	t.Run("AUTH before TLS", func(*testing.T) {
		d := a.talk(587)
		defer d.close()
		d.expect("EHLO laptop.home", "250 ")
		d.expect("AUTH PLAIN "+plain("ann@a.test", "secret"), `538 5\.7\.11`)
		d.startTLS(a)
		d.expect("EHLO laptop.home", "250 ")
		d.expect("MAIL FROM:<ann@a.test>", `530 5\.7\.0`)
		d.expect("AUTH PLAIN "+plain("ann@a.test", "wrong"), `535 5\.7\.8`)
		d.expect("AUTH PLAIN "+plain("nobody@a.test", "secret"), `535 5\.7\.8`)
	})
	t.Run("foreign sender", func(*testing.T) {
		d := a.talk(587)
		defer d.close()
		d.logIn(a, "ann@a.test")
		d.expect("MAIL FROM:<bob@a.test>", `553 5\.7\.1`)
		d.expect("MAIL FROM:<ann@strict.test>", `553 5\.7\.1`)
		d.expect("MAIL FROM:<ann+tag@a.test>", "250 ")
		d.expect("RCPT TO:<eve@a.test>", "250 ")
		d.expect("DATA", "354 ")
		d.say("From: bob@a.test\r\nSubject: not mine\r\n\r\nx\r\n")
		d.expect(".", `553 5\.7\.1`)
	})
	a.stop()
	for _, user := range []string{"ann", "bob", "eve"} {
		for _, folder := range []string{"", ".Junk"} {
			require.Empty(t, a.files(user, folder), "%s %s", user, folder)
		}
	}
	require.Equal(t, "The queue is empty.\n", a.must("queue", "list"))
}

// The nine classic ways to hide a second message in the first. None may end the data, so none of the commands behind it
// may be obeyed, and the message itself is refused.
func TestSmugglingIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newHost(2, "a.test")
	a.start()
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\n.\r", "\r\n.\n", "\r\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
	} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			d := a.talk(25)
			d.expect("EHLO mail.x.test", "250 ")
			d.expect("MAIL FROM:<>", "250 ")
			d.expect("RCPT TO:<ann@a.test>", "250 ")
			d.expect("DATA", "354 ")
			d.say("Subject: first\r\n\r\nbody" + end + "MAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx")
			d.expect("\r\n.", "5")
			d.expect("NOOP", "250 ")
			d.expect("QUIT", "221 ")
		})
	}
	require.Empty(t, a.files("ann", ""))
	require.Empty(t, a.files("bob", ""))
}

func TestCommandLineExitCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newHost(2, "a.test")
	for _, running := range []bool{false, true} {
		if running {
			a.start()
		}
		for command, want := range map[string]int{
			"bogus": 2, "email bogus": 2, "email add ann@a.test x": 1, "email add ann x": 1, "email update nobody@a.test x": 1,
			"email del nobody@a.test": 1, "quota set ann@a.test 26GIGOTS": 1, "quota set ann@a.test 5G": 0, "email list": 0,
			"alias add x@a.test ann@a.test": map[bool]int{false: 0, true: 1}[running], "alias list": 0, "queue list --json": 0,
			"queue show nothing": 1, "dkim a.test -selector s2 -type ed25519": 0, "dns a.test -json": 0, "version": 0,
		} {
			out, err := a.run(strings.Fields(command)...)
			code := 0
			if exit, ok := err.(*exec.ExitError); ok {
				code = exit.ExitCode()
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, want, code, "%s: %s", command, out)
			if code != 0 {
				require.Equal(t, 1, strings.Count(out, "\n"), "one line: %s", out)
			}
		}
	}
	require.Regexp(t, `(?m)^\* ann@a\.test \( 0 / 5G \) \[0%\]\n    \[ aliases -> x@a\.test \]$`, a.must("email", "list"))
	_, err := exec.Command(fullserver, "-config", a.conf, "serve").CombinedOutput()
	require.Error(t, err, "a second server on the same data")
}
