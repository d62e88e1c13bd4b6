package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// run runs a command line in this process.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{args: args, stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}
	code = p.run(t.Context())
	return out.String(), errs.String(), code
}

// testConfig is a server on free ports of 127.0.0.1.
func testConfig(t *testing.T, services ...string) (file string, ports map[string]string) {
	t.Helper()
	dir := t.TempDir()
	ports = map[string]string{}
	var listen strings.Builder
	for _, s := range services {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close() // when all have one, or two have the same
		ports[s] = ln.Addr().String()
		fmt.Fprintf(&listen, "%s = [%q]\n", s, ports[s])
	}
	file = filepath.Join(dir, "fullserver.toml")
	text := fmt.Sprintf("hostname = \"mail.example.com\"\ndata_dir = %q\n[log]\nlevel = \"error\"\n[listen]\n%s[limits]\nfree_space = \"1M\"\n", filepath.Join(dir, "data"), listen.String())
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file, ports
}

// serve runs the server until the test ends.
func serve(t *testing.T, file string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		p := &process{args: []string{"-config", file, "serve"}, stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &errs}
		done <- p.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		require.Equal(t, exitOK, <-done, errs.String())
	})
	require.Eventually(t, func() bool {
		_, _, code := run(t, "", "-config", file, "health")
		return code == exitOK
	}, 20*time.Second, 20*time.Millisecond)
}

func TestAccountsAliasesAndQuotasOnTheCommandLine(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{false, true} {
		t.Run(map[bool]string{false: "offline", true: "running"}[running], func(t *testing.T) {
			t.Parallel()
			file, _ := testConfig(t, "smtp", "imap")
			if running {
				serve(t, file)
			}
			do := func(stdin string, args ...string) (string, string, int) {
				t.Helper()
				return run(t, stdin, append([]string{"--config", file}, args...)...)
			}
			good := func(stdin string, args ...string) string {
				t.Helper()
				out, errs, code := do(stdin, args...)
				require.Equal(t, exitOK, code, errs)
				return out
			}
			bad := func(want string, args ...string) {
				t.Helper()
				_, errs, code := do("", args...)
				require.Equal(t, exitError, code)
				require.Contains(t, errs, want)
				require.Equal(t, 1, strings.Count(errs, "\n"))
			}
			good("", "email", "add", "ann@example.com", "secret")
			good("from stdin\n", "email", "add", "bob@example.com")
			bad("should include the domain (eg: user@example.com)", "email", "add", "ann", "secret")
			bad("already exists", "email", "add", "Ann@example.com", "secret")
			bad("no password", "email", "add", "cleo@example.com")
			good("", "alias", "add", "sales@example.com", "ann@example.com")
			good("", "alias", "add", "sales@example.com", "bob@example.org")
			bad("is already defined as an alias", "email", "add", "sales@example.com", "x")
			good("", "alias", "add", "@example.net", "ann@example.com")
			good("", "alias", "add", `/^info-.*@example\.com$/`, "ann@example.com")
			require.Equal(t, "* sales@example.com ann@example.com,bob@example.org\n* @example.net ann@example.com\n* /^info-.*@example\\.com$/ ann@example.com\n", good("", "alias", "list"))
			good("", "quota", "set", "ann@example.com", "5G")
			bad("is not a size", "quota", "set", "ann@example.com", "123")
			bad("does not exist", "quota", "set", "nobody@example.com", "5G")
			require.Equal(t, "* ann@example.com ( 0 / 5G ) [0%]\n    [ aliases -> sales@example.com, @example.net ]\n* bob@example.com ( 0 / ~ ) [0%]\n", good("", "email", "list"))
			var lines []accountLine
			require.NoError(t, json.Unmarshal([]byte(good("", "email", "list", "-json")), &lines))
			require.Equal(t, accountLine{Address: "ann@example.com", Limit: 5 << 30, Aliases: []string{"sales@example.com", "@example.net"}}, lines[0])
			good("", "quota", "del", "ann@example.com")
			good("", "email", "update", "ann@example.com", "fresh")
			good("", "email", "del", "ann@example.com", "--purge")
			require.Equal(t, "* sales@example.com bob@example.org\n", good("", "alias", "list"))
			bad("does not exist", "email", "del", "ann@example.com")
			require.Equal(t, "The queue is empty.\n", good("", "queue", "list"))
			require.Equal(t, "[]\n", good("", "queue", "list", "--json"))
			bad("no such message", "queue", "show", "x")
			_, err := os.Stat(filepath.Join(filepath.Dir(file), "data", "mail", "example.com", "ann"))
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

func TestUnknownCommandsExitWith2(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t)
	for _, args := range [][]string{{"bogus"}, {"email", "bogus"}, {"queue", "bogus", "x"}} {
		_, errs, code := run(t, "", append([]string{"-config", file}, args...)...)
		require.Equal(t, exitUnknown, code, "%v: %s", args, errs)
	}
	for _, args := range [][]string{{"email", "add"}, {"email", "list", "-bogus"}, {"serve"}} {
		_, errs, code := run(t, "", append([]string{"-config", file}, args...)...)
		require.Equal(t, exitError, code, "%v: %s", args, errs)
	}
	out, _, code := run(t, "", "--help")
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "email add")
	out, _, code = run(t, "", "version")
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "go1.")
}

func TestDKIMAndDNSRecords(t *testing.T) {
	t.Parallel()
	file, ports := testConfig(t, "smtp", "submission", "imaps")
	_, imaps, err := net.SplitHostPort(ports["imaps"])
	require.NoError(t, err)
	good := func(args ...string) string {
		t.Helper()
		out, errs, code := run(t, "", append([]string{"-config", file}, args...)...)
		require.Equal(t, exitOK, code, errs)
		return out
	}
	require.Contains(t, good("dns", "example.com"), "; DKIM: example.com has no key yet")
	out := good("dkim", "example.com")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, "mail._domainkey.example.com", lines[0])
	require.Regexp(t, `^v=DKIM1;.*p=`, lines[1])
	require.Regexp(t, `^mail\._domainkey\.example\.com\. IN TXT \( "v=DKIM1;[^"]{200,}" "[^"]+" \)$`, lines[2])
	require.Equal(t, out, good("dkim", "example.com"), "a key is made once")
	require.Contains(t, good("dkim", "example.com", "-selector", "ed", "-type", "ed25519"), "k=ed25519")
	_, errs, code := run(t, "", "-config", file, "dkim", "example.com", "-type", "dsa")
	require.Equal(t, exitError, code, errs)

	zone := good("dns", "example.com")
	for _, want := range []string{
		"example.com. IN MX 10 mail.example.com.", `example.com. IN TXT ( "v=spf1 mx -all" )`, "_dmarc.example.com. IN TXT",
		"mail._domainkey.example.com. IN TXT", "ed._domainkey.example.com. IN TXT", "_imaps._tcp.example.com. IN SRV 0 1 " + imaps + " mail.example.com.",
	} {
		require.Contains(t, zone, want)
	}
	require.NotContains(t, zone, "_pop3")
	require.Contains(t, zone, "; address: mail.example.com. IN A 192.0.2.1, with this server's address in place of that")
	require.Contains(t, zone, "; reverse: the PTR records of these addresses must be mail.example.com.")
	for line := range strings.Lines(zone) {
		require.Regexp(t, `^(;|[-_a-z.]+\. IN (MX|TXT|SRV) )`, line, "it can be pasted")
	}
	_, errs, code = run(t, "", "-config", file, "dns", "not a domain")
	require.Equal(t, exitError, code)
	require.Equal(t, "fullserver: \"not a domain\" is not a domain name\n", errs)
	var records []dnsRecord
	require.NoError(t, json.Unmarshal([]byte(good("dns", "example.com", "--json")), &records))
	require.Equal(t, "MX", records[0].Type)
	for _, r := range records {
		require.NotEmpty(t, r.Value)
	}
}

func TestASecondServerOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t, "smtp")
	serve(t, file)
	_, errs, code := run(t, "", "-config", file, "serve")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "is in use by another fullserver")
	data := filepath.Join(filepath.Dir(file), "data")
	other, _ := testConfig(t, "smtp")
	text, err := os.ReadFile(other)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(other, []byte(strings.ReplaceAll(string(text), filepath.Join(filepath.Dir(other), "data"), data)), 0o600))
	_, errs, code = run(t, "", "-config", other, "serve")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "is in use by another fullserver")
}

// What a command without a server does is not logged: it says what there is to say.
func TestCommandsDoNotLog(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t, "smtp")
	c, err := loadConfig(file, []string{"FULLSERVER_LOG_LEVEL=debug"}, false)
	require.NoError(t, err)
	require.Equal(t, "warn", c.quiet().log.level)
	require.Equal(t, "debug", c.log.level)
	c.log.level = "error"
	require.Equal(t, "error", c.quiet().log.level)
	// The level while a command runs.
	c.log.level = "info"
	probe := &levelProbe{}
	_, err = runHere(t.Context(), c, probe)
	require.NoError(t, err)
	require.Equal(t, slog.LevelError, probe.level)
}

// levelProbe is a command that looks at the log.
type levelProbe struct{ level slog.Level }

func (p *levelProbe) runOn(_ context.Context, a *app, _ io.Writer) error {
	p.level = a.logging.level.Level()
	return nil
}

// writePair writes a certificate and its key as PEM.
func writePair(t *testing.T, dir string, pair tls.Certificate) {
	t.Helper()
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert.pem"), chain, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}
