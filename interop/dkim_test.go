//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

// debianPython has Debian's dkimpy; another Python may come first in the path.
const debianPython = "/usr/bin/python3"

var canonicalizations = []string{"simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"}

// dkimWorld has keys, a DNS at port 53 of an address of its own that publishes them, and other programs that sign and
// verify.
type dkimWorld struct {
	*world
	keys    map[string]crypto.Signer // by selector
	records map[string]string        // by name
	ns      string                   // the address of the DNS
}

func newDKIMWorld(t *testing.T) *dkimWorld {
	t.Helper()
	need(t, debianPython, "perl", "opendkim-testmsg", "unshare")
	w := &dkimWorld{world: newWorld(t), keys: make(map[string]crypto.Signer), records: make(map[string]string)}
	for selector, typ := range map[string]string{"rsa": "rsa", "ed": "ed25519"} {
		key, err := dkim.GenerateKey(typ, 0)
		require.NoError(t, err)
		record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: "a.test", Selector: selector})
		require.NoError(t, err)
		w.keys[selector], w.records[record.Name] = key, record.Value
		w.publish(record.Zone())
	}
	pem, err := dkim.MarshalPrivateKey(w.keys["rsa"])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.keyFile(), pem, 0o600))

	var pc net.PacketConn
	var ln net.Listener
	for n := 53; ln == nil; n++ { // other tests may run at the same time
		require.Less(t, n, 250, "%v", err)
		w.ns = w.ip(n)
		if pc, err = net.ListenPacket("udp", w.ns+":53"); err != nil {
			continue
		}
		if ln, err = net.Listen("tcp", w.ns+":53"); err != nil {
			ln = nil
			require.NoError(t, pc.Close())
		}
	}
	require.NoError(t, os.WriteFile(w.resolvConf(), []byte("nameserver "+w.ns+"\n"), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.dns.Serve(ctx, pc, ln) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return w
}

func (w *dkimWorld) keyFile() string    { return filepath.Join(w.dir, "rsa.pem") }
func (w *dkimWorld) resolvConf() string { return filepath.Join(w.dir, "resolv.conf") }

// run gives a program a message and returns what it writes.
func (w *dkimWorld) run(message, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(message)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil && stderr.Len() > 0 {
		err = fmt.Errorf("it complains")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", program, err, stderr.String())
	}
	return out, err
}

func (w *dkimWorld) python(message string, job map[string]any) ([]byte, error) {
	job["zone"] = w.records
	text, err := json.Marshal(job)
	require.NoError(w.t, err)
	return w.run(message, debianPython, "testdata/dkimpy.py", string(text))
}

// Each peer verifies a message with so many signatures, the last by an RSA key.

func (w *dkimWorld) dkimpyVerifies(message string, signatures int) error {
	_, err := w.python(message, map[string]any{"do": "verify", "signatures": signatures})
	return err
}

func (w *dkimWorld) mailDKIMVerifies(message string, _ int) error {
	_, err := w.run(message, "perl", "testdata/maildkim.pl", "verify", w.ns)
	return err
}

// opendkimVerifies gives OpenDKIM, which asks where /etc/resolv.conf says, a file of that name of its own.
func (w *dkimWorld) opendkimVerifies(message string, _ int) error {
	const script = `mount --bind "$0" /etc/resolv.conf && exec opendkim-testmsg -C -t "$1"`
	out, err := w.run(message, "unshare", "-m", "sh", "-c", script, w.resolvConf(), w.dir)
	if err == nil && len(out) > 0 {
		err = fmt.Errorf("opendkim-testmsg: %s", out)
	}
	return err
}

// Each peer signs a message and returns it.

func (w *dkimWorld) dkimpySigns(message, selector, canonicalization string) (string, error) {
	job := map[string]any{
		"do": "sign", "domain": "a.test", "selector": selector, "canonicalization": canonicalization, "algorithm": "rsa-sha256",
	}
	if key, ok := w.keys[selector].(ed25519.PrivateKey); ok {
		job["algorithm"], job["key"] = "ed25519-sha256", base64.StdEncoding.EncodeToString(key.Seed())
	} else {
		pem, err := os.ReadFile(w.keyFile())
		require.NoError(w.t, err)
		job["key"] = string(pem)
	}
	field, err := w.python(message, job)
	return string(field) + message, err
}

func (w *dkimWorld) mailDKIMSigns(message, selector, canonicalization string) (string, error) {
	field, err := w.run(message, "perl", "testdata/maildkim.pl", "sign", "a.test", selector, w.keyFile(), canonicalization)
	return string(field) + message, err
}

func (w *dkimWorld) opendkimSigns(message, selector, canonicalization string) (string, error) {
	field, err := w.run(message, debianPython, "testdata/opendkim.py", "a.test", selector, w.keyFile(), canonicalization)
	return string(field) + message, err
}

// letterOf makes a message of about n octets with all that canonicalization looks at, and a header that is not ASCII.
func letterOf(n int) string {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	var b strings.Builder
	b.WriteString("Received: from x by y;\r\n\tTue, 24 Nov 2026 20:00:00 +0000\r\n" +
		"From: =?utf-8?q?J=C3=B6rg?= \"J\u00f6rg\" <joerg@a.test>\r\nTo:  bob@b.test ,\r\n  \t carol@b.test\r\n" +
		"SUBJECT: Gr\u00fc\u00dfe \u2014  \u4e16\u754c\t \r\n \r\n\tund mehr\r\nDate: Tue, 24 Nov 2026 20:00:00 +0000\r\n" +
		"Message-ID: <1@a.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	for b.Len() < n {
		switch random.IntN(8) {
		case 0:
			b.WriteString(strings.Repeat("\r\n", random.IntN(4)))
		case 1:
			b.WriteString("\tindented  twice \u00e4\t\r\n")
		case 2:
			b.WriteString(".\r\n..\r\n   \r\n")
		default:
			b.WriteString(strings.Repeat("some words ", 1+random.IntN(7)) + "\r\n")
		}
	}
	return b.String() + "the end \t \r\n\r\n \r\n\r\n"
}

// sizes of the messages that are signed in every way, and the largest, which is only signed in two.
var (
	smallSizes = []int{0, 1 << 10, 100 << 10}
	largest    = 20 << 20
)

func eachLetter(t *testing.T, test func(t *testing.T, message, canonicalization string)) {
	for _, n := range smallSizes {
		for _, c := range canonicalizations {
			t.Run(fmt.Sprintf("%d/%s", n, c), func(t *testing.T) { test(t, letterOf(n), c) })
		}
	}
	for _, c := range []string{"simple/simple", "relaxed/relaxed"} {
		t.Run(fmt.Sprintf("%d/%s", largest, c), func(t *testing.T) { test(t, letterOf(largest), c) })
	}
}

func TestOtherProgramsVerifyOurDKIMSignatures(t *testing.T) {
	w := newDKIMWorld(t)
	for name, verifies := range map[string]func(message string, signatures int) error{
		"dkimpy": w.dkimpyVerifies, "Mail-DKIM": w.mailDKIMVerifies, "OpenDKIM": w.opendkimVerifies,
	} {
		t.Run(name, func(t *testing.T) {
			eachLetter(t, func(t *testing.T, message, c string) {
				signers := []*dkim.Signer{{Domain: "a.test", Selector: "rsa", Key: w.keys["rsa"], Canonicalization: c}}
				if name == "dkimpy" { // the others do not know Ed25519
					signers = append(signers, &dkim.Signer{Domain: "a.test", Selector: "ed", Key: w.keys["ed"], Canonicalization: c})
				}
				fields, err := dkim.Sign(strings.NewReader(message), signers...)
				require.NoError(t, err)
				require.NoError(t, verifies(fields+message, len(signers)))
			})
			// What is changed does not verify, so the above tells something.
			fields, err := dkim.Sign(strings.NewReader(letterOf(0)), &dkim.Signer{Domain: "a.test", Selector: "rsa", Key: w.keys["rsa"]})
			require.NoError(t, err)
			require.Error(t, verifies(fields+letterOf(0)+"more\r\n", 1))
		})
	}
}

func TestWeVerifyDKIMSignaturesOfOtherPrograms(t *testing.T) {
	w := newDKIMWorld(t)
	type signs = func(message, selector, canonicalization string) (string, error)
	for _, peer := range []struct {
		name, selector, algorithm string
		signs                     signs
	}{
		{"dkimpy", "rsa", "rsa-sha256", w.dkimpySigns},
		{"dkimpy", "ed", "ed25519-sha256", w.dkimpySigns},
		{"Mail-DKIM", "rsa", "rsa-sha256", w.mailDKIMSigns},
		{"OpenDKIM", "rsa", "rsa-sha256", w.opendkimSigns},
	} {
		t.Run(peer.name+"/"+peer.algorithm, func(t *testing.T) {
			eachLetter(t, func(t *testing.T, message, c string) {
				signed, err := peer.signs(message, peer.selector, c)
				require.NoError(t, err)
				results, err := dkim.Verify(t.Context(), strings.NewReader(signed), w.dns.Resolver(), dkim.Options{})
				require.NoError(t, err)
				require.Len(t, results, 1)
				require.Equal(t, dkim.Pass, results[0].Status, "%v", results[0].Err)
				require.Equal(t, peer.algorithm, results[0].Algorithm)

				results, err = dkim.Verify(t.Context(), io.MultiReader(strings.NewReader(signed), strings.NewReader("more\r\n")),
					w.dns.Resolver(), dkim.Options{})
				require.NoError(t, err)
				require.Equal(t, dkim.Fail, results[0].Status)
			})
		})
	}
}

// opendkim-testmsg signs with rsa-sha1 and nothing else, which RFC 8301 §3.1 forbids to accept.
func TestWhatOpendkimTestmsgSignsIsRefusedForItsAlgorithm(t *testing.T) {
	w := newDKIMWorld(t)
	signed, err := w.run(letterOf(0), "opendkim-testmsg", "-C", "-d", "a.test", "-s", "rsa", "-k", w.keyFile(), "-t", w.dir)
	require.NoError(t, err)
	results, err := dkim.Verify(t.Context(), bytes.NewReader(signed), w.dns.Resolver(), dkim.Options{})
	require.NoError(t, err)
	require.Len(t, results, 1)
	require.Equal(t, dkim.PermError, results[0].Status)
	require.ErrorIs(t, results[0].Err, dkim.ErrAlgorithm)
	require.Equal(t, "rsa-sha1", results[0].Algorithm)
	require.Empty(t, w.dns.Queries(), "no key is asked for")
}
