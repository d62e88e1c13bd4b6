package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/mailtest"
)

// run runs a command line in this process.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{args: args, stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}
	code = p.run(t.Context())
	return out.String(), errs.String(), code
}

// result runs a command line that must have a result, and gives what it prints.
func result(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := run(t, "", args...)
	require.Equal(t, exitOK, code, "%q: %s", args, stderr)
	if reason := slices.Contains(args, "spf") || slices.Contains(args, "dmarc"); reason && !slices.Contains(args, "-json") &&
		(strings.HasPrefix(stdout, "temperror") || strings.HasPrefix(stdout, "permerror")) {
		require.Regexp(t, "^mailprobe: [^\n]+\n$", stderr)
	} else {
		require.Empty(t, stderr)
	}
	return stdout
}

// decoded runs a command line with -json.
func decoded[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(result(t, append(args, "-json")...)), &v))
	return v
}

// serve answers from zones on a port of this host, and gives its address.
func serve(t *testing.T, text string) (addr string, zones *mailtest.DNS) {
	t.Helper()
	zones = mailtest.MustZone(t, text)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		t.Skipf("no TCP port to go with the UDP port: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = zones.Serve(ctx, pc, ln) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return pc.LocalAddr().String(), zones
}

// file writes a file of a test.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// newKey makes a key: its file, and its record for a zone.
func newKey(t *testing.T, domain, selector string) (name, record string) {
	t.Helper()
	key, err := dkim.GenerateKey("ed25519", 0)
	require.NoError(t, err)
	pem, err := dkim.MarshalPrivateKey(key)
	require.NoError(t, err)
	r, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: domain, Selector: selector})
	require.NoError(t, err)
	return file(t, string(pem)), r.Zone() + "\n"
}

func TestSPF(t *testing.T) {
	t.Parallel()
	dns, zones := serve(t, `
		example.org. TXT "v=spf1 ip4:192.0.2.1 exists:%{l}.ok.example.org ?ip4:192.0.2.2 ~ip4:192.0.2.3 -all exp=why.example.org"
		why.example.org. TXT "%{i} is not one of %{d}'s"
		ann.ok.example.org. A 127.0.0.2
		bad.example.org. TXT "v=spf1 moo"
		late.example.org. TXT "v=spf1 +all"
		plain.example.org. TXT "v=spf1 -all"
	`)
	zones.SetFailure("late.example.org", mailtest.ServFail)
	for _, c := range []struct{ ip, helo, from, want string }{
		{"192.0.2.1", "mx.example.net", "bob@example.org", "pass\n"},
		{"::ffff:192.0.2.1", "mx.example.net", "bob@example.org", "pass\n"},
		{"192.0.2.9", "mx.example.net", "<ann@example.org>", "pass\n"},
		{"192.0.2.2", "mx.example.net", "bob@example.org", "neutral\n"},
		{"192.0.2.3", "mx.example.net", "bob@example.org", "softfail\n"},
		{"2001:db8::1", "mx.example.net", "bob@example.org", "fail\n2001:db8::1 is not one of example.org's\n"},
		{"192.0.2.9", "example.org", "", "fail\n192.0.2.9 is not one of example.org's\n"},
		{"192.0.2.9", "example.org", "<>", "fail\n192.0.2.9 is not one of example.org's\n"},
		{"192.0.2.9", "-", "bob@plain.example.org", "fail\n"},
		{"192.0.2.9", "-", "-x@nowhere.example.org", "none\n"},
		{"192.0.2.9", "", "bob@bad.example.org", "permerror\n"},
		{"192.0.2.9", "", "bob@late.example.org", "temperror\n"},
	} {
		want := strings.Replace(c.want, "2001:db8::1 is", "2.0.0.1.0.D.B.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1 is", 1)
		require.Equal(t, want, result(t, "spf", "-resolver", dns, "-ip", c.ip, "-helo", c.helo, "-from", c.from), "%v", c)
		require.Equal(t, want, result(t, "--from="+c.from, "--ip", c.ip, "spf", "--resolver="+dns, "--helo="+c.helo), "%v", c)
	}
	v := decoded[struct {
		Result, Identity, Domain, Mechanism, Explanation string
		Err                                              *string
		Client                                           struct{ IP, Helo, From string }
		Lookups                                          []struct {
			Type, Name string
			Answers    int
			Err        *string
		}
	}](t, "spf", "-resolver", dns, "-ip", "192.0.2.9", "-helo", "mx.example.net", "-from", "bob@example.org")
	require.Equal(t, []string{"fail", "mailfrom", "example.org", "all", "192.0.2.9"}, []string{v.Result, v.Identity, v.Domain, v.Mechanism, v.Client.IP})
	require.Len(t, v.Lookups, 3)
	require.Equal(t, "bob.ok.example.org", v.Lookups[1].Name)
	require.NotNil(t, v.Lookups[1].Err)
	require.Nil(t, v.Err)
}

// A server that is not there is a result, not an error.
func TestNoServerIsTempError(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := pc.LocalAddr().String()
	require.NoError(t, pc.Close())
	require.Equal(t, "temperror\n", result(t, "spf", "-resolver", addr, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@example.org"))
}

const letter = "From: Ann <ann@news.example.org>\nTo: bob@example.net\nSubject: Hello\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n" +
	"Message-ID: <1@example.org>\n\nDear Bob\n"

func TestDKIM(t *testing.T) {
	t.Parallel()
	key, record := newKey(t, "example.org", "sel")
	dns, zones := serve(t, record)
	message := file(t, letter)
	require.Equal(t, "none\n", result(t, "dkim", "-resolver", dns, message))

	signed := result(t, "dkim", "-sign", "-domain", "example.org", "-selector", "sel", "-key", key, message)
	require.Equal(t, strings.ReplaceAll(letter, "\n", "\r\n"), signed[strings.Index(signed, "From: Ann"):])
	require.Contains(t, signed, "c=relaxed/relaxed")
	simple := result(t, "dkim", message, "--time", "1700000000", "--c", "simple/simple", "--key="+key, "--selector=sel", "--domain=example.org", "--sign")
	require.Contains(t, simple, "c=simple/simple")
	require.Contains(t, simple, "t=1700000000")

	const pass = "pass d=example.org s=sel a=ed25519-sha256\n"
	verify := func(text string, args ...string) string {
		t.Helper()
		return result(t, append([]string{"dkim", file(t, text), "-resolver", dns}, args...)...)
	}
	require.Equal(t, pass, verify(signed))
	require.Equal(t, pass, verify(strings.ReplaceAll(signed, "\r\n", "\n")))
	require.Equal(t, pass, verify(simple))
	require.Equal(t, "policy d=example.org s=sel a=ed25519-sha256 signature from the future\n", verify(simple, "-time", "1600000000"))
	require.Equal(t, pass+"fail d=example.org s=sel a=ed25519-sha256 body hash did not verify\n",
		verify(result(t, "dkim", "-sign", "-domain", "example.org", "-selector", "sel", "-key", key, file(t, simple+"PS\r\n"))))
	require.Regexp(t, "^permerror d=- s=- a=- bad signature field: [^\n]+\n$", verify("DKIM-Signature: x=y\n"+letter))

	stdout, _, code := run(t, signed, "dkim", "-resolver", dns, "-")
	require.Equal(t, pass, stdout)
	require.Equal(t, exitOK, code)

	v := decoded[[]struct {
		Status, Domain, Selector, Algorithm, Err string
		KeyBits                                  int `json:"key_bits"`
		Signed                                   []string
		FromOversigned                           bool `json:"from_oversigned"`
	}](t, "dkim", file(t, signed), "-resolver", dns)
	require.Equal(t, "pass", v[0].Status)
	require.Equal(t, 256, v[0].KeyBits)
	require.True(t, v[0].FromOversigned)
	require.Contains(t, v[0].Signed, "from")

	zones.SetFailure("sel._domainkey.example.org", mailtest.ServFail)
	require.Contains(t, verify(signed), "temperror d=example.org s=sel a=ed25519-sha256 ")
	zones.SetFailure("sel._domainkey.example.org", mailtest.NXDomain)
	require.Contains(t, verify(signed), "permerror d=example.org s=sel a=ed25519-sha256 ")
}

func TestARC(t *testing.T) {
	t.Parallel()
	key, record := newKey(t, "example.org", "sel")
	dns, zones := serve(t, record)
	message := file(t, "Authentication-Results: mx.example.org; spf=pass (good) smtp.mailfrom=example.net\n"+
		"Authentication-Results: evil.example; dkim=pass header.d=bank.example\n"+letter)
	require.Equal(t, "none\n", result(t, "arc", "-resolver", dns, message))
	seal := func(name string) string {
		t.Helper()
		return result(t, "arc", "-seal", "-domain", "example.org", "-selector", "sel", "-key", key, "-authserv-id", "mx.example.org", "-resolver", dns, name)
	}
	one := seal(message)
	require.Contains(t, one, "spf=pass (good) smtp.mailfrom=example.net\r\nAuthentication-Results")
	require.Equal(t, 1, strings.Count(one, "bank.example"))
	require.Equal(t, "pass\n", result(t, "arc", file(t, one), "--resolver="+dns))
	require.Equal(t, "pass\n", result(t, "arc", file(t, strings.ReplaceAll(one, "\r\n", "\n")), "--resolver="+dns))
	two := seal(file(t, one))
	require.Equal(t, 2, strings.Count(two, "ARC-Seal: "))
	v := decoded[struct {
		Status string
		Sets   []struct {
			Instance   int
			AuthServID string `json:"auth_serv_id"`
		}
	}](t, "arc", file(t, two), "-resolver", dns)
	require.Equal(t, "pass", v.Status)
	require.Len(t, v.Sets, 2)
	require.Equal(t, "mx.example.org", v.Sets[1].AuthServID)
	require.Regexp(t, "^fail [^\n]+\n$", result(t, "arc", file(t, two+"PS\r\n"), "-resolver", dns))
	zones.SetFailure("sel._domainkey.example.org", mailtest.ServFail)
	require.Regexp(t, "^fail [^\n]+\n$", result(t, "arc", file(t, two), "-resolver", dns))
}

func TestDMARC(t *testing.T) {
	t.Parallel()
	key, record := newKey(t, "example.org", "sel")
	dns, zones := serve(t, `
		_dmarc.example.org. TXT "v=DMARC1; p=reject; sp=quarantine"
		bounce.example.org. TXT "v=spf1 ip4:192.0.2.1 -all"
		host.example.org. TXT "v=spf1 ip4:192.0.2.2 -all"
		news.example.org. A 192.0.2.1
		_dmarc.test.example. TXT "v=DMARC1; p=reject; t=y"
		_dmarc.pct.example. TXT "v=DMARC1; p=reject; pct=0"
		`+record)
	message := file(t, letter)
	dmarc := func(ip, helo, from, name string, more ...string) string {
		t.Helper()
		return result(t, append([]string{"dmarc", "-resolver", dns, "-ip", ip, "-helo", helo, "-from", from, name}, more...)...)
	}
	const (
		pass = "pass policy=quarantine disposition=none domain=news.example.org org=example.org\n"
		fail = "fail policy=quarantine disposition=quarantine domain=news.example.org org=example.org\n"
	)
	require.Equal(t, pass, dmarc("192.0.2.1", "x", "a@bounce.example.org", message))
	require.Equal(t, fail, dmarc("192.0.2.2", "x", "a@bounce.example.org", message))
	require.Equal(t, pass, dmarc("192.0.2.2", "host.example.org", "", message), "HELO stands in for a null reverse-path")
	require.Equal(t, fail, dmarc("192.0.2.1", "host.example.org", "a@elsewhere.example", message))
	require.Equal(t, pass, dmarc("192.0.2.1", "x", "a@bounce.example.org", message, "-rfc7489"))
	signed := result(t, "dkim", "-sign", "-domain", "example.org", "-selector", "sel", "-key", key, message)
	require.Equal(t, pass, dmarc("192.0.2.9", "x", "a@elsewhere.example", file(t, signed)))

	for domain, line := range map[string]string{
		"test.example": "fail policy=reject disposition=quarantine domain=test.example org=test.example\n",
		"pct.example":  "fail policy=reject disposition=reject domain=pct.example org=pct.example\n",
	} {
		require.Equal(t, line, dmarc("192.0.2.9", "x", "a@elsewhere.example", file(t, "From: a@"+domain+"\r\n\r\n")))
	}
	require.Equal(t, "fail policy=reject disposition=quarantine domain=pct.example org=pct.example\n",
		dmarc("192.0.2.9", "x", "a@elsewhere.example", file(t, "From: a@pct.example\n\n"), "--rfc7489"))
	require.Equal(t, "none policy=- disposition=none domain=other.example org=other.example\n",
		dmarc("192.0.2.9", "x", "a@elsewhere.example", file(t, "From: a@other.example\r\n\r\n")))
	require.Equal(t, "permerror policy=- disposition=none domain=- org=-\n", dmarc("192.0.2.9", "x", "a@elsewhere.example", file(t, "To: a@b.example\n\n")))
	stdout, _, _ := run(t, letter, "dmarc", "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@bounce.example.org", "-")
	require.Equal(t, pass, stdout)

	v := decoded[struct {
		SPF   struct{ Result string }
		DKIM  []struct{ Status string }
		DMARC struct {
			Result, Policy string
			SPFAligned     bool `json:"spf_aligned"`
			Record         struct {
				Subdomain     string
				AggregateURIs []string `json:"aggregate_uris"`
			}
		}
		Org string `json:"org_domain"`
	}](t, "dmarc", "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@bounce.example.org", message)
	require.Equal(t, []string{"pass", "none", "pass", "quarantine", "quarantine", "example.org"},
		[]string{v.SPF.Result, v.DKIM[0].Status, v.DMARC.Result, v.DMARC.Policy, v.DMARC.Record.Subdomain, v.Org})
	require.True(t, v.DMARC.SPFAligned)

	zones.SetFailure("_dmarc.example.org", mailtest.ServFail)
	require.Equal(t, "temperror policy=- disposition=none domain=news.example.org org=-\n", dmarc("192.0.2.2", "x", "a@bounce.example.org", message))
}

func TestDMARCReport(t *testing.T) {
	t.Parallel()
	const xml = `<?xml version="1.0"?><feedback><report_metadata><org_name>Receiver</org_name><email>r@example.net</email><report_id>42</report_id>
		<date_range><begin>1700000000</begin><end>1700086399</end></date_range></report_metadata>
		<policy_published><domain>example.org</domain><p>reject</p></policy_published>
		<record><row><source_ip>192.0.2.1</source_ip><count>7</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
		<identifiers><header_from>example.org</header_from></identifiers><auth_results><spf><domain>example.org</domain><result>fail</result></spf></auth_results></record></feedback>`
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(xml))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for _, name := range []string{file(t, xml), file(t, zipped.String())} {
		text := result(t, "dmarc-report", name)
		require.Contains(t, text, "192.0.2.1")
		require.Contains(t, text, "Receiver")
	}
	v := decoded[struct {
		Metadata struct {
			ReportID string `json:"report_id"`
		}
		Records []struct {
			Count int
		}
	}](t, "dmarc-report", file(t, xml))
	require.Equal(t, "42", v.Metadata.ReportID)
	require.Equal(t, 7, v.Records[0].Count)
	_, stderr, code := run(t, letter, "dmarc-report", "-")
	require.Equal(t, exitError, code)
	require.Equal(t, 1, strings.Count(stderr, "\n"))
}

// A large message costs no memory. Not parallel, as it looks at what the process allocates.
func TestLargeMessagesStayInTheirFile(t *testing.T) {
	const size = 16 << 20
	key, record := newKey(t, "example.org", "sel")
	dns, _ := serve(t, record)
	text := letter + strings.Repeat(strings.Repeat("x", 75)+"\n", size/76)
	name, signed := file(t, text), filepath.Join(t.TempDir(), "signed")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out, err := os.Create(signed)
	require.NoError(t, err)
	for _, args := range [][]string{
		{"dkim", "-sign", "-domain", "example.org", "-selector", "sel", "-key", key, name},
		{"dkim", "-resolver", dns, signed},
		{"arc", "-seal", "-domain", "example.org", "-selector", "sel", "-key", key, "-authserv-id", "x", "-resolver", dns, signed},
		{"dmarc", "-resolver", dns, "-ip", "192.0.2.1", "-helo", "x", "-from", "a@example.org", signed},
	} {
		p := &process{args: args, stdout: io.Discard, stderr: os.Stderr}
		if args[1] == "-sign" {
			p.stdout = out
		}
		require.Equal(t, exitOK, p.run(t.Context()))
	}
	require.NoError(t, out.Close())
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2))
	require.Equal(t, "pass d=example.org s=sel a=ed25519-sha256\n", result(t, "dkim", "-resolver", dns, signed))
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	hash, _, code := run(t, "secret\nmore\n", "pw", "hash")
	require.Equal(t, exitOK, code)
	require.True(t, strings.HasPrefix(hash, "{ARGON2ID}$argon2id$"))
	require.Equal(t, 1, strings.Count(hash, "\n"))
	hash = strings.TrimSuffix(hash, "\n")
	for stdin, want := range map[string]int{"secret\n": exitOK, "secret\r\n": exitOK, "secret": exitOK, "secret ": exitError, "": exitError, "\nsecret\n": exitError} {
		stdout, stderr, code := run(t, stdin, "pw", "verify", hash)
		require.Equal(t, want, code, "%q", stdin)
		require.Empty(t, stdout)
		require.Equal(t, want == exitOK, stderr == "")
	}
	_, _, code = run(t, "x\n", "pw", "verify", "{NONSENSE}x")
	require.Equal(t, exitError, code)
	stdout, _, code := run(t, "other\n", "pw", "verify", "-json", hash)
	require.JSONEq(t, `{"match": false}`, stdout)
	require.Equal(t, exitError, code)
	_, _, code = run(t, "x\n", "pw", "hash", "-scheme", "MD5")
	require.Equal(t, exitUsage, code)
}

func TestLines(t *testing.T) {
	t.Parallel()
	stdout, _, code := run(t, "ann@example.org\n\"ann\"@Example.org\nann\n", "addr")
	require.Equal(t, exitOK, code)
	require.Equal(t, "ann@example.org\nann@Example.org\nerror: address has no domain\n", stdout)
	stdout, _, _ = run(t, "bücher.example\r\nEXAMPLE.org", "idna")
	require.Equal(t, "xn--bcher-kva.example\nexample.org\n", stdout)
	stdout, _, _ = run(t, "a..\u0080", "idna")
	require.True(t, strings.HasPrefix(stdout, "error: "))
	stdout, _, _ = run(t, strings.Repeat("例", maxLine/3), "idna") // minutes of punycode
	require.Equal(t, "error: name is too long\n", stdout)
	_, stderr, code := run(t, strings.Repeat("x", maxLine+1), "idna")
	require.Equal(t, exitError, code)
	require.Equal(t, 1, strings.Count(stderr, "\n"))
	stdout, _, _ = run(t, "ann", "addr", "--json")
	require.JSONEq(t, `{"input": "ann", "result": "", "err": "address has no domain"}`, stdout)
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "moo", "srs forward x", "saslprep", "sieve -svtest x", "mime x", "spf", "spf -ip 192.0.2.1 -helo x", "spf -ip 192.0.2 -helo x -from y",
		"spf -ip= -helo x -from y", "spf -ip 192.0.2.1 -helo x -from y more", "spf -moo", "spf -ip", "dkim", "dkim a b", "dkim -time x a", "dkim -sign a",
		"dkim -sign -domain d -selector s a", "dkim -domain d a", "dkim -c simple/simple a", "dkim -json=maybe a", "arc", "arc -seal a", "arc -authserv-id x a", "arc -domain d a", "dmarc a", "dmarc-report", "dmarc-report a b", "pw", "pw verify", "pw moo", "addr a", "idna a",
	} {
		stdout, stderr, code := run(t, "", strings.Fields(args)...)
		require.Equal(t, exitUsage, code, args)
		require.Empty(t, stdout, args)
		require.Equal(t, 1, strings.Count(stderr, "\n"), args)
		require.True(t, strings.HasPrefix(stderr, "mailprobe: "))
	}
	stdout, _, code := run(t, "", "-h")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "not there yet")
}

func TestNothingToEvaluate(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for _, args := range [][]string{
		{"dkim", missing}, {"dkim", t.TempDir()}, {"dkim", "--", "-sign"},
		{"dkim", "-sign", "-domain", "example.org", "-selector", "s", "-key", missing, file(t, letter)},
		{"dkim", "-sign", "-domain", "example.org", "-selector", "s", "-key", file(t, letter), file(t, letter)},
		{"dmarc", "-ip", "192.0.2.1", "-helo", "x", "-from", "", missing},
	} {
		stdout, stderr, code := run(t, "", args...)
		require.Equal(t, exitError, code, args)
		require.Empty(t, stdout)
		require.Equal(t, 1, strings.Count(stderr, "\n"), args)
	}
}

func TestSnake(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"IP": "ip", "SPFAligned": "spf_aligned", "AggregateURIs": "aggregate_uris", "OrgDomain": "org_domain", "DKIM": "dkim", "KeyBits": "key_bits", "Rfc7489Mode": "rfc7489mode",
	} {
		require.Equal(t, want, snake(name))
	}
}
