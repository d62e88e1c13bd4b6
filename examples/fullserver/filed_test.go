package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// reloading is an app and the running server that it is of, which does not listen.
func reloading(t *testing.T, variables ...string) (a *app, take func(variables ...string) error) {
	t.Helper()
	a = openTestApp(t, variables...)
	r := &running{app: a, certs: &certificates{}}
	require.NoError(t, r.certs.load(a.config()))
	r.now.Store(a.settings(a.config(), r.certs, a.dns.Load()))
	return a, func(variables ...string) error {
		next, err := loadConfig(a.config().file, variables, false)
		require.NoError(t, err)
		err = r.take(a.config(), next)
		if bans := a.guards.Load().bans.guard; bans != nil { // what is served goes by the guards of which the commands tell
			const addr = "198.51.100.99"
			require.NoError(t, (&banAdd{Network: addr}).runOn(t.Context(), a, nil))
			s := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort(addr + ":1")}}
			require.Error(t, r.now.Load().mx.Checks[0].Connect(t.Context(), s))
			require.NoError(t, (&banDel{Networks: []string{addr}}).runOn(t.Context(), a, nil))
			require.NoError(t, r.now.Load().mx.Checks[0].Connect(t.Context(), s))
		}
		return err
	}
}

const (
	withGreylist = "FULLSERVER_GREYLIST_ENABLED=true"
	lowThreshold = "FULLSERVER_BAN_THRESHOLD=50"
)

// Bans hold when a file cannot be opened again, at first and for good, and are on disk again when it can.
func TestAFailedReloadKeepsTheBans(t *testing.T) {
	t.Parallel()
	a, take := reloading(t, withGreylist)
	ban := func(addr string) {
		t.Helper()
		require.NoError(t, (&banAdd{Network: addr, Reason: "spam"}).runOn(t.Context(), a, nil))
	}
	banned := func(addrs ...string) {
		t.Helper()
		var found []string
		for _, b := range a.guards.Load().bans.guard.List() {
			require.Equal(t, "spam", b.Reason)
			found = append(found, shortPrefix(b.Prefix))
		}
		require.Equal(t, addrs, found)
	}
	inTheWay := func(file string) {
		require.NoError(t, os.RemoveAll(file))
		require.NoError(t, os.Mkdir(file, 0o700))
	}
	bans, greylist := a.config().path("state", "bans"), a.config().path("state", "greylist")

	// The bans' own file.
	ban("203.0.113.1")
	inTheWay(bans)
	require.Error(t, take(withGreylist, lowThreshold))
	banned("203.0.113.1")
	require.Equal(t, 100, a.guards.Load().of.ban.threshold, "the old configuration stays in force")
	ban("203.0.113.2")
	require.True(t, a.banned(netip.MustParseAddr("203.0.113.2")))
	require.Error(t, take(withGreylist, lowThreshold), "it can be tried again")
	banned("203.0.113.1", "203.0.113.2")
	require.NoError(t, os.Remove(bans))
	require.NoError(t, take(withGreylist, lowThreshold))
	banned("203.0.113.1", "203.0.113.2")

	// Another file: nothing of the new configuration holds.
	inTheWay(greylist)
	require.Error(t, take(withGreylist, "FULLSERVER_GREYLIST_DELAY=1m"))
	banned("203.0.113.1", "203.0.113.2")
	require.Equal(t, 50, a.guards.Load().of.ban.threshold)
	require.True(t, a.guards.Load().bans.open)
	require.NotNil(t, a.guards.Load().greylist.guard, "it goes on in memory")
	require.NoError(t, os.Remove(greylist))

	// All is on disk: other bans than those find it there.
	require.NoError(t, take("FULLSERVER_BAN_ENABLED=false"))
	require.Nil(t, a.guards.Load().bans.guard)
	require.NoError(t, take())
	banned("203.0.113.1", "203.0.113.2")
}

// What is kept out and what is not by default, and how that is shown.
func TestWhoCanBeBanned(t *testing.T) {
	t.Parallel()
	a, take := reloading(t, `FULLSERVER_LISTEN_IMAP={ address = "127.0.0.1:0", proxy_from = ["198.51.100.8"] }`,
		"FULLSERVER_POLICY_XCLIENT_FROM=198.51.100.9")
	fail := func(addr string) bool {
		for range 10 {
			a.failedLogIn("IMAP", mailbricks.Peer{Addr: netip.MustParseAddrPort(addr)}, mailbricks.ErrAuth)
		}
		return a.banned(netip.MustParseAddrPort(addr).Addr())
	}
	for _, addr := range []string{
		"10.20.0.6:1", "172.17.0.1:1", "192.168.1.1:1", "100.64.0.1:1", "[fd00::1]:1", // of many hosts
		"198.51.100.8:1", "198.51.100.9:1", // who speaks for others
	} {
		require.False(t, fail(addr), addr)
	}
	require.True(t, fail("203.0.113.9:1"))
	require.NoError(t, (&banAdd{Network: "192.0.2.0/24", Reason: "spam"}).runOn(t.Context(), a, nil))
	var out output
	require.NoError(t, (&banList{JSON: true}).runOn(t.Context(), a, &out))
	var list []map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &list))
	require.Len(t, list, 2)
	require.Equal(t, "192.0.2.0/24", list[0]["network"])
	require.Contains(t, list[0], "until")
	require.Nil(t, list[0]["until"], "until it is lifted")
	require.Equal(t, true, list[0]["manual"])
	require.Equal(t, "203.0.113.9", list[1]["network"])
	until, err := time.Parse(time.RFC3339Nano, list[1]["until"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), until, time.Minute)

	require.NoError(t, take("FULLSERVER_BAN_NEVER="))
	require.True(t, fail("10.20.0.6:1"))
}

func TestWhoIsExempt(t *testing.T) {
	t.Parallel()
	a := openTestApp(t, "FULLSERVER_POLICY_EXEMPT_NETWORKS=192.0.2.1", "FULLSERVER_POLICY_TRUSTED_NETWORKS=192.0.2.2",
		"FULLSERVER_POLICY_XCLIENT_FROM=192.0.2.3", `FULLSERVER_LISTEN_SMTP={ address = "127.0.0.1:0", proxy_from = ["192.0.2.4", "0.0.0.0/0"] }`)
	const local = "192.0.2.9:25"
	for addr, want := range map[string]bool{
		"192.0.2.1:1": true, "192.0.2.2:1": true, "192.0.2.3:1": true,
		"192.0.2.4:1":            true, // a balancer that looks whether the service answers
		"192.0.2.9:1":            true, // this machine, as health
		"[::ffff:192.0.2.9]:123": true,
		"192.0.2.5:1":            false, "127.0.0.1:1": false,
	} {
		s := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort(addr), Local: netip.MustParseAddrPort(local)}}
		require.Equal(t, want, a.isExempt(s), addr)
	}
	require.False(t, a.isExempt(new(smtpd.Session)), "no address")
}

// A server whose clients all wait longer than health does is healthy.
func TestHealthIsNotDelayed(t *testing.T) {
	t.Parallel()
	newDefended(t, "[policy]\ngreet_delay = \"1m\"\nexempt_networks = []")
}

// Only what nobody else can be called by mistake is refused.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	a := openTestApp(t, "FULLSERVER_DOMAINS=example.com")
	for name, refused := range map[string]bool{
		"mail.example.com": true,
		"example.com":      false, // its web server
		"[203.0.113.5]":    false, // who has several addresses, or is behind a NAT
		"[203.0.113.6]":    false,
	} {
		s := &smtpd.Session{Hostname: "mail.example.com", Peer: mailbricks.Peer{
			Addr: netip.MustParseAddrPort("203.0.113.6:1"), Local: netip.MustParseAddrPort("192.0.2.9:25"), Hello: name, Protocol: "ESMTP",
		}}
		tx := &smtpd.Transaction{Session: s, Envelope: new(mailbricks.Envelope)}
		found := false
		for _, check := range a.strangers(a.config(), a.dns.Load()) {
			if check.Name != "hello" {
				continue
			}
			found = true
			require.NoError(t, check.Mail(t.Context(), tx))
			require.Equal(t, refused, check.Rcpt(t.Context(), tx, new(mailbricks.Recipient)) != nil, name)
		}
		require.True(t, found)
	}
}
