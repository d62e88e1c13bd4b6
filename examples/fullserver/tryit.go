package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
)

// tryItAccount is the account that the try-it mode creates.
const tryItAccount = "me@localhost"

// tryItConfig is the configuration without a configuration: everything on this machine, on high ports.
func tryItConfig() *config {
	c := defaults()
	c.tryIt = true
	c.hostname = "localhost"
	c.dataDir = "mail-data"
	c.tls.mode = "self-signed"
	c.limits.freeSpace = 16 << 20
	for service, port := range map[string]string{
		"smtp": "2525", "submission": "2587", "submissions": "2465", "imap": "2143", "imaps": "2993", "pop3": "2110", "pop3s": "2995",
	} {
		c.listen[service] = []endpoint{{network: "tcp", address: "127.0.0.1:" + port}}
	}
	if err := c.finish(); err != nil {
		panic(err) // a bug: nothing here depends on the machine but the working directory, which is there
	}
	return c
}

// greetNewcomer creates the account on the first start and prints what one needs to send and read a first mail.
func (a *app) greetNewcomer(out io.Writer) error {
	password := ""
	if len(a.dir.Accounts()) == 0 {
		password = rand.Text()[:16]
		if err := a.dir.AddAccount(tryItAccount, password); err != nil {
			return err
		}
	}
	if !a.dir.IsAccount(tryItAccount) {
		fmt.Fprintf(out, "fullserver runs for trying out, with the accounts and mail in %s\n", a.config().dataDir)
		return nil
	}
	_, err := io.WriteString(out, a.newcomerText(password))
	return err
}

func (a *app) newcomerText(password string) string {
	c := a.config()
	var b strings.Builder
	fmt.Fprintf(&b, "fullserver runs for trying out: nothing leaves this machine unless you send it, everything is in %s\n\n", c.dataDir)
	shown, note := password, "  (shown only now)"
	if password == "" {
		shown = "PASSWORD"
		note = fmt.Sprintf("  (the one shown at the first start; a new one: fullserver email update %s)", tryItAccount)
	}
	fmt.Fprintf(&b, "  address   %s\n  password  %s%s\n  ports    ", tryItAccount, shown, note)
	for _, service := range services {
		if at := c.listen[service]; len(at) > 0 {
			fmt.Fprintf(&b, " %s %s", service, at[0].port())
		}
	}
	host := func(service string) string { return c.listen[service][0].address }
	fmt.Fprintf(&b, "  on 127.0.0.1\n\nSend a first mail, then read it:\n\n")
	fmt.Fprintf(&b, `printf 'From: %[1]s\r\nTo: %[1]s\r\nSubject: Hello\r\n\r\nIt works.\r\n' | curl -sS -k --ssl-reqd --url smtp://%[2]s -u '%[1]s:%[3]s' --mail-from %[1]s --mail-rcpt %[1]s -T -`+"\n\n",
		tryItAccount, host("submission"), shown)
	fmt.Fprintf(&b, `curl -sS -k --url 'imaps://%[2]s/INBOX;MAILINDEX=1' -u '%[1]s:%[3]s'`+"\n\n", tryItAccount, host("imaps"), shown)
	return b.String()
}
