//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// postfix is a Postfix of the test's own, as mail.DOMAIN at the world's n-th address, whose accounts are files of a
// Maildir each.
type postfix struct {
	*world
	ip, dir string
}

// Its configuration ends with settings.
func (w *world) newPostfix(n int, domain string, settings ...string) *postfix {
	w.t.Helper()
	need(w.t, "postfix", "postmap")
	if os.Geteuid() != 0 {
		w.t.Skip("Postfix starts as root only")
	}
	dir, err := os.MkdirTemp("", "postfix-*") // not in the test's own folder, which its user cannot enter
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, os.RemoveAll(dir)) })
	p := &postfix{world: w, ip: w.ip(n), dir: dir}
	w.publishHost("mail."+domain, p.ip, domain)
	pair := &host{world: w, name: "mail." + domain, ip: p.ip, dir: filepath.Join(dir, "etc")}
	require.NoError(w.t, os.Mkdir(pair.dir, 0o755))
	w.certificate(pair)
	// Without chroot, and with smtpd at the host's own address only.
	const script = `
chmod 755 $D; mkdir $D/queue $D/data $D/mail; chown postfix $D/data; chown nobody $D/mail
cat $D/etc/key.pem $D/etc/cert.pem >$D/etc/chain.pem
awk '/^[a-z]/ { $5 = "n" } { print }' /etc/postfix/master.cf | sed "s|^smtp  *inet.*|$IP:25 inet n - n - - smtpd|" >$D/etc/master.cf
cat >$D/etc/main.cf <<EOF
compatibility_level = 3.6
queue_directory = $D/queue
data_directory = $D/data
mail_owner = postfix
maillog_file = $D/log
maillog_file_prefixes = $D
myhostname = mail.$DOMAIN
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = loopback-only
smtp_bind_address = $IP
virtual_mailbox_domains = $DOMAIN
virtual_mailbox_base = $D/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
relayhost = [$PEER]
disable_dns_lookups = yes
smtp_tls_security_level = may
smtpd_tls_security_level = may
smtpd_tls_chain_files = $D/etc/chain.pem
smtputf8_enable = no
alias_maps =
alias_database =
EOF
[[ -z $SETTINGS ]] || while read -r setting; do postconf -c $D/etc -e "$setting"; done <<<"$SETTINGS"
postfix -c $D/etc start`
	out, err := shell(script, "D="+dir, "IP="+p.ip, "DOMAIN="+domain, "PEER="+w.ip(2), "SETTINGS="+strings.Join(settings, "\n"))
	w.t.Cleanup(func() {
		stop, err := exec.Command("postfix", "-c", filepath.Join(dir, "etc"), "stop").CombinedOutput()
		require.NoError(w.t, err, string(stop))
	})
	w.t.Cleanup(func() {
		if w.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			w.t.Logf("log of Postfix:\n%s", log)
		}
	})
	require.NoError(w.t, err, out)
	return p
}

func TestPostfixDeliversAndReceives(t *testing.T) {
	t.Parallel()
	need(t, "swaks")
	w := newWorld(t)
	a := w.newHost(2, "a.test")
	p := w.newPostfix(4, "postfix.test")
	a.start()

	sh(t, `swaks -s $P --local-interface 127.0.0.1 -f carl@postfix.test -t ann@a.test -h-Subject "from Postfix" --tls >$LOG || { cat $LOG; exit 1; }`,
		"P="+p.ip, "LOG="+filepath.Join(w.dir, "swaks"))
	message := a.wait("ann", "", 1)[0]
	require.Equal(t, []string{"from Postfix"}, header(message, "Subject"))
	results := header(message, "Authentication-Results")
	require.Len(t, results, 1)
	for _, want := range []string{"iprev=pass", "spf=pass", "dkim=none", "dmarc=pass"} {
		require.Contains(t, results[0], want)
	}
	require.Contains(t, header(message, "Received")[0], "with ESMTPS ")

	sh(t, `swaks -s $H -p 587 -f ann@a.test -t carl@postfix.test -h-Subject "to Postfix" --tls -a PLAIN -au ann@a.test -ap secret >$LOG || { cat $LOG; exit 1; }`,
		append(a.env(), "LOG="+filepath.Join(w.dir, "swaks"))...)
	eventually(t, "the message at Postfix", func() error {
		found, err := filepath.Glob(filepath.Join(p.dir, "mail/box/new/*"))
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%d messages", len(found))
		}
		return err
	})
	got := sh(t, "cat $D/mail/box/new/*", "D="+p.dir)
	require.Contains(t, got, "Subject: to Postfix\n")
	require.Contains(t, got, "DKIM-Signature: ")
	require.Contains(t, got, "Return-Path: <ann@a.test>\n")
	eventually(t, "an empty queue", a.queueIsEmpty)
}

func (h *host) queueIsEmpty() error {
	if out := h.must("queue", "list"); out != "The queue is empty.\n" {
		return fmt.Errorf("%s", out)
	}
	return nil
}
