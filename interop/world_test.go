//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
)

// patience is how long anything may take that should be quick; machines are slow and shared.
const patience = 60 * time.Second

// fullserver is the built program.
var fullserver string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "interop-*")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		fullserver = filepath.Join(dir, "fullserver")
		build := exec.Command("go", "build", "-o", fullserver, "../examples/fullserver")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			log.Fatal(err)
		}
		return m.Run()
	}())
}

// need ends the test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed; CONTRIBUTING.md says how to install what these tests need", p)
		}
	}
}

// world is a DNS and an authority for certificates that hosts of one test share. Its hosts have addresses of their own,
// so that each can use the real port numbers.
type world struct {
	t       *testing.T
	net     int // third octet of the addresses
	dir     string
	dns     *mailtest.DNS
	dnsAddr string
	ca      *mailtest.CA

	mu   sync.Mutex
	zone strings.Builder
}

var worlds atomic.Int32

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, net: int(worlds.Add(1)) - 1, dir: t.TempDir(), dns: mailtest.MustZone(t, ""), ca: mailtest.NewCA()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	require.NoError(t, err)
	w.dnsAddr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.dns.Serve(ctx, pc, ln) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.NoError(t, os.WriteFile(w.caFile(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Root().Raw}), 0o600))
	return w
}

func (w *world) caFile() string { return filepath.Join(w.dir, "ca.pem") }

// ip is the address of the world's n-th host.
func (w *world) ip(n int) string { return fmt.Sprintf("127.0.%d.%d", w.net, n) }

// publish adds records to the DNS.
func (w *world) publish(records string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.zone.WriteString(records + "\n")
	require.NoError(w.t, w.dns.Replace(w.zone.String()))
}

// publishHost adds a host and a domain whose mail it takes and sends.
func (w *world) publishHost(host, ip, domain string) {
	octets := strings.Split(ip, ".")
	w.publish(fmt.Sprintf("%[1]s. IN A %[2]s\n%[4]s.%[5]s.%[6]s.%[7]s.in-addr.arpa. IN PTR %[1]s.\n"+
		"%[3]s. IN MX 10 %[1]s.\n%[3]s. IN TXT \"v=spf1 mx -all\"\n%[1]s. IN TXT \"v=spf1 a -all\"\n_dmarc.%[3]s. IN TXT \"v=DMARC1; p=reject\"",
		host, ip, domain, octets[3], octets[2], octets[1], octets[0]))
}

// host is a fullserver.
type host struct {
	*world
	name, ip, domain string
	dir, conf        string
	cmd              *exec.Cmd
	log              *lockedBuffer
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newHost makes mail.DOMAIN at the world's n-th address, with the accounts ann@ and bob@ and their password "secret",
// published in the DNS with a DKIM key. It is not started.
func (w *world) newHost(n int, domain string, config ...string) *host {
	w.t.Helper()
	h := &host{world: w, name: "mail." + domain, ip: w.ip(n), domain: domain, log: &lockedBuffer{}}
	h.dir = filepath.Join(w.dir, domain)
	require.NoError(w.t, os.Mkdir(h.dir, 0o700))
	h.conf = filepath.Join(h.dir, "fullserver.toml")
	w.certificate(h)
	w.publishHost(h.name, h.ip, domain)
	h.configure(config...)
	h.must("email", "add", h.user("ann"), "secret")
	h.must("email", "add", h.user("bob"), "secret")
	record := strings.Split(strings.TrimSpace(h.must("dkim", domain)), "\n")
	w.publish(record[len(record)-1])
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", h.name, h.log)
		}
	})
	return h
}

// certificate issues one for the host's name and address.
func (w *world) certificate(h *host) {
	pair := w.ca.Certificate(h.name, h.ip)
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(filepath.Join(h.dir, "cert.pem"), chain, 0o600))
	require.NoError(w.t, os.WriteFile(filepath.Join(h.dir, "key.pem"),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

// configure writes the configuration; lines are added at its end.
func (h *host) configure(lines ...string) {
	h.t.Helper()
	text := fmt.Sprintf(`hostname = %q
data_dir = %q
[listen]
smtp = ["%[3]s:25"]
submission = ["%[3]s:587"]
submissions = ["%[3]s:465"]
imap = ["%[3]s:143"]
imaps = ["%[3]s:993"]
pop3 = ["%[3]s:110"]
pop3s = ["%[3]s:995"]
[tls]
mode = "manual"
cert = %[4]q
key = %[5]q
[dns]
servers = [%[6]q]
[log]
level = "debug"
`, h.name, filepath.Join(h.dir, "data"), h.ip, filepath.Join(h.dir, "cert.pem"), filepath.Join(h.dir, "key.pem"), h.dnsAddr)
	if !strings.Contains(strings.Join(lines, "\n"), "[outbound]") {
		text += fmt.Sprintf("[outbound]\nbind = [%q]\nretry = \"2s\"\n", h.ip)
	}
	require.NoError(h.t, os.WriteFile(h.conf, []byte(text+strings.Join(lines, "\n")+"\n"), 0o600))
}

func (h *host) user(name string) string { return name + "@" + h.domain }

// run runs a command of fullserver.
func (h *host) run(args ...string) (string, error) {
	out, err := exec.Command(fullserver, append([]string{"-config", h.conf}, args...)...).CombinedOutput()
	return string(out), err
}

func (h *host) must(args ...string) string {
	h.t.Helper()
	out, err := h.run(args...)
	require.NoError(h.t, err, "%v: %s", args, out)
	return out
}

// start runs the server until the test ends, or stop or kill is called.
func (h *host) start() {
	h.t.Helper()
	cmd := exec.Command(fullserver, "-config", h.conf, "serve")
	cmd.Stderr, cmd.Stdout = h.log, h.log
	require.NoError(h.t, cmd.Start())
	h.cmd = cmd
	h.t.Cleanup(func() {
		if h.cmd == cmd {
			h.stop()
		}
	})
	eventually(h.t, "health of "+h.name, func() error {
		_, err := h.run("health")
		return err
	})
}

// stop ends the server as an administrator does.
func (h *host) stop() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(h.t, h.cmd.Wait(), "SIGTERM ends with exit code 0")
	h.cmd = nil
}

// kill ends it as a crash does.
func (h *host) kill() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Kill())
	_ = h.cmd.Wait() // "signal: killed"
	h.cmd = nil
}

// files are the messages that an account has in a folder of the Maildir, in no order.
func (h *host) files(user, folder string) []string {
	h.t.Helper()
	var files []string
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(h.dir, "data", "mail", h.domain, user, folder, sub)
		entries, err := os.ReadDir(dir)
		if err != nil {
			require.ErrorIs(h.t, err, fs.ErrNotExist)
			continue
		}
		for _, e := range entries {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// wait waits until an account has n messages in a folder and gives them.
func (h *host) wait(user, folder string, n int) []string {
	h.t.Helper()
	var contents []string
	eventually(h.t, fmt.Sprintf("%d messages of %s in %q", n, h.user(user), folder), func() error {
		files := h.files(user, folder)
		if len(files) != n {
			return fmt.Errorf("%d messages", len(files))
		}
		contents = nil
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			contents = append(contents, string(b))
		}
		return nil
	})
	return contents
}

// eventually waits until what gives no error. Other programs are waited for here: there is no clock to turn.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// sh runs a command line with variables and gives what it printed.
func sh(t *testing.T, script string, env ...string) string {
	t.Helper()
	out, err := shell(script, env...)
	require.NoError(t, err, "%s\n%s", script, out)
	return out
}

func shell(script string, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -eo pipefail; "+script)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// env gives a host to scripts.
func (h *host) env() []string {
	return []string{"H=" + h.ip, "NAME=" + h.name, "CA=" + h.caFile(), "CERT=" + filepath.Join(h.dir, "cert.pem")}
}

// header unfolds the header of a message and gives the values of a field.
func header(message, name string) []string {
	head, _, _ := strings.Cut(message, "\r\n\r\n")
	head = strings.ReplaceAll(strings.ReplaceAll(head, "\r\n\t", " "), "\r\n ", " ")
	var values []string
	for line := range strings.Lines(head) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}
