//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// exim is an Exim of the test's own, as mail.DOMAIN at the world's n-th address. It stores the mail for DOMAIN in one
// Maildir and sends all other to the world's host 9.
type exim struct {
	*world
	ip, dir string
}

func (w *world) newExim(n int, domain string) *exim {
	w.t.Helper()
	need(w.t, "exim4")
	if os.Geteuid() != 0 {
		w.t.Skip("Exim listens at port 25 as root only")
	}
	dir, err := os.MkdirTemp("", "exim-*") // not in the test's own folder, which its user cannot enter
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, os.RemoveAll(dir)) })
	x := &exim{world: w, ip: w.ip(n), dir: dir}
	w.publishHost("mail."+domain, x.ip, domain)
	pair := &host{world: w, name: "mail." + domain, ip: x.ip, dir: filepath.Join(dir, "etc")}
	require.NoError(w.t, os.Mkdir(pair.dir, 0o755))
	w.certificate(pair)
	const script = `
cp $CA $D/etc/ca.pem; mkdir $D/spool $D/mail; chown -R Debian-exim $D; chmod 755 $D
cat >$D/exim.conf <<EOF
exim_path = $(command -v exim4)
spool_directory = $D/spool
log_file_path = $D/%slog
pid_file_path = $D/spool/pid
primary_hostname = mail.$DOMAIN
local_interfaces = $IP
daemon_smtp_ports = 25
deliver_drop_privilege
keep_environment =
never_users =
host_lookup =
rfc1413_hosts =
tls_advertise_hosts = *
tls_certificate = $D/etc/cert.pem
tls_privatekey = $D/etc/key.pem
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
prdr_enable
acl_smtp_mail = accept
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin acl
accept:
  accept
begin routers
local:
  driver = accept
  domains = $DOMAIN
  transport = maildir
out:
  driver = manualroute
  route_list = * $PEER
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  interface = $IP
  hosts_try_chunking = *
  hosts_try_prdr = *
  hosts_require_tls = *
  tls_verify_certificates = $D/etc/ca.pem
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
maildir:
  driver = appendfile
  directory = $D/mail
  maildir_format
  create_directory
EOF
exim4 -C $D/exim.conf -bd`
	out, err := shell(script, "D="+dir, "IP="+x.ip, "DOMAIN="+domain, "PEER="+w.ip(9), "CA="+w.caFile())
	w.t.Cleanup(func() {
		if w.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "mainlog"))
			w.t.Logf("log of Exim:\n%s", log)
		}
	})
	require.NoError(w.t, err, out)
	w.t.Cleanup(x.stop)
	return x
}

// stop ends the daemon and waits for that.
func (x *exim) stop() {
	text, err := os.ReadFile(filepath.Join(x.dir, "spool", "pid"))
	require.NoError(x.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(x.t, err)
	require.NoError(x.t, syscall.Kill(pid, syscall.SIGTERM))
	eventually(x.t, "the end of Exim", func() error {
		if err := syscall.Kill(pid, 0); err == nil {
			return os.ErrExist
		}
		return nil
	})
}

// Exim's client sends chunks, over TLS, and asks further on for the notifications that it was asked for.
func TestEximSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.newTaker(9, nil)
	k.serve("25", nil)
	x := w.newExim(4, "exim.test")
	handIn(t, w, x.ip)
	checkHandedIn(t, k)
	for _, got := range k.inbox.Messages() {
		require.True(t, k.used(got.Envelope, "BDAT"))
	}
}

// The queue's client and Exim's server understand each other.
func TestEximReceives(t *testing.T) {
	t.Parallel()
	need(t, "swaks")
	w := newWorld(t)
	a := w.newHost(2, "a.test")
	x := w.newExim(4, "exim.test")
	a.start()
	sh(t, `printf '.dot\n..two\n' >$LOG.body
swaks -s $H -p 587 -f ann@a.test -t carl@exim.test -h-Subject "to Exim" --body @$LOG.body --tls \
	-a PLAIN -au ann@a.test -ap secret >$LOG || { cat $LOG; exit 1; }`,
		append(a.env(), "LOG="+filepath.Join(w.dir, "swaks"))...)
	eventually(t, "the message at Exim", func() error {
		_, err := shell("grep -rq 'Subject: to Exim' $D/mail/new", "D="+x.dir)
		return err
	})
	got := sh(t, "cat $D/mail/new/*", "D="+x.dir)
	require.Contains(t, got, "DKIM-Signature: ")
	require.Regexp(t, `by mail\.exim\.test with esmtps +\(TLS1\.3\)`, got)
	require.Contains(t, got, "\n\n.dot\n..two\n")
	eventually(t, "an empty queue", a.queueIsEmpty)
}
