//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// send is a Python script as people write them: it logs in on 587 and sends a message without Message-ID.
const send = `
python3 - <<'EOF'
import os, smtplib, ssl
from email.header import Header
from email.mime.text import MIMEText
e = os.environ
m = MIMEText("Grüße\n.\n..two dots\nFrom here\n", "plain", "utf-8")
subject = e["SUBJECT"]
m["From"], m["To"], m["Subject"] = e["FROM"], e["TO"], subject if subject.isascii() else Header(subject, "utf-8")
c = ssl.create_default_context(cafile=e["CA"])
c.check_hostname = False
s = smtplib.SMTP(e["H"], 587, local_hostname="laptop.home", timeout=60)
s.starttls(context=c)
s.login(e["USER"], "secret")
s.sendmail(e.get("MAILFROM", e["FROM"]), e["TO"].split(","), m.as_string())
s.quit()
EOF`

// send sends a message from a user of h.
func (h *host) send(user, subject string, to ...string) {
	h.t.Helper()
	sh(h.t, send, append(h.env(), "USER="+h.user(user), "FROM="+h.user(user), "SUBJECT="+subject, "TO="+strings.Join(to, ","))...)
}

func TestTwoServersExchangeLetters(t *testing.T) {
	t.Parallel()
	need(t, "python3", "curl", "mutt", "mbsync")
	w := newWorld(t)
	a, b := w.newHost(2, "a.test"), w.newHost(3, "b.test")
	b.must("alias", "add", "sales@b.test", "ann@b.test")
	b.must("alias", "add", "@catch.test", "ann@b.test")
	w.publish("catch.test. IN MX 10 mail.b.test.")
	a.start()
	b.start()

	a.send("ann", "Grüße aus A ✓", "ann@b.test")
	b.send("bob", "and back", "bob@a.test")
	message := b.wait("ann", "", 1)[0]
	back := a.wait("bob", "", 1)[0]
	checkLetter(t, message, a, b, "ann")
	checkLetter(t, back, b, a, "bob")
	require.Equal(t, []string{"=?utf-8?b?R3LDvMOfZSBhdXMgQSDinJM=?="}, header(message, "Subject"))
	checkReaders(t, b, "ann", message)

	a.send("ann", "to an alias", "sales@b.test")
	a.send("ann", "to a catch-all", "whoever@catch.test")
	a.send("ann", "to a sub-address", "ann+news@b.test")
	subjects := map[string]bool{}
	for _, m := range b.wait("ann", "", 4) {
		subjects[header(m, "Subject")[0]] = true
	}
	for _, subject := range []string{"to an alias", "to a catch-all", "to a sub-address"} {
		require.Contains(t, subjects, subject)
	}
}

// checkLetter checks what a message from one server looks like at the other.
func checkLetter(t *testing.T, message string, from, to *host, user string) {
	t.Helper()
	sender := from.user(user)
	require.Equal(t, []string{"<" + sender + ">"}, header(message, "Return-Path"))
	require.Len(t, header(message, "Message-ID"), 1)
	require.Len(t, header(message, "Date"), 1)
	received := header(message, "Received")
	require.Len(t, received, 2)
	require.Regexp(t, `^from `+from.name+` \(.*\[`+from.ip+`\]\).* by `+to.name+` .*with ESMTPS id `, received[0])
	require.Regexp(t, `^from localhost by `+from.name+` with ESMTPSA id `, received[1], "where the user sits is nobody's business")
	results := header(message, "Authentication-Results")
	require.Len(t, results, 1)
	require.True(t, strings.HasPrefix(results[0], to.name+";"), results[0])
	for _, want := range []string{
		"iprev=pass", "policy.iprev=" + from.ip, "spf=pass", "smtp.mailfrom=" + from.domain,
		"dkim=pass", "header.d=" + from.domain, "header.s=mail", "header.a=rsa-sha256", "header.b=",
		"dmarc=pass", "header.from=" + from.domain,
	} {
		require.Contains(t, results[0], want)
	}
	_, body, _ := strings.Cut(message, "\r\n\r\n")
	require.Equal(t, "R3LDvMOfZQouCi4udHdvIGRvdHMKRnJvbSBoZXJlCg==\r\n", body)
}

// checkReaders reads the one message of an account with clients of every kind and compares it byte for byte.
func checkReaders(t *testing.T, h *host, user, want string) {
	t.Helper()
	env := append(h.env(), "U="+h.user(user), "DIR="+t.TempDir())
	require.Equal(t, want, sh(t, `curl -sS --cacert $CA --resolve $NAME:993:$H "imaps://$NAME/INBOX;MAILINDEX=1" -u $U:secret`, env...))
	require.Equal(t, want, sh(t, `curl -sS --cacert $CA --resolve $NAME:995:$H "pop3s://$NAME/1" -u $U:secret`, env...))
	require.Equal(t, want, sh(t, `curl -sS --cacert $CA --resolve $NAME:143:$H --ssl-reqd "imap://$NAME/INBOX;UID=1" -u $U:secret`, env...))
	require.Equal(t, want, sh(t, `curl -sS --cacert $CA --resolve $NAME:110:$H --ssl-reqd "pop3://$NAME/1" -u $U:secret`, env...))

	unix := strings.ReplaceAll(want, "\r\n", "\n")
	sh(t, `cat >$DIR/mbsyncrc <<EOF
IMAPAccount a
Host $H
User $U
Pass secret
SSLType IMAPS
CertificateFile $CERT

IMAPStore far
Account a

MaildirStore near
Path $DIR/mb/
Inbox $DIR/mb/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
EOF
mkdir $DIR/mb; mbsync -c $DIR/mbsyncrc -a`, env...)
	require.Equal(t, unix, sh(t, `sed '/^X-TUID: /d' $DIR/mb/INBOX/*/*U=1*`, env...), "mbsync, but for its own field")
	for _, folder := range []string{"Drafts", "Junk", "Sent", "Trash", "Archive"} {
		sh(t, "test -d $DIR/mb/"+folder+"/cur", env...)
	}
	require.Equal(t, unix, h.mutt(user, "", "<pipe-message>cat >$DIR/raw<enter>", "raw"), "mutt")
}

// mutt opens the INBOX of an account, presses keys on its first message and gives what is then in a file of $DIR.
func (h *host) mutt(user, setting, keys, file string) string {
	h.t.Helper()
	return sh(h.t, `cat >$DIR/muttrc <<EOF
set folder="imaps://$H/" spoolfile="+INBOX" imap_user="$U" imap_pass="secret"
set certificate_file=$CERT ssl_force_tls=yes ssl_verify_host=no header_cache="" quit=yes wait_key=no
EOF
python3 testdata/terminal.py mutt -F $DIR/muttrc -e "$SETTING" -e "push '`+keys+`<quit>'" >$DIR/log || { cat $DIR/log; exit 1; }
cat $DIR/`+file, append(h.env(), "U="+h.user(user), "DIR="+h.t.TempDir(), "SETTING="+setting)...)
}

func TestSenderWithoutDomainIsRewritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newHost(2, "a.test")
	a.start()
	sh(t, send, append(a.env(), "USER=ann@a.test", "FROM=FBI", "MAILFROM=FBI", "SUBJECT=who am I", "TO=bob@a.test")...)
	message := a.wait("bob", "", 1)[0]
	require.Equal(t, []string{"<ann@a.test>"}, header(message, "Return-Path"))
	require.Equal(t, []string{"FBI <ann@a.test>"}, header(message, "From"))
}

func TestTryItMode(t *testing.T) {
	t.Parallel()
	need(t, "curl", "bash")
	dir := t.TempDir()
	env := []string{"DIR=" + dir, "FULLSERVER=" + fullserver}
	out := sh(t, `cd $DIR
$FULLSERVER >out 2>log &
trap "kill $!" EXIT
for i in $(seq 200); do $FULLSERVER health >/dev/null 2>&1 && break; sleep 0.1; done
cat out
grep '| curl' out >send.sh; grep '^curl' out >read.sh
bash send.sh
for i in $(seq 100); do bash read.sh >letter 2>/dev/null && break; sleep 0.1; done
echo =====
cat letter`, env...)
	intro, letter, _ := strings.Cut(out, "=====\n")
	require.Contains(t, intro, "me@localhost")
	for _, port := range []string{"2525", "2587", "2465", "2143", "2993", "2110", "2995"} {
		require.Contains(t, intro, port)
	}
	require.Contains(t, letter, "Subject: Hello\r\n")
	require.Contains(t, letter, "\r\n\r\nIt works.\r\n")
	_, err := os.Stat(filepath.Join(dir, "mail-data", "accounts.cf"))
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(os.ReadDir(dir)), "core")
}
