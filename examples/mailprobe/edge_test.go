package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/mailtest"
)

// none is the verdict's line about the author of letter where nothing is published.
const none = "none policy=- disposition=none domain=news.example.org org=news.example.org\n"

// pipe has a text come out of a file that has no size and cannot be sought, as <(…) of shells is one.
func pipe(t *testing.T, text string) (name string) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	name = fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(name); err != nil {
		t.Skipf("pipes have no names here: %v", err)
	}
	_, err = w.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return name
}

func TestFilesThatAreNotRegular(t *testing.T) {
	t.Parallel()
	key, record := newKey(t, "example.org", "sel")
	dns, _ := serve(t, record)
	signing := []string{"-domain", "example.org", "-selector", "sel", "-key", key}
	verdict := result(t, "dmarc", "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@b.example", pipe(t, letter))
	require.Equal(t, none, verdict)
	signed := result(t, append([]string{"dkim", "-sign", pipe(t, letter)}, signing...)...)
	require.Equal(t, "pass d=example.org s=sel a=ed25519-sha256\n", result(t, "dkim", "-resolver", dns, pipe(t, signed)))
	sealed := result(t, append([]string{"arc", "-seal", "-authserv-id", "x", "-resolver", dns, pipe(t, signed)}, signing...)...)
	require.Equal(t, "pass\n", result(t, "arc", "-resolver", dns, pipe(t, sealed)))
}

func TestTemporaryFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, dir)
	}
	_, _, code := run(t, letter, "dkim", "-")
	require.Equal(t, exitOK, code)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAddressOfTheServer(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{
		"", "127.0.0.1", "localhost", "::1", "[::1]", ":5398", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1",
		"127.0.0.1:domain", "127.0.0.1:53,127.0.0.1:54", "a,b:53", "a b:53", "127.0.0.1.2:53",
	} {
		stdout, stderr, code := run(t, "", "spf", "-resolver", addr, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@example.org")
		require.Equal(t, exitUsage, code, addr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "HOST:PORT", addr)
		_, _, code = run(t, letter, "dkim", "-resolver="+addr, "-")
		require.Equal(t, exitUsage, code, addr)
	}
	for _, addr := range []string{"127.0.0.1:53", "[::1]:53", "[fe80::1%eth0]:53", "localhost:53", "ns.example.org:53"} {
		var s server
		require.NoError(t, s.UnmarshalText([]byte(addr)))
		require.Equal(t, []string{addr}, questions{Resolver: s}.dns().Servers)
	}
}

func TestReasonsOnStandardError(t *testing.T) {
	t.Parallel()
	dns, zones := serve(t, `
		bad.example. TXT "v=spf1 moo"
		_dmarc.bad.example. TXT "v=DMARC1; p=rejekt"
		late.example. TXT "v=spf1 +all"
	`)
	zones.SetFailure("late.example", mailtest.ServFail)
	zones.SetFailure("_dmarc.late.example", mailtest.ServFail)
	for _, domain := range []string{"bad.example", "late.example"} {
		message := file(t, "From: a@"+domain+"\r\n\r\n")
		sender := []string{"-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@" + domain}
		for _, args := range [][]string{append([]string{"spf"}, sender...), append([]string{"dmarc", message}, sender...)} {
			stdout, stderr, code := run(t, "", args...)
			require.Equal(t, exitOK, code)
			require.Regexp(t, "^(perm|temp)error[^\n]*\n$", stdout)
			require.Regexp(t, `^mailprobe: `+args[0]+`: [^\n]*`+domain+`[^\n]+\n$`, stderr)
		}
	}
	_, stderr, _ := run(t, "", "dmarc", file(t, letter+"\n"), "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "")
	require.Empty(t, stderr)
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t, "example.org", "sel")
	message := file(t, letter)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{
		{"spf", "-ip", "192.0.2.1", "-helo", "x", "-from", "a@example.org"},
		{"dkim", message}, {"dkim", "-json", message}, {"arc", message},
		{"dkim", "-sign", "-domain", "example.org", "-selector", "sel", "-key", key, message},
		{"dmarc", "-ip", "192.0.2.1", "-helo", "x", "-from", "a@example.org", message}, {"idna"},
	} {
		var stdout, stderr bytes.Buffer
		p := &process{args: args, stdin: strings.NewReader("example.org\n"), stdout: &stdout, stderr: &stderr}
		require.Equal(t, exitError, p.runUntil(ctx), args)
		require.Empty(t, stdout.String(), args)
		require.Equal(t, "mailprobe: interrupted\n", stderr.String(), args)
	}
}

func TestInterruptedWhileInputIsAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stdin, w := io.Pipe()
		var stdout, stderr bytes.Buffer
		p := &process{args: []string{"dkim", "-"}, stdin: stdin, stdout: &stdout, stderr: &stderr}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _ = io.WriteString(w, letter)
			cancel()
		}()
		require.Equal(t, exitError, p.runUntil(ctx))
		require.Empty(t, stdout.String())
		require.Equal(t, "mailprobe: interrupted\n", stderr.String())
		require.NoError(t, w.Close())
	})
}

// The first line of an mbox stays where it is, and what stands behind it is signed.
func TestMbox(t *testing.T) {
	t.Parallel()
	const from = "From ann@example.org Mon Jan  1 00:00:00 2024"
	key, record := newKey(t, "example.org", "sel")
	dns, _ := serve(t, record)
	signing := []string{"-domain", "example.org", "-selector", "sel", "-key", key}
	signed := result(t, append([]string{"dkim", "-sign", file(t, from+"\n"+letter)}, signing...)...)
	require.True(t, strings.HasPrefix(signed, from+"\r\nDKIM-Signature: "))
	for _, text := range []string{signed, strings.TrimPrefix(signed, from+"\r\n")} {
		require.Equal(t, "pass d=example.org s=sel a=ed25519-sha256\n", result(t, "dkim", "-resolver", dns, file(t, text)))
	}
	sealed := result(t, append([]string{"arc", "-seal", "-authserv-id", "x", "-resolver", dns, file(t, signed)}, signing...)...)
	require.True(t, strings.HasPrefix(sealed, from+"\r\nARC-Seal: "))
	require.Equal(t, "pass\n", result(t, "arc", "-resolver", dns, file(t, sealed)))
	require.Equal(t, none,
		result(t, "dmarc", "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@b.example", file(t, from+"\n"+letter)))

	// RFC 5322 §4.5.2
	obsolete := result(t, append([]string{"dkim", "-sign", file(t, "From : ann@example.org\n\n")}, signing...)...)
	require.True(t, strings.HasPrefix(obsolete, "DKIM-Signature: "))
}

func TestWhatIsNoMessageIsNotSigned(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t, "example.org", "sel")
	for text, reason := range map[string]string{
		"":                               "exactly one From field, but 0",
		"\n" + letter:                    "exactly one From field, but 0",
		"To: bob@example.net\n\nHi\n":    "exactly one From field, but 0",
		"From: a@b.example\n" + letter:   "exactly one From field, but 2",
		": x\n" + letter:                 "line 1 of the message is no header field",
		"To: a\n b\nno colon\n" + letter: "line 3 of the message is no header field",
		"Dear Bob\n":                     "line 1 of the message is no header field",
	} {
		for _, args := range [][]string{{"dkim", "-sign"}, {"arc", "-seal", "-authserv-id", "x"}} {
			args = append(args, "-domain", "example.org", "-selector", "sel", "-key", key, file(t, text))
			stdout, stderr, code := run(t, "", args...)
			require.Equal(t, exitError, code, "%q", text)
			require.Empty(t, stdout, "%q", text)
			require.Contains(t, stderr, reason, "%q", text)
		}
	}
	headerOnly := result(t, "dkim", "-sign", "-domain", "example.org", "-selector", "sel", "-key", key,
		file(t, "From: a@example.org\n"))
	require.True(t, strings.HasSuffix(headerOnly, "\r\nFrom: a@example.org\r\n"))
}

func TestSealingTellsOfTheChain(t *testing.T) {
	t.Parallel()
	key, record := newKey(t, "example.org", "sel")
	dns, zones := serve(t, record)
	seal := func(text string, more ...string) (stdout, stderr string, code int) {
		t.Helper()
		return run(t, "", append([]string{"arc", "-seal", "-domain", "example.org", "-selector", "sel", "-key", key,
			"-authserv-id", "x", "-resolver", dns, file(t, text)}, more...)...)
	}
	one, stderr, code := seal(letter)
	require.Equal(t, exitOK, code)
	require.Empty(t, stderr)

	failed, stderr, code := seal(one + "PS\r\n")
	require.Equal(t, exitOK, code)
	require.Contains(t, failed, "cv=fail")
	require.Regexp(t, "^mailprobe: sealed with cv=fail: arc: message signature did not verify[^\n]+\n$", stderr)
	again, stderr, code := seal(failed)
	require.Equal(t, exitOK, code)
	require.Equal(t, failed, again)
	require.Equal(t, "mailprobe: nothing is added: arc: chain was sealed as failed: i=2\n", stderr)
	fields, stderr, _ := seal(failed, "-json")
	require.JSONEq(t, `{"fields": ""}`, fields)
	require.NotEmpty(t, stderr)

	private, err := signer{Key: key}.privateKey()
	require.NoError(t, err)
	sealer := arc.Sealer{Domain: "example.org", Selector: "sel", Key: private}
	full := one
	for range arc.MaxSets - 1 { // without verifying each, which takes long
		set, err := sealer.Seal(strings.NewReader(full), arc.Pass, "")
		require.NoError(t, err)
		full = set + full
	}
	more, stderr, code := seal(full)
	require.Equal(t, []any{exitOK, full}, []any{code, more})
	require.Equal(t, "mailprobe: nothing is added: the chain has 50 sets, the most there can be\n", stderr)

	zones.SetFailure("sel._domainkey.example.org", mailtest.ServFail)
	stdout, stderr, code := seal(one)
	require.Equal(t, exitError, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "cannot be verified for now")
}

// Every subcommand takes a header that is too large for a fault of the message.
func TestHeaderThatIsTooLarge(t *testing.T) {
	t.Parallel()
	dns, _ := serve(t, `example.org. TXT "v=spf1 -all"`)
	message := file(t, letter[:strings.Index(letter, "\n\n")+1]+strings.Repeat("X: y\n", mailbricks.DefaultMaxHeader/5)+"\n")
	require.Regexp(t, "^permerror ", result(t, "dkim", "-resolver", dns, message))
	require.Regexp(t, "^fail ", result(t, "arc", "-resolver", dns, message))
	args := []string{"dmarc", "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@example.org", message}
	stdout, stderr, code := run(t, "", args...)
	require.Equal(t, exitOK, code)
	require.Equal(t, "permerror policy=- disposition=none domain=- org=-\n", stdout)
	require.Equal(t, "mailprobe: the header is longer than 1048576 octets\n", stderr)
	v := decoded[struct {
		SPF   struct{ Result string }
		DMARC struct{ Result, Err string }
	}](t, args...)
	require.Equal(t, []string{"fail", "permerror"}, []string{v.SPF.Result, v.DMARC.Result})
}

func TestUnknownOptionIsNamed(t *testing.T) {
	t.Parallel()
	for args, option := range map[string]string{
		"spf -IP 192.0.2.1 -helo x -from y": "--IP", "-IP 192.0.2.1 spf": "--IP", "spf -IP=192.0.2.1": "--IP", "dkim -x a b c": "-x",
		"dkim -ip 192.0.2.1 a": "--ip", // another command's
	} {
		_, stderr, code := run(t, "", strings.Fields(args)...)
		require.Equal(t, exitUsage, code)
		require.Regexp(t, "^mailprobe: unknown (option|flag) "+option+"\\b", stderr, args)
	}
}

func TestJSONOfRecords(t *testing.T) {
	t.Parallel()
	dns, _ := serve(t, `_dmarc.example.org. TXT "v=DMARC1; p=reject; psd=n"`)
	v := decoded[struct {
		DMARC struct {
			Org    string `json:"org_domain"`
			Record struct{ PSD string }
		}
		Org string `json:"org_domain"`
	}](t, "dmarc", "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "", file(t, "From: a@example.org\n\n"))
	require.Equal(t, []string{"example.org", "example.org", "n"}, []string{v.DMARC.Org, v.Org, v.DMARC.Record.PSD})
}

func TestKeyOfAnotherType(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	name := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	_, stderr, code := run(t, "", "dkim", "-sign", "-domain", "example.org", "-selector", "s", "-key", name, file(t, letter))
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "DKIM has no keys of type EC")
}
