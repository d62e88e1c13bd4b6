package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
)

// serveDNS serves an empty zone on 127.0.0.1 until the test ends.
func serveDNS(t *testing.T) (dns *mailtest.DNS, addr string) {
	t.Helper()
	dns = mailtest.MustZone(t, "")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dns.Serve(ctx, pc, ln) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return dns, ln.Addr().String()
}

// A domain's keys are replaced with the commands of the README, with a server that runs and without.
func TestKeysAreRotatedOnTheCommandLine(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{false, true} {
		t.Run(map[bool]string{false: "offline", true: "running"}[running], func(t *testing.T) {
			t.Parallel()
			dns, addr := serveDNS(t)
			file, _ := testConfig(t, "smtp")
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			configure := func(grace string) {
				require.NoError(t, os.WriteFile(file, []byte(string(text)+fmt.Sprintf(
					"[dns]\nservers = [%q]\n[dkim]\nrotation_settle = \"1s\"\nrotation_grace = %q\n", addr, grace)), 0o600))
			}
			configure("1h")
			if running {
				serve(t, file)
			}
			good := func(args ...string) string {
				t.Helper()
				out, errs, code := run(t, "", append([]string{"-config", file}, args...)...)
				require.Equal(t, exitOK, code, errs)
				return out
			}
			rotate := func(args ...string) (line rotationLine) {
				t.Helper()
				require.NoError(t, json.Unmarshal([]byte(good(append([]string{"dkim", "rotate", "example.com", "-json"}, args...)...)), &line))
				return line
			}
			_, errs, code := run(t, "", "-config", file, "dkim", "rotate", "example.com")
			require.Equal(t, exitError, code)
			require.Contains(t, errs, "no key signs for the domain")

			first := good("dkim", "example.com", "-bits", "1024")
			zone := strings.Split(first, "\n")[2] + "\n"
			require.NoError(t, dns.Replace(zone))
			text2 := good("dkim", "rotate", "example.com")
			require.Regexp(t, `^example\.com: a new rotation was started\nexample\.com: waits until the DNS shows the new keys: .*\n\nPublish, .*:\ns\d{8}a\._domainkey\.example\.com\nv=DKIM1; `, text2)
			line := rotate()
			require.Equal(t, "publish", line.Phase)
			require.Contains(t, line.Text, "there is no TXT record")
			require.Equal(t, []string{"mail"}, line.Active)
			require.Equal(t, first, good("dkim", "example.com"))
			records := good("dns", "example.com")
			require.Contains(t, records, "; DKIM: the next key, which signs when the DNS shows it\n"+line.Publish[0].Zone)
			if running {
				require.Contains(t, good("health"), "healthy\nwarning: DKIM keys of example.com: waits until")
			}
			require.Contains(t, good("dkim", "rotate", "example.com", "-status"), "example.com: waits until the DNS shows the new keys: ")
			_, errs, code = run(t, "", "-config", file, "dkim", "del", "example.com", "-selector", line.Publish[0].Name[:10])
			require.Equal(t, exitError, code)
			require.Contains(t, errs, "fullserver dkim rotate example.com -cancel")
			next := filepath.Join(filepath.Dir(file), "data", "dkim", "example.com", line.Publish[0].Name[:10]+".key")
			require.FileExists(t, next)
			require.NoError(t, os.WriteFile(next, []byte("no key"), 0o600)) // which takes away nobody's way out
			require.Equal(t, "example.com: no rotation is under way\n", good("dkim", "rotate", "example.com", "-cancel"))
			require.NotContains(t, good("dns", "example.com"), "the next key")
			if running {
				require.NotContains(t, good("health"), "DKIM keys of example.com")
			}
			require.Equal(t, "example.com: no rotation is under way\n", good("dkim", "rotate", "example.com", "-status"))
			_, errs, code = run(t, "", "-config", file, "dkim", "rotate", "example.com", "-cancel")
			require.Equal(t, exitError, code)
			require.Contains(t, errs, "nothing to cancel")
			require.NotContains(t, good("dns", "example.com"), "the next key")
			_, _, code = run(t, "", "-config", file, "dkim", "rotate", "example.com", "-cancel", "-status")
			require.Equal(t, exitError, code)

			require.True(t, rotate().Started)
			line = rotate()
			require.False(t, line.Started)
			require.NoError(t, dns.Replace(zone+line.Publish[0].Zone+"\n"))
			require.Equal(t, "settle", rotate().Phase)
			require.Eventually(t, func() bool { return rotate().Phase == "retire" }, 20*time.Second, 200*time.Millisecond)
			shown := good("dkim", "example.com")
			require.Equal(t, line.Publish[0].Value, strings.Split(shown, "\n")[1], "the key that signs is the one that is meant")
			require.Contains(t, good("dns", "example.com"), "; DKIM: an old key, for mail that it has signed")
			configure("1s")
			require.Eventually(t, func() bool { line = rotate(); return line.Phase == "withdraw" }, 20*time.Second, 200*time.Millisecond)
			require.Equal(t, []string{"mail._domainkey.example.com"}, line.Withdraw)
			require.NoFileExists(t, filepath.Join(filepath.Dir(file), "data", "dkim", "example.com", "mail.key"))
			_, errs, code = run(t, "", "-config", file, "dkim", "example.com", "-selector", "mail")
			require.Equal(t, exitError, code)
			require.Contains(t, errs, "replaced by a rotation")
			require.Equal(t, shown, good("dkim", "example.com"))
			require.NoError(t, dns.Replace(strings.Split(shown, "\n")[2]+"\n"))
			require.Contains(t, good("dkim", "rotate", "example.com"), "no rotation is under way")
			if running {
				require.Equal(t, "healthy\n", good("health"))
			}
			require.Equal(t, "publish", rotate().Phase, "and the next one begins")
		})
	}
}

// Keys that sign although nobody sees their records are reported, once.
func TestMissingRecordsAreReported(t *testing.T) {
	t.Parallel()
	dns, addr := serveDNS(t)
	a := openTestApp(t, "FULLSERVER_DNS_SERVERS="+addr)
	record, _, err := a.keys.Ensure("example.com", "mail", "ed25519", 0)
	require.NoError(t, err)
	a.findRecords(t.Context())
	require.Len(t, a.watched.warnings(), 1)
	require.Contains(t, a.watched.warnings()[0], "mail._domainkey.example.com: not published")
	require.NoError(t, dns.Replace(record.Zone()+"\n"))
	a.findRecords(t.Context())
	require.Len(t, a.watched.warnings(), 1, "it is not looked for all the time")
	again := func() []string {
		a.watched.next["example.com"] = time.Time{}
		a.findRecords(t.Context())
		return a.watched.warnings()
	}
	require.Empty(t, again())

	// What is said of a key ends with it, and what fails in the same way is said once.
	_, _, err = a.keys.Ensure("example.com", "second", "ed25519", 0)
	require.NoError(t, err)
	require.Len(t, again(), 1)
	require.NoError(t, a.keys.Activate("example.com", "mail"))
	require.NoError(t, os.Remove(a.config().path("dkim", "example.com", "second.key")))
	require.Empty(t, again())
	require.True(t, a.watched.news("x", os.ErrNotExist))
	require.False(t, a.watched.news("x", os.ErrNotExist))
	require.False(t, a.watched.news("x", nil))
	require.True(t, a.watched.news("x", os.ErrNotExist))
}

// What an alias sends on is sealed, unless that is switched off; what a user sends is signed.
func TestWhatLeavesIsSignedOrSealed(t *testing.T) {
	t.Parallel()
	for _, seal := range []string{"true", "false"} {
		a := openTestApp(t, "FULLSERVER_DKIM_ARC_SEAL="+seal)
		_, _, err := a.keys.Ensure("example.com", "mail", "rsa", 1024)
		require.NoError(t, err)
		prepare := a.prepare(a.config())
		letter := func() *mailbricks.Message {
			return mailbricks.NewMessage([]byte("Authentication-Results: mail.example.com; arc=none; dmarc=pass\r\nFrom: x@example.com\r\n\r\nHello\r\n"))
		}
		forwarded := &mailbricks.Envelope{
			Peer:       mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:25")},
			Recipients: []mailbricks.Recipient{{Address: "ann@example.net", Alias: "sales@example.com"}},
		}
		msg := letter()
		require.NoError(t, prepare(t.Context(), forwarded, msg))
		require.Equal(t, seal == "true", len(msg.Values("ARC-Seal")) == 1)
		require.Empty(t, msg.Values("DKIM-Signature"))
		own := *forwarded
		own.Peer.Identity = &mailbricks.Identity{User: "x@example.com"}
		msg = letter()
		require.NoError(t, prepare(t.Context(), &own, msg))
		require.Empty(t, msg.Values("ARC-Seal"))
		require.Len(t, msg.Values("DKIM-Signature"), 1)
	}
}
