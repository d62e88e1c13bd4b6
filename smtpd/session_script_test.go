package smtpd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// escape begins an action in a script; all else is what the client sends. It is no octet of UTF-8.
const escape = 0xfe

// The actions, by the octet behind escape. Those that take an argument have it in the octet behind that.
const (
	doCommand = 'c' // sends one of scriptCommands
	doPiece   = 'p' // sends one of scriptPieces
	doFill    = 'f' // sends one of scriptFills
	doSettle  = 'w' // waits until the server has answered
	doSleep   = 's' // waits for one of scriptSleeps
	doTLS     = 't' // goes over to TLS where the server is ready for it
	doOptions = 'o' // sets the options of the server, at the begin
	doEnd     = 'h' // closes the direction to the server
	doClose   = 'x' // closes the connection at once
	doReset   = 'r' // breaks the connection at once
	doDense   = 'd' // makes each octet that follows one of the actions above: see player.dense
)

// scriptCommands are commands, good and bad.
var scriptCommands = []string{
	"EHLO client.example.net\r\n", "HELO client.example.net\r\n", "EHLO\r\n", "EHLO [192.0.2.9]\r\n",
	"MAIL FROM:<a@example.net>\r\n", "MAIL FROM:<>\r\n",
	"MAIL FROM:<ann@example.com> SIZE=20 BODY=8BITMIME\r\n", "MAIL FROM:<j\u00f6rg@example.net> SMTPUTF8\r\n",
	"MAIL FROM:<bad@example.net>\r\n",
	"MAIL FROM:<\"a b\"@example.net> SIZE=9999\r\n", "RCPT TO:<b@example.com>\r\n", "RCPT TO:<postmaster>\r\n",
	"RCPT TO:<bad@example.com>\r\n",
	"RCPT TO:<later@example.com>\r\n", "RCPT TO:<drop@example.com>\r\n", "RCPT TO:<close@example.com>\r\n",
	"RCPT TO:<panic@example.com>\r\n",
	"RCPT TO:<x@example.com> NOTIFY=NEVER\r\n", "DATA\r\n", "DATA now\r\n", "Subject: x\r\n\r\nbody\r\n.\r\n", ".\r\n",
	"RSET\r\n", "NOOP\r\n", "QUIT\r\n",
	"HELP\r\n", "VRFY b\r\n", "EXPN b\r\n", "STARTTLS\r\n", "AUTH PLAIN\r\n",
	"AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n", "AUTH PLAIN AGEAYg==\r\n",
	"AUTH LOGIN\r\n", "YW5uQGV4YW1wbGUuY29t\r\n", "c2VjcmV0\r\n", "*\r\n", "AUTH LAST eA==\r\n", "\r\n", "GET / HTTP/1.1\r\n",
	"ETRN x\r\n", "XCLIENT ADDR=192.0.2.1\r\n",
	"BDAT 5 LAST\r\nbody\n", "BDAT 6\r\nbody\r\n",
	"BDAT 0 LAST\r\n", "BDAT 0\r\n", "BDAT 7\r\nSubject", "BDAT 8 last\r\n: y\r\n\r\nz", "BDAT 3\r\n", "BDAT 2001\r\n",
	"BDAT 99999999999999999999\r\n",
	"BDAT 70000000 LAST\r\n", "BDAT x\r\n", "BDAT\r\n", "LHLO x\r\n",
	"MAIL FROM:<a@example.net> BODY=BINARYMIME RET=HDRS ENVID=x\r\n", "BDAT 9 LAST\r\n\r\n\x00\n.\r\n\r\xff",
	"RCPT TO:<b@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.com RRVS=2014-04-03T23:01:00Z\r\n",
	"XCLIENT HELO=x LOGIN=ann\r\n",
	"MAIL FROM:<> MT-PRIORITY=3 BY=120;R HOLDFOR=10\r\n", "MAIL FROM:<> REQUIRETLS\r\n", "MAIL FROM:<a@b>\n", "WHAT\r\n",
	"AUTH DOWN\r\n", "AUTH PANIC\r\n", "EHLO J\u00fcrgens-PC\r\n", "EHLO a,b\xff\r\n", "BDAT 5 LAST\n", "AUTH PLAIN  x\r\n",
	"XCLIENT HELO=a,b\r\n", "RCPT TO:<@[IPv6:::1],@x:b@[001.2.3.4]>\r\n", "MAIL FROM:<a@example.net> AUTH=foo+20bar\r\n",
}

// scriptPieces are parts of messages.
var scriptPieces = []string{
	"\r\n", "\r", "\n", ".", "\x00", "\r\n.\r\n", "\r\n.\n", "\n.\r\n", "\r\n.\r", "\r\r\n.\r\n", "..\r\n", "Do: fail\r\n",
	"Do: refuse\r\n", "Do: close\r\n",
	"Do: panic\r\n", "Do: lie\r\n", "Do: mixed\r\n", "Received: x\r\n", " folded\r\n", "\t\r\n", "Subject: x\r\n\r\n",
	"\u00fc", "\xff", "MAIL FROM:<smuggled@example.net>\r\n",
}

// scriptFills are lengths around those where something may happen.
var scriptFills = []int{
	505, 506, 507, 998, 999, 1000, 1001, 1998, 2000, 2001, 2040, 2048,
	4094, 4095, 4096, 4097, 8192, 12286, 12287, 12288,
}

// scriptSleeps are times around those where something may happen.
var scriptSleeps = []time.Duration{
	time.Millisecond, 30 * time.Second, time.Minute, 3 * time.Minute, 5*time.Minute + 1, 2 * time.Hour,
}

// options are those of the server.
type options struct{ repair, requireAuth, lmtp, keeps, trust bool }

// optionsOf has one for each bit.
func optionsOf(bits byte) options {
	return options{bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0, bits&16 != 0}
}

// fuzzSeeds are scripts that make something happen.
func fuzzSeeds() []string {
	const begin = "EHLO a.example\r\n"
	const mail = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
	const bdat = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n"
	const tlsOn = begin + "STARTTLS\r\n\xfet"
	return []string{
		begin + mail + "Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n",
		begin + mail + "x\r\n.\r\n" + mail + "y\n.\n\r\n.\r\nNOOP\r\n",
		begin + mail + "x\r\n.\r", begin + mail + "..\r\n.\r\nRSET\r\n", begin + mail + "a: b\r\n\r\nc\r\n..d\r\n...\r\n.\r\n",
		"HELO x\r\nVRFY a\r\nHELP\r\n",
		begin + "AUTH PLAIN\r\nAGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\nAUTH LOGIN\r\n*\r\nNOOP\r\n",
		begin + "AUTH LAST eA==\r\n\r\n" + mail,
		begin + "MAIL FROM:<\xc3\xb6@b> SMTPUTF8 SIZE=1 BODY=8BITMIME AUTH=<>\r\nRCPT TO:<@a:b@c>\r\nQUIT\r\n",
		"GET / HTTP/1.0\r\nNOOP\r\n",
		"NOOP\nNOOP\r\n\r\n\x00\r\n", strings.Repeat("NOOP\r\n", 200), strings.Repeat("x", 13000) + "\r\nNOOP\r\n",
		begin + mail + "x\r\r\n.\r\nNOOP\r\n",
		tlsOn + begin + mail + "secret\r\n.\r\nQUIT\r\n", begin + "STARTTLS\r\nNOOP\r\n", begin + "STARTTLS\r\n\xfew\x16\x03\x01",
		tlsOn + "\xfet" + mail,
		tlsOn + begin + "AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n" + mail + "half\xfeh",
		tlsOn + begin + mail + "half\xfex",
		begin + mail + "slow\r\n\xfes\x03.\r\nNOOP\r\n", begin + mail + "a\xfewb\xfew\r\xfew\n\xfew.\xfew\r\xfew\n\xfewNOOP\r\n",
		"EHLO a\xfes\x04", begin + mail + "x\xfer",
		begin + mail + "x\xfes\x02\xfes\x02\xfes\x02\r\n.\r\n", begin + "NOOP\r\n\xfes\x05", begin + mail + "x\r\n.\r\n\xfex",
		begin + mail + "x\r\n.\r\n\xfer",
		"\xfeo\x01" + begin + mail + "x\ny\r.\r\n.\r\n", "\xfeo\x02" + begin + mail,
		"\xfeo\x03" + begin + "AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n" + mail + "\r\n.\r\n",
		begin + mail + "\xfef\x06\r\n.\r\n" + mail + "\xfef\x05\r\n.\r\n" + mail + "\xfef\x09\r\n.\r\nNOOP \xfef\x00\r\n",
		begin + mail + "\xfef\x0f\xfew\r\xfew\n.\r\n",
		begin + mail + "Do: fail\r\n.\r\n" + mail + "Do: refuse\r\n.\r\n" + mail + "Do: panic\r\n.\r\n" + mail +
			"Do: lie\r\n.\r\n" + mail + "Do: mixed\r\n.\r\n" + mail + "Do: close\r\n.\r\nNOOP\r\n",
		begin + mail + strings.Repeat("Received: x\r\n", 5) + ".\r\n",
		begin + mail + " folded\r\n.\r\n" + mail + "\r\nno header\r\n.\r\n",
		begin +
			"MAIL FROM:<>\r\nRCPT TO:<drop@example.com>\r\nDATA\r\nx\r\n.\r\n" +
			"MAIL FROM:<>\r\nRCPT TO:<bad@example.com>\r\nRCPT TO:<later@x>\r\nRCPT TO:<panic@x>\r\nDATA\r\n",
		begin + "MAIL FROM:<bad@x>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<close@x>\r\nNOOP\r\n", "\xfex", "\xfer", "\xfeh", "\xfet",
		"\xfe",
		begin + bdat + "BDAT 6\r\na: b\r\nBDAT 6 LAST\r\n\r\n.\r\nNOOP\r\n", begin + bdat + "BDAT 100 LAST\r\nhalf\xfeh",
		begin + bdat + "BDAT 100\r\nhalf\xfes\x03NOOP\r\n",
		begin + "BDAT 6 LAST\r\nNOOP\r\n" + bdat + "BDAT 6\r\na\nb: c" + "BDAT 6 LAST\r\nNOOP\r\n" + bdat +
			"BDAT 4\r\na\r\nbBDAT 2 LAST\r\n\r\nDATA\r\n",
		begin + bdat + "BDAT 3\r\na\r\nDATA\r\nRCPT TO:<x@y>\r\nMAIL FROM:<>\r\nBDAT 1\r\n\rBDAT 1\r\n\nRSET\r\nBDAT 1 LAST\r\nx",
		begin + "BDAT 5 LAST\nNOOP\r\n", begin + "\tbdat 5\r\nNOOP\r\n", begin + "BDATA\r\nNOOP\r\n",
		"\xfeo\x02EHLO J\u00fcrgens-PC\r\nEHLO a,b\xff\r\nAUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\n" + mail + "x\r\n.\r\n",
		"\xfeo\x04LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<drop@x>\r\nRCPT TO:<c@x>\r\nDATA\r\nx\ny\r\n.\r\n" +
			"MAIL FROM:<>\r\nRCPT TO:<drop@x>\r\nRCPT TO:<c@x>\r\nBDAT 1\r\n\nBDAT 1\r\nxBDAT 0 LAST\r\nNOOP\r\n",
		"\xfeo\x08" + begin +
			"MAIL FROM:<> BODY=BINARYMIME RET=FULL\r\nRCPT TO:<b@x> NOTIFY=NEVER\r\nDATA\r\n" +
			"BDAT 6\r\na: b\n\nBDAT 1 LAST\r\n\x00NOOP\r\n",
		"\xfeo\x08" + begin +
			"MAIL FROM:<> BODY=BINARYMIME MT-PRIORITY=1\r\nRCPT TO:<b@x>\r\nBDAT 7\r\na: b\r\n\rBDAT 4 LAST\r\n\n\x00\n\rNOOP\r\n",
		"\xfeo\x10XCLIENT ADDR=203.0.113.9 NAME=x.example\r\n" + begin + mail +
			"x\r\n.\r\nXCLIENT HELO=y PROTO=ESMTP LOGIN=ann\r\n" + mail + ".\r\nXCLIENT\r\n",
		"\xfeo\x04LHLO a\r\n" + mail +
			"x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<drop@x>\r\nRCPT TO:<c@x>\r\nRCPT TO:<d@x>\r\nDATA\r\nDo: mixed\r\n.\r\nEHLO x\r\n",
		"\xfeo\x04LHLO a\r\n" + bdat +
			"RCPT TO:<d@x>\r\nBDAT 3 LAST\r\nx\nyMAIL FROM:<>\r\nBDAT 1 LAST\r\nxRCPT TO:<d@x>\r\nDATA\r\n\xfes\x03",
		denseScript("EHLO client.example.net", "MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>", "DATA",
			"Subject: x\r\n\r\nbody\r\n.", "QUIT"),
		"\xfeo\x04" +
			denseScript("LHLO x", "MAIL FROM:<>", "RCPT TO:<postmaster>", "RCPT TO:<drop@example.com>",
				"BDAT 6\r\nbody", "BDAT 0 LAST", "NOOP"),
		denseScript("EHLO [192.0.2.9]", "STARTTLS", "TLS", "HELO client.example.net", "MAIL FROM:<>",
			"RCPT TO:<bad@example.com>", "DATA", "QUIT"),
	}
}

// suiteSeeds are sessions that others have found worth trying.
func suiteSeeds() (seeds []string) {
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		return nil
	}
	for _, pattern := range []string{"profuzzbench-smtp/in-smtp/*.raw", "chasquid/smtpsrv/fuzz/FuzzConnection/*"} {
		files, _ := filepath.Glob(filepath.Join(suites, "fuzz-seeds", filepath.FromSlash(pattern)))
		for _, file := range files {
			if seed, err := os.ReadFile(file); err == nil {
				seeds = append(seeds, string(seed), strings.ReplaceAll(string(seed), `\n`, "\r\n"))
			}
		}
	}
	return seeds
}

// denseActions are what the octets of a dense script stand for, with what each action can be told.
var denseActions = []struct {
	action byte
	choice int
}{
	{doCommand, len(scriptCommands)}, {doPiece, len(scriptPieces)}, {doFill, len(scriptFills)}, {doSleep, len(scriptSleeps)},
	{doSettle, 8}, {doTLS, 2}, {doEnd, 1}, {doClose, 1}, {doReset, 1},
}

// denseScript is the one that sends these lines, each of them one of scriptCommands, and goes over to TLS at "TLS".
func denseScript(lines ...string) string {
	script := string([]byte{escape, doDense})
	for _, line := range lines {
		n := slices.Index(scriptCommands, line+"\r\n")
		if line == "TLS" {
			n = len(scriptCommands) + len(scriptPieces) + len(scriptFills) + len(scriptSleeps) + 8
		}
		if n < 0 {
			panic("no such command: " + line)
		}
		script += string([]byte{byte(n)})
	}
	return script
}
