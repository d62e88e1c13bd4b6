package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// A key that cannot be used keeps mail back; health, the log and the commands say so with a way out, which works.
func TestBrokenKeysAreReported(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(file string) error{
		"missing":    os.Remove,
		"unreadable": func(file string) error { return os.WriteFile(file, []byte("no key"), 0o600) },
		"no folder":  func(file string) error { return os.RemoveAll(filepath.Dir(file)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, _ := testConfig(t, "smtp")
			do := func(args ...string) (string, string, int) {
				t.Helper()
				return run(t, "", append([]string{"-config", file}, args...)...)
			}
			good := func(args ...string) (string, string) {
				t.Helper()
				out, errs, code := do(args...)
				require.Equal(t, exitOK, code, errs)
				return out, errs
			}
			bad := func(want string, args ...string) {
				t.Helper()
				_, errs, code := do(args...)
				require.Equal(t, exitError, code, args)
				require.Contains(t, errs, want)
			}
			good("email", "add", "ann@c.test", "secret")
			good("dkim", "c.test", "-bits", "1024")
			key := filepath.Join(filepath.Dir(file), "data", "dkim", "c.test", "mail.key")
			require.NoError(t, spoil(key))
			serve(t, file)

			out, _ := good("health")
			require.Regexp(t, `^healthy\nwarning: no mail leaves from c\.test: .*fullserver dkim del c\.test -selector NAME\n$`, out)
			bad("there are warnings", "health", "-strict")
			for _, args := range [][]string{{"dkim", "c.test"}, {"dkim", "c.test", "-selector", "mail"}} {
				bad("fullserver dkim del c.test -selector NAME", args...)
			}
			fresh, err := filepath.Glob(filepath.Join(filepath.Dir(key), "s*.key"))
			require.NoError(t, err)
			require.Empty(t, fresh)
			bad("say -force", "dkim", "del", "c.test", "-selector", "mail")
			_, errs := good("dkim", "del", "c.test", "-selector", "mail", "-force")
			require.Contains(t, errs, "mail of c.test leaves unsigned")
			out, _ = good("health")
			require.NotContains(t, out, "no mail leaves")
			require.Contains(t, out, "take the record out of the DNS", "of mail._domainkey")
			require.NoFileExists(t, key)

			// The domain has no key now, and its first selector is used up.
			out, _ = good("dns", "c.test")
			require.Contains(t, out, "fullserver dkim c.test makes one")
			out, errs = good("dkim", "c.test", "-bits", "1024")
			require.Regexp(t, `^s\d{8}a\._domainkey\.c\.test\n`, out)
			require.Empty(t, errs)
			again, _ := good("dkim", "c.test")
			require.Equal(t, out, again)
		})
	}
}

// What is wrong with keys is logged once, until it changes.
func TestBrokenKeysAreLoggedOnce(t *testing.T) {
	t.Parallel()
	a := openTestApp(t)
	var log bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	_, _, err := a.keys.Ensure("c.test", "mail", "ed25519", 0)
	require.NoError(t, err)
	key := a.config().path("dkim", "c.test", "mail.key")
	require.NoError(t, os.Rename(key, key+".away"))
	logged := func() int { return strings.Count(log.String(), "level=ERROR") }
	for range 3 {
		a.checkKeys(t.Context())
		require.Equal(t, 1, logged())
	}
	require.Contains(t, log.String(), "domain=c.test")
	require.Contains(t, log.String(), "fullserver dkim del c.test -selector NAME")
	a.findRecords(t.Context())
	require.Len(t, a.watched.warnings(), 1, "one reason, one warning")
	require.NoError(t, os.Rename(key+".away", key))
	a.checkKeys(t.Context())
	require.Empty(t, a.watched.warnings())
	require.NoError(t, os.WriteFile(key, []byte("no key"), 0o600))
	a.checkKeys(t.Context())
	require.Equal(t, 2, logged())
	require.NoError(t, a.keys.Delete("c.test", "mail"))
	a.checkKeys(t.Context())
	require.Empty(t, a.watched.warnings())

	require.NoError(t, os.WriteFile(a.config().path("state", "dkim"), []byte("nonsense"), 0o600))
	a.checkKeys(t.Context())
	a.rotateKeys(t.Context())
	a.findRecords(t.Context())
	require.Len(t, a.watched.warnings(), 1)
	require.Contains(t, a.watched.warnings()[0], "no mail leaves from this server: ")
}

// The key that is meant where none is named is one that signs; one is made only where there is none at all.
func TestWhichKeyIsShown(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t, "smtp")
	keys := filepath.Join(filepath.Dir(file), "data", "dkim", "c.test")
	do := func(args ...string) (out, errs string, code int) {
		t.Helper()
		return run(t, "", append([]string{"-config", file, "dkim", "c.test"}, args...)...)
	}
	shown := func(args ...string) string {
		t.Helper()
		out, errs, code := do(args...)
		require.Equal(t, exitOK, code, errs)
		name, _, _ := strings.Cut(out, "._domainkey.")
		return name
	}
	refused := func(want string, args ...string) {
		t.Helper()
		_, errs, code := do(args...)
		require.Equal(t, exitError, code, args)
		require.Contains(t, errs, want)
	}
	_, errs, code := do("-selector", "ed", "-type", "ed25519")
	require.Equal(t, exitOK, code)
	require.Contains(t, errs, "fullserver: warning: c.test is no domain of this server")
	_, _, code = run(t, "", "-config", file, "alias", "add", "a@c.test", "b@example.net")
	require.Equal(t, exitOK, code)
	require.Equal(t, "ed", shown(), "it has a key")
	require.Equal(t, "ed", shown("-selector", "ed"), "whatever it is")
	require.NoFileExists(t, filepath.Join(keys, "mail.key"))
	refused("no rsa key of c.test signs", "-type", "rsa")
	refused("-bits is for RSA keys", "-type", "ed25519", "-bits", "2048")
	_, errs, code = do("-selector", "mail", "-bits", "1024")
	require.Equal(t, exitOK, code)
	require.Empty(t, errs, "hosted")
	require.Equal(t, "mail", shown())
	require.Equal(t, "ed", shown("-type", "ed25519"))
	require.Equal(t, "mail", shown("-bits", "1024"))
	refused("it has 1024 bits, not 512", "-bits", "512")

	// One that does not sign and cannot be read is no reason to make another.
	require.NoError(t, os.WriteFile(filepath.Join(keys, "old.key"), []byte("no key"), 0o600))
	refused("fullserver dkim del c.test -selector NAME")
	require.Equal(t, "mail", shown("-selector", "mail"))
	_, errs, code = run(t, "", "-config", file, "dkim", "del", "c.test", "-selector", "old")
	require.Equal(t, exitOK, code, errs)
	require.Equal(t, "mail", shown())
	_, errs, code = run(t, "", "-config", file, "dkim", "del", "c.test", "-selector", "old")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "no such key")
}

// A rotation that waits for the administrator is warned of also while it waits for the time to pass; one that is over is not.
func TestRotationsThatWaitAreWarnedOf(t *testing.T) {
	t.Parallel()
	var w watchedKeys
	w.noteRotation(sign.Status{Domain: "c.test", Phase: sign.Retire, Until: time.Now().Add(time.Hour), Text: "wait"})
	require.Empty(t, w.warnings())
	w.noteRotation(sign.Status{Domain: "c.test", Phase: sign.Retire, Until: time.Now().Add(time.Hour), Withdraw: []string{"x._domainkey.c.test"}, Text: "withdraw"})
	require.Equal(t, []string{"DKIM keys of c.test: withdraw"}, w.warnings())
	w.noteRotation(sign.Status{Domain: "c.test", Phase: sign.Idle, Text: "no rotation is under way"})
	require.Empty(t, w.warnings())
}

// Mail that leaves without a set because the alias's domain has no key is told of once.
func TestAliasesWithoutAKeyAreLoggedOnce(t *testing.T) {
	t.Parallel()
	a := openTestApp(t)
	require.NoError(t, a.dir.AddAlias("sales@c.test", "bob@example.net"))
	var log bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	prepare := a.prepare(a.config())
	for range 3 {
		require.NoError(t, prepare(t.Context(), forwardedTo("sales@c.test"), checkedLetter()))
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
	require.Contains(t, log.String(), "domain=c.test")
}

func forwardedTo(alias string) *mailbricks.Envelope {
	return &mailbricks.Envelope{
		From: "x@far.example", Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:25")},
		Recipients: []mailbricks.Recipient{{Address: "bob@example.net", Alias: alias}},
	}
}

func checkedLetter() *mailbricks.Message {
	return mailbricks.NewMessage([]byte("Authentication-Results: mail.example.com; arc=none; dmarc=pass\r\nFrom: x@far.example\r\n\r\nHello\r\n"))
}

// Where a message cannot be sealed for now, whom it was for here has it once; the rest waits in the queue and leaves sealed.
func TestWhatCannotBeSealedIsNotDoubled(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close()) // nobody answers
	a := openTestApp(t, "FULLSERVER_OUTBOUND_SMARTHOST="+ln.Addr().String(), "FULLSERVER_OUTBOUND_SMARTHOST_TLS=none")
	require.NoError(t, a.dir.AddAccount("ann@c.test", "secret"))
	require.NoError(t, a.dir.AddAlias("sales@c.test", "ann@c.test"))
	require.NoError(t, a.dir.AddAlias("sales@c.test", "bob@example.net"))
	_, _, err = a.keys.Ensure("c.test", "mail", "rsa", 1024)
	require.NoError(t, err)
	key := a.config().path("dkim", "c.test", "mail.key")
	require.NoError(t, os.Rename(key, key+".away"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.queue.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()

	env := forwardedTo("")
	env.Recipients[0].Address = "sales@c.test"
	require.NoError(t, a.deliver.Handle(t.Context(), env, checkedLetter()), "or else the peer tries again, also for ann")
	letters, err := filepath.Glob(a.config().path("mail", "c.test", "ann", "new", "*"))
	require.NoError(t, err)
	require.Len(t, letters, 1)
	entries, err := a.queue.List(t.Context())
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "bob@example.net", entries[0].Recipients[0].Address)
	require.Contains(t, entries[0].Recipients[0].Text, "mail.key")

	require.NoError(t, os.Rename(key+".away", key))
	require.NoError(t, a.queue.Retry(t.Context()))
	require.Eventually(t, func() bool {
		entries, err := a.queue.List(t.Context())
		return err == nil && entries[0].Recipients[0].Attempts > 1 && strings.Contains(entries[0].Recipients[0].Text, "refused")
	}, 20*time.Second, 20*time.Millisecond, "it would leave now, if anybody answered")
}
