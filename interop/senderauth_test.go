//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
)

// stranger is a host of the world that is no fullserver: it has an address and a key, and writes what it likes.
type stranger struct {
	*world
	ip     string
	domain string
	signer dkim.Signer
}

// newStranger publishes a domain whose mail comes from the world's n-th address, with a DKIM key and these records: an SPF
// record, and a DMARC record unless it is empty.
func (w *world) newStranger(n int, domain, spf, dmarc string) *stranger {
	w.t.Helper()
	key, err := dkim.GenerateKey("rsa", 2048)
	require.NoError(w.t, err)
	record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: domain, Selector: "s1"})
	require.NoError(w.t, err)
	s := &stranger{world: w, ip: w.ip(n), domain: domain, signer: dkim.Signer{Domain: domain, Selector: "s1", Key: key}}
	w.publish(record.Zone() + "\n" + domain + ". IN TXT \"" + strings.ReplaceAll(spf, "$IP", s.ip) + "\"")
	if dmarc != "" {
		w.publish("_dmarc." + domain + ". IN TXT \"" + dmarc + "\"")
	}
	return s
}

// letter is a message of the stranger's, signed or not.
func (s *stranger) letter(subject string, signed bool) string {
	s.t.Helper()
	letter := "From: x@" + s.domain + "\r\nTo: you\r\nSubject: " + subject + "\r\nDate: Tue, 24 Nov 2026 20:00:00 +0000\r\n" +
		"Message-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@" + s.domain + ">\r\n\r\nHello there.\r\n"
	if signed {
		field, err := dkim.Sign(strings.NewReader(letter), &s.signer)
		require.NoError(s.t, err)
		letter = field + letter
	}
	return letter
}

// send hands a message to a host and gives the reply to its end.
func (s *stranger) send(to *host, rcpt, letter string) string {
	s.t.Helper()
	dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(s.ip)}}
	conn, err := dialer.Dial("tcp", net.JoinHostPort(to.ip, "25"))
	require.NoError(s.t, err)
	defer conn.Close()
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(patience)))
	d := newDialogue(s.t, conn)
	d.reply()
	d.expect("EHLO mail."+s.domain, "250 ")
	d.expect("MAIL FROM:<x@"+s.domain+">", "250 ")
	d.expect("RCPT TO:<"+rcpt+">", "250 ")
	d.expect("DATA", "354 ")
	d.say(letter + ".\r\n")
	return d.reply()
}

// Mail from a world with SPF, DKIM and DMARC is judged as its domains ask; what an alias sends on is sealed, so that the
// next server can see what the first one saw.
func TestSenderAuthentication(t *testing.T) {
	t.Parallel()
	need(t, "/usr/bin/python3") // Debian's, which has Debian's dkimpy
	w := newWorld(t)
	a := w.newHost(2, "a.test", "[reports]", "dmarc = true", `organization = "A of the test"`)
	b := w.newHost(3, "b.test", "[policy]", `trusted_sealers = ["a.test"]`)
	a.must("alias", "add", "fwd@a.test", "ann@b.test")
	b.must("email", "add", "reports@b.test", "secret")
	good := w.newStranger(9, "good.test", "v=spf1 ip4:$IP -all", "v=DMARC1; p=reject; rua=mailto:reports@b.test")
	nothing := w.newStranger(10, "nothing.test", "v=spf1 -all", "")
	strict := w.newStranger(11, "strict.test", "v=spf1 -all", "v=DMARC1; p=reject; rua=mailto:reports@b.test")
	milder := w.newStranger(12, "milder.test", "v=spf1 -all", "v=DMARC1; p=quarantine")
	w.publish("good.test._report._dmarc.b.test. IN TXT \"v=DMARC1\"") // RFC 9990 §4; strict.test is not welcome there
	a.start()
	b.start()

	require.Regexp(t, `^250 `, good.send(a, "ann@a.test", good.letter("signed", true)))
	require.Regexp(t, `^250 `, nothing.send(a, "ann@a.test", nothing.letter("not from here", false)))
	require.Regexp(t, `^550 5\.7\.1 .*DMARC policy for strict\.test`, strict.send(a, "ann@a.test", strict.letter("forged", false)))
	require.Regexp(t, `^250 `, strict.send(a, "ann@a.test", strict.letter("signed after all", true)))
	require.Regexp(t, `^250 `, milder.send(a, "ann@a.test", milder.letter("doubtful", false)))
	for _, message := range a.wait("ann", "", 2) {
		require.Contains(t, header(message, "Authentication-Results")[0], "dmarc=pass", message)
	}
	for _, message := range a.wait("ann", ".Junk", 2) {
		require.Contains(t, header(message, "Authentication-Results")[0], "spf=fail", message)
	}

	// Through an alias: one that is signed, and one for which SPF alone speaks, which must fail behind the alias.
	require.Regexp(t, `^250 `, good.send(a, "fwd@a.test", good.letter("signed and sent on", true)))
	require.Regexp(t, `^250 `, good.send(a, "fwd@a.test", good.letter("sent on", false)))
	for _, message := range b.wait("ann", "", 2) {
		results := header(message, "Authentication-Results")[0]
		require.Contains(t, results, "spf=fail", message)
		require.Contains(t, results, "arc=pass", message)
		seal := header(message, "ARC-Seal")
		require.Len(t, seal, 1)
		require.Contains(t, seal[0], "cv=none")
		require.Contains(t, seal[0], "d=a.test")
		found := header(message, "ARC-Authentication-Results")[0]
		require.Regexp(t, `^i=1; *mail\.a\.test; .*spf=pass.*dmarc=pass`, found)
		require.Contains(t, w.arcverify(message), "pass", message)
		require.Contains(t, w.arcverify(strings.Replace(message, "Hello", "Hallo", 1)), "fail")
	}
	require.Regexp(t, `^250 `, milder.send(a, "fwd@a.test", milder.letter("doubtful and sent on", false)))
	require.Empty(t, header(b.wait("ann", ".Junk", 1)[0], "ARC-Seal"), "for junk nobody vouches")

	a.reportsLeave(t, b)
}

// arcverify has dkimpy verify the ARC chain of a message.
func (w *world) arcverify(message string) string {
	w.t.Helper()
	w.mu.Lock()
	zone := w.zone.String()
	w.mu.Unlock()
	dir := w.t.TempDir()
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "zone"), []byte(zone), 0o600))
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "message"), []byte(message), 0o600))
	return sh(w.t, `/usr/bin/python3 - <<'EOF'
import dkim, os, re
zone = {}
for line in open(os.environ["DIR"] + "/zone"):
    name, sep, text = line.partition(" IN TXT ")
    if sep:
        zone[name.rstrip(".").encode()] = "".join(re.findall('"([^"]*)"', text)).encode()
cv, sets, why = dkim.arc_verify(open(os.environ["DIR"] + "/message", "rb").read(), dnsfunc=lambda name, timeout=5: zone.get(name.rstrip(b".")))
print(cv.decode(), why)
EOF`, "DIR="+dir)
}

// reportsLeave brings the day to its end, by giving its file the date of a day before, and reads the report at b.
func (h *host) reportsLeave(t *testing.T, b *host) {
	t.Helper()
	require.Contains(t, h.must("dmarc", "pending"), "good.test  messages 3  to reports@b.test  due ")
	h.stop()
	dir := filepath.Join(h.dir, "data", "state", "dmarc")
	files, err := filepath.Glob(filepath.Join(dir, "20*"))
	require.NoError(t, err)
	for _, file := range files {
		day, rest := filepath.Base(file)[:len(time.DateOnly)], filepath.Base(file)[len(time.DateOnly):]
		began, err := time.Parse(time.DateOnly, day)
		require.NoError(t, err)
		require.NoError(t, os.Rename(file, filepath.Join(dir, began.AddDate(0, 0, -2).Format(time.DateOnly)+rest)))
	}
	h.start()
	letter := b.wait("reports", "", 1)[0]
	results := header(letter, "Authentication-Results")[0]
	require.Contains(t, results, "dkim=pass", letter)
	require.Contains(t, results, "dmarc=pass", letter)
	report, err := dmarc.ParseReport(strings.NewReader(letter))
	require.NoError(t, err)
	require.Equal(t, "A of the test", report.Metadata.OrgName)
	require.Equal(t, "good.test", report.Policy.Domain)
	require.Empty(t, report.Warnings)
	var messages int64
	for _, r := range report.Records {
		messages += r.Count
	}
	require.EqualValues(t, 3, messages)
	file := filepath.Join(h.dir, "report.eml")
	require.NoError(t, os.WriteFile(file, []byte(letter), 0o600))
	require.Contains(t, h.must("dmarc", "report", file), "good.test")
	require.Contains(t, h.must("dmarc", "report", "-html", file), "<html")
}

// Keys are replaced while mail flows: every message is signed, with a key that the DNS shows.
func TestRotationWhileMailFlows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.newHost(2, "a.test", "[dkim]", `rotation_settle = "1s"`), w.newHost(3, "b.test")
	record := strings.Split(strings.TrimSpace(a.must("dkim", "a.test", "-selector", "ed", "-type", "ed25519")), "\n")
	w.publish(record[len(record)-1])
	a.start()
	b.start()
	session := a.talk(587)
	defer session.close()
	session.logIn(a, "ann@a.test")
	sent := 0
	send := func() {
		session.expect("MAIL FROM:<ann@a.test>", "250 ")
		session.expect("RCPT TO:<bob@b.test>", "250 ")
		session.expect("DATA", "354 ")
		session.say(fmt.Sprintf("From: ann@a.test\r\nSubject: %d\r\n\r\nx\r\n", sent))
		session.expect(".", "250 ")
		sent++
	}
	type rotation struct {
		Phase   string
		Active  []string
		Publish []struct{ Zone string }
	}
	rotate := func() (r rotation) {
		out := a.must("dkim", "rotate", "a.test", "-json")
		require.NoError(t, json.Unmarshal([]byte(out), &r), out)
		return r
	}
	send()
	r := rotate()
	require.Equal(t, "publish", r.Phase)
	require.Equal(t, []string{"mail", "ed"}, r.Active)
	require.Len(t, r.Publish, 2)
	send()
	w.publish(r.Publish[0].Zone)
	require.Equal(t, "publish", rotate().Phase, "one of two is not enough")
	send()
	w.publish(r.Publish[1].Zone)
	require.Equal(t, "settle", rotate().Phase)
	// From here on the server goes on by itself.
	names := regexp.MustCompile(`(?m)^DKIM-Signature: .*$`)
	eventually(t, "the new keys to sign", func() error {
		send()
		if out := a.must("dns", "a.test"); strings.Count(out, "; DKIM: an old key") < 2 {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	for range 3 {
		send()
	}
	used := map[string]int{}
	for _, message := range b.wait("bob", "", sent) {
		require.Len(t, names.FindAllString(message, -1), 2, message)
		results := header(message, "Authentication-Results")[0]
		require.Equal(t, 2, strings.Count(results, "dkim=pass"), results)
		for _, s := range regexp.MustCompile(`header\.s=([^ ;]+)`).FindAllStringSubmatch(results, -1) {
			used[s[1]]++
		}
	}
	require.Len(t, used, 4, "both old and both new keys: %v", used)
	require.GreaterOrEqual(t, used["mail"], 3)
	require.Equal(t, used["mail"], used["ed"])
	require.Contains(t, a.must("dkim", "rotate", "a.test"), "must stay until")
	require.Contains(t, a.log.String(), "new DKIM keys sign from now on")
}
