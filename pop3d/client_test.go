package pop3d_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/pop3d"
)

// onLoopback starts a server for others' clients, with two messages for ann; clear and secure are its ports, and roots is
// a file with the authority that its certificate is from.
func onLoopback(t *testing.T) (inbox mailbox.Mailbox, clear, secure, roots string) {
	t.Helper()
	ca := mailtest.NewCA()
	account := memory.New(mailbox.Limit{})
	inbox, err := account.Store().Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	for _, m := range []string{"Subject: first\r\n\r\n.dot\r\n..\r\n", "Subject: second\r\n\r\n" + strings.Repeat("0123456789\r\n", 50_000)} {
		_, err := inbox.Append(t.Context(), strings.NewReader(m), mailbox.AppendOptions{Size: int64(len(m))})
		require.NoError(t, err)
	}
	srv := &pop3d.Server{
		Hostname: "localhost", Auth: users{}, TLSConfig: ca.ServerConfig("localhost", "127.0.0.1"),
		Store: func(context.Context, mailbricks.Identity) (mailbox.Store, error) { return account.Store(), nil },
	}
	done := make(chan error, 2)
	port := func(serve func(net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() { done <- serve(l) }()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		return port
	}
	clear, secure = port(srv.Serve), port(srv.ServeTLS)
	roots = filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(roots, pemOf(ca.Root()), 0o600))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		require.ErrorIs(t, <-done, pop3d.ErrServerClosed)
		require.ErrorIs(t, <-done, pop3d.ErrServerClosed)
	})
	return inbox, clear, secure, roots
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// program runs a program that may not be there.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

const poplibSession = `
import poplib, ssl, sys
clear, secure, roots = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=roots)
try:
    p = poplib.POP3('127.0.0.1', clear, timeout=30)
    p.user('ann@example.com')
    sys.exit('log-in without TLS')
except poplib.error_proto:
    p.quit()
p = poplib.POP3('127.0.0.1', clear, timeout=30)
assert 'STLS' in p.capa()
p.stls(context)
assert 'STLS' not in p.capa()
p.user('ann@example.com')
p.pass_('secret')
count, octets = p.stat()
assert count == 2
response, listing, _ = p.list()
assert sum(int(line.split()[1]) for line in listing) == octets
_, lines, _ = p.retr(1)
assert lines == [b'Subject: first', b'', b'.dot', b'..'], lines
_, lines, _ = p.retr(2)
assert len(b'\r\n'.join(lines)) + 2 == int(listing[1].split()[1])
_, lines, _ = p.top(2, 1)
assert lines == [b'Subject: second', b'', b'0123456789'], lines
_, ids, _ = p.uidl()
assert p.uidl(2).split()[2] == ids[1].split()[1]
q = poplib.POP3_SSL('127.0.0.1', secure, context=context, timeout=30)
q.user('ann@example.com')
try:
    q.pass_('secret')
    sys.exit('two sessions')
except poplib.error_proto as e:
    assert b'[IN-USE]' in e.args[0]
q.quit()
p.dele(1)
p.rset()
p.dele(1)
p.noop()
p.quit()
`

func TestPoplib(t *testing.T) {
	t.Parallel()
	inbox, clear, secure, roots := onLoopback(t)
	program(t, "python3", "-c", poplibSession, clear, secure, roots)
	uids, _, err := inbox.UIDs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []mailbox.UID{2}, uids)
}

func TestCurl(t *testing.T) {
	t.Parallel()
	inbox, clear, secure, roots := onLoopback(t)
	common := []string{"--silent", "--show-error", "--cacert", roots, "--user", "ann@example.com:secret", "--max-time", "30"}
	out := program(t, "curl", append(common, "--ssl-reqd", "pop3://127.0.0.1:"+clear+"/1")...)
	require.Equal(t, "Subject: first\r\n\r\n.dot\r\n..\r\n", out)
	out = program(t, "curl", append(common, "pop3s://127.0.0.1:"+secure+"/")...)
	require.Equal(t, "1 28\r\n2 600019\r\n", out)
	out = program(t, "curl", append(common, "--sasl-ir", "--login-options", "AUTH=PLAIN", "pop3s://127.0.0.1:"+secure+"/2")...)
	require.Len(t, out, 600019)
	program(t, "curl", append(common, "--request", "DELE 1", "--head", "pop3s://127.0.0.1:"+secure+"/")...)
	uids, _, err := inbox.UIDs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []mailbox.UID{2}, uids)
}
