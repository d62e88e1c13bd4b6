package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd/ban"
)

// defended is a server behind a balancer, so that its clients can have any address, with an account.
type defended struct {
	t     *testing.T
	file  string
	text  string // of the configuration
	ports map[string]string
}

// zone is what the server's DNS knows.
const zone = `
sender.example.   MX 10 mx.sender.example.
mx.sender.example. A 203.0.113.25
2.0.0.127.bl.example. A 127.0.0.2
9.113.0.203.bl.example. A 127.0.0.2
9.113.0.203.bl.example. TXT "see https://bl.example/9"
`

// newDefended starts one; sections come behind [limits], in which they may begin.
func newDefended(t *testing.T, sections string) *defended {
	t.Helper()
	d := &defended{t: t}
	d.file, d.ports = testConfig(t, "smtp", "submission", "imaps")
	text, err := os.ReadFile(d.file)
	require.NoError(t, err)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mailtest.MustZone(t, zone).Serve(ctx, pc, nil) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	d.text = fmt.Sprintf("%s%s\n[dns]\nservers = [%q]\n", text, sections, pc.LocalAddr())
	for _, service := range []string{"smtp", "imaps"} {
		plain := fmt.Sprintf("[%q]", d.ports[service])
		d.text = strings.Replace(d.text, plain, fmt.Sprintf("{ address = %q, proxy_from = [\"127.0.0.0/8\"] }", d.ports[service]), 1)
	}
	d.write(d.text)
	d.do("email", "add", "ann@example.com", "secret")
	serve(t, d.file)
	return d
}

func (d *defended) write(text string) {
	d.t.Helper()
	require.NoError(d.t, os.WriteFile(d.file, []byte(text), 0o600))
}

// do runs a command that succeeds.
func (d *defended) do(args ...string) string {
	d.t.Helper()
	out, errs, code := run(d.t, "", append([]string{"-config", d.file}, args...)...)
	require.Equal(d.t, exitOK, code, errs)
	return out
}

// says is what a client at an address is told that says this at once and waits for the end.
func (d *defended) says(service, client, script string) string {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.ports[service])
	require.NoError(d.t, err)
	defer conn.Close()
	require.NoError(d.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.1 4711 25\r\n", client)
	require.NoError(d.t, err)
	if implicitTLS[service] {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	_, err = io.WriteString(conn, script)
	require.NoError(d.t, err)
	said, _ := io.ReadAll(conn) // a reset is an end, too
	return string(said)
}

// talks is a client that waits for each reply; it gives them all.
func (d *defended) talks(client string, lines ...string) string {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.ports["smtp"])
	require.NoError(d.t, err)
	defer conn.Close()
	require.NoError(d.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.1 4711 25\r\n", client)
	require.NoError(d.t, err)
	in := bufio.NewReader(conn)
	var all strings.Builder
	reply := func() bool {
		for {
			line, err := in.ReadString('\n')
			all.WriteString(line)
			if err != nil || len(line) > 3 && line[3] == ' ' {
				return err == nil
			}
		}
	}
	for ok := reply(); ok && len(lines) > 0; lines = lines[1:] {
		_, _ = io.WriteString(conn, lines[0]+"\r\n") // it may have been closed
		ok = reply()
	}
	return all.String()
}

// letter hands a letter in from a client.
func (d *defended) letter(client string) string {
	d.t.Helper()
	return d.talks(client, "EHLO mx.sender.example", "MAIL FROM:<bob@sender.example>", "RCPT TO:<ann@example.com>", "DATA",
		"From: bob@sender.example\r\n\r\nHello\r\n.", "QUIT")
}

func TestEarlyTalkersAreTurnedAway(t *testing.T) {
	t.Parallel()
	d := newDefended(t, "[policy]\ngreet_delay = \"30s\"")
	require.Regexp(t, `^554 5\.5\.1 `, d.says("smtp", "203.0.113.7", "EHLO mx.sender.example\r\nQUIT\r\n"))
}

func TestStrangersAreChecked(t *testing.T) {
	t.Parallel()
	d := newDefended(t, "[policy]\ngreet_delay = \"0\"\nspf_fail = \"tag\"\n[dnsbl]\nlists = [\"bl.example=127.0.0.2*2\"]\nreject_at = 2")
	require.Contains(t, d.letter("203.0.113.7"), "250 2.0.0 Ok: queued")
	listed := d.letter("203.0.113.9")
	require.Contains(t, listed, "554 5.7.1 ")
	require.Contains(t, listed, "https://bl.example/9")
	require.Contains(t, d.do("dnsbl"), "bl.example (IPv4)")
	var lists []map[string]any
	require.NoError(t, json.Unmarshal([]byte(d.do("dnsbl", "-json")), &lists))
	require.Equal(t, "IPv4", lists[0]["class"])
	require.Equal(t, "up", lists[0]["state"])
	require.NotNil(t, lists[0]["tested"])
	require.EqualValues(t, 1, lists[0]["listings"])
	require.Contains(t, d.talks("203.0.113.7", "EHLO mail.example.com", "MAIL FROM:<bob@sender.example>", "RCPT TO:<ann@example.com>"), "550 5.7.1 ",
		"nobody else has this server's name")
	require.Contains(t, d.talks("203.0.113.7", "EHLO mx.sender.example", "MAIL FROM:<bob@no.such.example>"), "450 4.1.8 ")
}

// The client's address is the one that the balancer tells, and its own peers are exempt.
func TestClientsBehindABalancer(t *testing.T) {
	t.Parallel()
	d := newDefended(t, "[policy]\ngreet_delay = \"30s\"\nxclient_from = [\"127.0.0.3\"]")
	require.Contains(t, d.letter("127.0.0.2"), "250 2.0.0 Ok: queued", "loopback is exempt")
	require.Contains(t, d.says("imaps", "203.0.113.7", "a LOGIN ann@example.com secret\r\nb LOGOUT\r\n"), "a OK")
	require.Contains(t, d.talks("127.0.0.2", "EHLO a.example", "XCLIENT ADDR=203.0.113.7"), "550 5.7.0 ")
	require.Contains(t, d.talks("127.0.0.3", "EHLO a.example", "XCLIENT ADDR=127.0.0.4 NAME=b.example", "EHLO b.example"), "220 ")
	conn, err := net.Dial("tcp", d.ports["smtp"])
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, "EHLO a.example\r\n")
	require.NoError(t, err)
	said, _ := io.ReadAll(conn)
	require.Empty(t, said, "nobody comes past the balancer")
}

func TestGreylisting(t *testing.T) {
	t.Parallel()
	d := newDefended(t, "[policy]\ngreet_delay = \"0\"\nspf_fail = \"tag\"\n[greylist]\nenabled = true\ndelay = \"1s\"")
	require.Contains(t, d.letter("203.0.113.7"), "450 4.2.0 ")
	require.Eventually(t, func() bool {
		return strings.Contains(d.letter("203.0.113.8"), "250 2.0.0 Ok: queued") // from the same network
	}, 10*time.Second, 200*time.Millisecond)
	// A configuration that turns it off, and one that turns it on again.
	newcomers := 0
	newcomerIs := func(want string) func() bool {
		return func() bool {
			newcomers++
			return strings.Contains(d.letter(fmt.Sprintf("198.51.%d.7", newcomers)), want)
		}
	}
	d.write(strings.Replace(d.text, "enabled = true", "enabled = false", 1))
	require.Eventually(t, newcomerIs("250 2.0.0 Ok: queued"), 10*time.Second, 100*time.Millisecond)
	d.write(d.text)
	require.Eventually(t, newcomerIs("450 4.2.0 "), 10*time.Second, 100*time.Millisecond)
	require.Contains(t, d.letter("203.0.113.8"), "250 2.0.0 Ok: queued", "who has come back is remembered")
}

func TestBans(t *testing.T) {
	t.Parallel()
	d := newDefended(t, "auth_failures = 1\n[policy]\ngreet_delay = \"0\"")
	require.Equal(t, "Nobody is banned.\n", d.do("ban", "list"))
	d.do("ban", "add", "203.0.113.7", "-for", "1h", "-reason", "spam")
	require.Regexp(t, `^203\.0\.113\.7  until \d{4}-.*  spam\n$`, d.do("ban", "list"))
	require.Regexp(t, `^421 4\.7\.0 `, d.talks("203.0.113.7"))
	require.Contains(t, d.talks("203.0.113.8"), "220 ")
	d.do("ban", "del", "203.0.113.7")
	require.Contains(t, d.talks("203.0.113.7"), "220 ")
	for _, args := range [][]string{{"add", "127.0.0.1"}, {"add", "nobody"}, {"add", "203.0.113.1", "-for", "soon"}} {
		_, _, code := run(t, "", append([]string{"-config", d.file, "ban"}, args...)...)
		require.Equal(t, exitError, code, args)
	}
	_, errs, code := run(t, "", "-config", d.file, "ban", "del", "203.0.113.200")
	require.Equal(t, exitOK, code)
	require.Contains(t, errs, "203.0.113.200 was not banned")
	d.do("ban", "add", "198.51.100.0/24")
	_, errs, code = run(t, "", "-config", d.file, "ban", "del", "198.51.100.7")
	require.Equal(t, exitOK, code)
	require.Equal(t, "fullserver: warning: 198.51.100.7 is still kept out, as 198.51.100.0/24 is banned\n", errs)
	d.do("ban", "del", "198.51.100.0/24")
	for _, everybody := range []string{"0.0.0.0/0", "::/0"} {
		_, errs, code = run(t, "", "-config", d.file, "ban", "add", everybody)
		require.Equal(t, exitError, code)
		require.Equal(t, "fullserver: "+everybody+" is everybody: ban smaller networks\n", errs)
	}
	// Log-ins that fail over IMAP count for SMTP, too.
	for range 6 {
		d.says("imaps", "203.0.113.66", "a LOGIN ann@example.com wrong\r\nb LOGOUT\r\n")
	}
	require.Regexp(t, `^203\.0\.113\.66  until .*  .*IMAP log-in failed`, d.do("ban", "list"))
	require.Regexp(t, `^421 4\.7\.0 `, d.talks("203.0.113.66"))
}

// A user has a limit, of which the administrator knows, and what was counted can be forgotten.
func TestUsersHaveLimits(t *testing.T) {
	t.Parallel()
	d := newDefended(t, "user_messages = \"1/1h\"\n[policy]\ngreet_delay = \"0\"")
	send := func() string {
		conn, err := net.Dial("tcp", d.ports["submission"])
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = io.WriteString(conn, "EHLO laptop.example\r\nSTARTTLS\r\n")
		require.NoError(t, err)
		readTo(t, conn, "220 2.0.0")
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		_, err = io.WriteString(secure, "EHLO laptop.example\r\nAUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\nMAIL FROM:<ann@example.com>\r\n"+
			"RCPT TO:<ann@example.com>\r\nDATA\r\nFrom: ann@example.com\r\n\r\nHello\r\n.\r\nQUIT\r\n")
		require.NoError(t, err)
		said, _ := io.ReadAll(secure)
		return string(said)
	}
	require.Contains(t, send(), "250 2.0.0 Ok: queued")
	require.Contains(t, send(), "451 4.7.1 ")
	require.Contains(t, d.do("limit", "list"), "ann@example.com  user_messages  for ")
	var over []map[string]any
	require.NoError(t, json.Unmarshal([]byte(d.do("limit", "list", "-json")), &over))
	require.Len(t, over, 1)
	require.Equal(t, "user_messages", over[0]["rule"])
	require.InDelta(t, 3590, over[0]["wait"], 10, "seconds")
	_, errs, _ := run(t, "", "-config", d.file, "limit", "reset", "Ann@Example.com")
	require.Empty(t, errs, "a login in any case")
	require.Contains(t, send(), "250 2.0.0 Ok: queued")
	fetched := d.says("imaps", "203.0.113.7", "a LOGIN ann@example.com secret\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[HEADER]\r\nd LOGOUT\r\n")
	require.Contains(t, fetched, "Received: from ")
	require.NotContains(t, fetched, "127.0.0.1", "where users are is nobody's business")
}

// Each key of the defence changes something.
func TestDefenceKeys(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"policy.exempt_networks": `[]`, "policy.greet_delay": `"2s"`, "policy.bare_line_ends": `"repair"`, "policy.hide_submitter": `false`,
		"policy.xclient_from": `["192.0.2.1"]`,
		"dnsbl.lists":         `["zen.example=127.0.0.[2..11]*3", "helo+sender:dbl.example"]`, "dnsbl.reject_at": `3`, "dnsbl.defer_at": `2`,
		"dnsbl.junk_at": `1`, "dnsbl.good_at": `-2`, "dnsbl.timeout": `"1s"`,
		"greylist.enabled": `true`, "greylist.delay": `"1m"`, "greylist.window": `"3d"`, "greylist.max_age": `"7d"`, "greylist.auto_whitelist": `0`,
		"greylist.clients": `["192.0.2.0/24"]`, "greylist.client_names": `["example.net"]`, "greylist.recipients": `["ann@example.com", "x@", "@example.org"]`,
		"ban.enabled": `false`, "ban.threshold": `10`, "ban.half_life": `"1h"`, "ban.first": `"2h"`, "ban.longest": `"1d"`, "ban.never": `["192.0.2.1"]`,
		"limits.client_connections": `"1/1s"`, "limits.client_messages": `"off"`, "limits.client_recipients": `0`, "limits.user_messages": `"5/1h+7"`,
		"limits.user_recipients": `"9/1d"`, "limits.connections_per_network": `3`, "limits.errors": `3`, "limits.bad_recipients": `3`,
		"limits.auth_failures": `2`, "limits.deferred_recipients": `3`, "limits.min_data_rate": `0`, "limits.stress": `0`, "limits.command_timeout": `"1m"`, "limits.data_timeout": `"1m"`,
		"limits.session_timeout": `"2h"`, "policy.sender_fault": `"tag"`,
	}
	keys := new(defence).keys()
	for key := range keys {
		if name, ok := strings.CutPrefix(key, "policy."); ok && values[key] == "" {
			require.Regexp(t, `^(hello_|sender_|early_talker$|pipelining$)`, name)
			values[key] = `"junk"`
		}
	}
	require.Len(t, values, len(keys))
	for key, value := range values {
		section, name, _ := strings.Cut(key, ".")
		text := fmt.Sprintf("hostname = \"a.b\"\n[%s]\n%s = %s\n", section, name, value)
		c, err := loadConfig(writeConfig(t, text), nil, false)
		require.NoError(t, err, key)
		require.False(t, reflect.DeepEqual(c.defence, defaultDefence()), key)
		_, err = loadConfig(writeConfig(t, fmt.Sprintf("hostname = \"a.b\"\n[%s]\n%s = [[\"?\"]]\n", section, name)), nil, false)
		require.ErrorContains(t, err, "line 3: "+key+": ")
	}
	for text, want := range map[string]string{
		"[greylist]\nwindow = \"1m\"":                    "line 2: greylist.window: must be longer than greylist.delay, which is 5m",
		"[greylist]\ndelay = \"3d\"":                     "line 2: greylist.delay: must be shorter than greylist.window, which is 2d",
		"[ban]\nlongest = \"1m\"":                        "line 2: ban.longest: must not be shorter than ban.first, which is 1h",
		"[ban]\nfirst = \"8d\"":                          "line 2: ban.first: must not be longer than ban.longest, which is 7d",
		"[limits]\nuser_messages = \"many\"":             "line 2: limits.user_messages: \"many\" is not a rate",
		"[limits]\nuser_messages = \"60/1ns\"":           "line 2: limits.user_messages",
		"[limits]\nuser_messages = \"1000000000/1s\"":    "line 2: limits.user_messages",
		"[limits]\nuser_messages = \"1/300d+100000000\"": "line 2: limits.user_messages",
		"[limits]\ncommand_timeout = \"1ns\"":            "line 2: limits.command_timeout: \"1ns\" is not a time such as \"90m\" or \"5d\", of one second at least",
		"[ban]\nnever = [\"::ffff:10.0.0.0/64\"]":        "line 2: ban.never",
		"[listen]\nlmtp = [\":025\"]":                    "line 2: listen.lmtp",
		"[limits]\nuser_messages = \"1/0s\"":             "line 2: limits.user_messages",
		"[limits]\nuser_messages = \"1/1h+0\"":           "line 2: limits.user_messages",
		"[limits]\nuser_messages = 5":                    "line 2: limits.user_messages: must be a rate",
		"[dnsbl]\nlists = [\"zen.example=300\"]":         "line 2: dnsbl.lists",
		"[policy]\nsender_fault = \"reject\"":            "line 2: policy.sender_fault: \"reject\" is not one of defer, junk, off, tag",
		"[greylist]\nrecipients = [\"@\"]":               "line 2: greylist.recipients",
		"[policy]\ngreet_delay = \"-1s\"":                "line 2: policy.greet_delay",
		"[ban]\nnever = [\"everybody\"]":                 "line 2: ban.never",
	} {
		_, err := loadConfig(writeConfig(t, text+"\n"), []string{"FULLSERVER_HOSTNAME=a.b"}, false)
		require.ErrorContains(t, err, want, text)
	}
}

// IPv4 networks may be written as those of IPv6, and addresses may have a zone.
func TestNetworksInOtherForms(t *testing.T) {
	t.Parallel()
	c, err := loadConfig(writeConfig(t, "hostname = \"a.b\"\n[policy]\ntrusted_networks = [\"::ffff:192.0.2.1\", \"::ffff:10.0.0.0/104\", \"fe80::/10\"]\n"), nil, false)
	require.NoError(t, err)
	for address, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.2.2": false, "10.1.2.3": true, "11.1.2.3": false, "fe80::1%eth0": true, "::1": false,
	} {
		peer := mailbricks.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(address), 25)}
		require.Equal(t, want, isTrusted(c, peer), address)
	}
}

// A peer that has gone before it was looked at has no address.
func TestPeersWithoutAddressAreNotBanned(t *testing.T) {
	t.Parallel()
	a := new(app)
	bans, err := ban.Open("", ban.Options{})
	require.NoError(t, err)
	defer bans.Close()
	require.NoError(t, bans.Ban(netip.MustParsePrefix("203.0.113.7/32"), time.Hour, "test"))
	a.guards.Store(&guards{bans: filed[*ban.Bans]{guard: bans}})
	require.False(t, a.banned(netip.Addr{}))
	require.True(t, a.banned(netip.MustParseAddr("203.0.113.7")))
	require.False(t, a.banned(netip.MustParseAddr("203.0.113.8")))
}
