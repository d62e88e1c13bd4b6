package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/senderauth"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fullserver.toml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// The configuration that FULLSERVER.md shows, without the services of later versions.
const wholeConfig = `
hostname = "mail.example.com"        # banner
data_dir = "/var/lib/fullserver"
domains  = ["example.com"]

[listen]
smtp        = [":25"]
submission  = [":587"]
submissions = [":465"]
imap        = [":143"]
imaps       = [":993"]
pop3        = [":110"]
pop3s       = [":995"]
lmtp        = ["unix:/run/fullserver/lmtp"]

[tls]
mode = "manual"
cert = "fullchain.pem"
key  = "privkey.pem"

[dns]
servers  = ["127.0.0.1:53"]
trust_ad = true

[outbound]
bind = ["203.0.113.5", "2001:db8::5"]
port = 2500
smarthost = "smart.example.net:587"
smarthost_user = "u"
smarthost_password = "p"
smarthost_tls = "implicit"
retry = "5m*3, 15m*4, 1h*8, 4h"
lifetime = "3d"

[limits]
message_size = "20M"
recipients = 10
connections = 11
connections_per_ip = 12
hop_count = 13
free_space = 1024

[policy]
spf_fail = "reject"
dmarc = "tag"
dmarc_mode = "rfc7489"
dmarc_reject = "junk"
dmarc_quarantine = "defer"
dmarc_temperror = "defer"
dmarc_permerror = "junk"
no_from = "reject"
bad_from = "junk"
spf_softfail = "junk"
spf_neutral = "tag"
spf_none = "junk"
spf_temperror = "defer"
spf_permerror = "reject"
dkim_none = "junk"
dkim_fail = "junk"
dkim_temperror = "junk"
iprev_fail = "defer"
iprev_none = "reject"
iprev_temperror = "tag"
trusted_sealers = ["google.com", "Lists.example.org"]
trusted_networks = ["10.0.0.0/8", "192.0.2.1"]
postmaster = "boss@example.com"

[dkim]
arc_seal = false
rotation_settle = "2h"
rotation_grace = "10d"

[reports]
dmarc = true
failure = true
organization = "Example Org"
email = "dmarc@example.com"
contact = "https://example.com/dmarc"

[run]
user = "mail"

[log]
level = "debug"
format = "json"
`

func TestConfigReadsEveryKey(t *testing.T) {
	t.Parallel()
	c, err := loadConfig(writeConfig(t, wholeConfig), nil, false)
	require.NoError(t, err)
	require.Equal(t, "mail.example.com", c.hostname)
	require.Equal(t, "/var/lib/fullserver", c.dataDir)
	require.Equal(t, []string{"example.com"}, c.domains)
	require.Equal(t, map[string][]endpoint{
		"smtp": {tcp(":25")}, "submission": {tcp(":587")}, "submissions": {tcp(":465")}, "imap": {tcp(":143")}, "imaps": {tcp(":993")},
		"pop3": {tcp(":110")}, "pop3s": {tcp(":995")}, "lmtp": {{network: "unix", address: "/run/fullserver/lmtp", mode: 0o666}},
	}, c.listen)
	require.Equal(t, "manual", c.tls.mode)
	require.Equal(t, "fullchain.pem", c.tls.cert)
	require.Equal(t, "privkey.pem", c.tls.key)
	require.Equal(t, []string{"127.0.0.1:53"}, c.dns.servers)
	require.True(t, c.dns.trustAD)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("2001:db8::5")}, c.outbound.bind)
	require.Equal(t, 2500, c.outbound.port)
	require.Equal(t, "smart.example.net:587", c.outbound.smarthost.address)
	require.Equal(t, "u", c.outbound.smarthost.user)
	require.Equal(t, "p", c.outbound.smarthost.password)
	require.Equal(t, "implicit", c.outbound.smarthost.tls)
	require.Len(t, c.schedule(), 16)
	require.Equal(t, 72*time.Hour, c.outbound.lifetime)
	require.EqualValues(t, 20<<20, c.limits.messageSize)
	require.Equal(t, []int{10, 11, 12, 13}, []int{c.limits.recipients, c.limits.connections, c.limits.connectionsPerIP, c.limits.hopCount})
	require.EqualValues(t, 1024, c.limits.freeSpace)
	require.Equal(t, "reject", c.policy.spfFail)
	require.Equal(t, "tag", c.policy.dmarc)
	require.Equal(t, "rfc7489", c.policy.dmarcMode)
	require.Equal(t, senderauth.Policy{
		DMARCReject: senderauth.Junk, DMARCQuarantine: senderauth.Defer, DMARCTempError: senderauth.Defer, DMARCPermError: senderauth.Junk,
		NoFrom: senderauth.Reject, BadFrom: senderauth.Junk,
		SPFSoftFail: senderauth.Junk, SPFNone: senderauth.Junk, SPFTempError: senderauth.Defer, SPFPermError: senderauth.Reject,
		DKIMNone: senderauth.Junk, DKIMFail: senderauth.Junk, DKIMTempError: senderauth.Junk,
		IPRevFail: senderauth.Defer, IPRevNone: senderauth.Reject,
	}, c.policy.auth)
	whole := authPolicy(c)
	require.Equal(t, senderauth.Reject, whole.SPFFail)
	require.Equal(t, senderauth.Tag, whole.DMARCReject, "dmarc = tag comes first")
	require.Equal(t, senderauth.Tag, whole.DMARCQuarantine)
	require.NotNil(t, evaluator(c).PublicSuffixes)
	require.Equal(t, []string{"google.com", "Lists.example.org"}, c.policy.trustedSealers)
	require.False(t, c.dkim.arcSeal)
	require.Equal(t, reportConfig{dmarc: true, failure: true, organization: "Example Org", email: "dmarc@example.com", contact: "https://example.com/dmarc"}, c.reports)
	require.Equal(t, 2*time.Hour, c.dkim.settle)
	require.Equal(t, 240*time.Hour, c.dkim.grace)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}, c.policy.trustedNetworks)
	require.Equal(t, "boss@example.com", c.policy.postmaster)
	require.Equal(t, "mail", c.run.user)
	require.Equal(t, "debug", c.log.level)
	require.Equal(t, "json", c.log.format)
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c, err := loadConfig(writeConfig(t, "hostname = \"mail.example.com\"\n[listen]\n"), nil, false)
	require.NoError(t, err)
	require.Equal(t, "self-signed", c.tls.mode)
	require.EqualValues(t, 50<<20, c.limits.messageSize)
	require.EqualValues(t, 256<<20, c.limits.freeSpace)
	require.Equal(t, 5*24*time.Hour, c.outbound.lifetime)
	require.Equal(t, 25, c.outbound.port)
	require.Equal(t, "junk", c.policy.spfFail)
	require.Equal(t, "enforce", c.policy.dmarc)
	require.Equal(t, senderauth.Policy{DMARCReject: senderauth.Reject, DMARCQuarantine: senderauth.Junk, SPFFail: senderauth.Junk}, authPolicy(c))
	require.Nil(t, evaluator(c).PublicSuffixes)
	require.True(t, c.dkim.arcSeal)
	require.Empty(t, c.policy.trustedNetworks)
	require.ErrorContains(t, c.checkServices(), "no service")
}

func TestListenTakesATable(t *testing.T) {
	t.Parallel()
	c, err := loadConfig(writeConfig(t, "hostname = \"a.b\"\n[listen]\nsmtp = { address = \":25\" }\n[listen.imap]\naddress = \":143\"\n"), nil, false)
	require.NoError(t, err)
	require.Equal(t, map[string][]endpoint{"smtp": {tcp(":25")}, "imap": {tcp(":143")}}, c.listen)
}

func tcp(address string) endpoint { return endpoint{network: "tcp", address: address} }

func TestListenTakesWhatGoesWithAnAddress(t *testing.T) {
	t.Parallel()
	balanced := endpoint{network: "tcp", address: ":25", proxyFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	socket := endpoint{network: "unix", address: "/run/lmtp", mode: 0o660}
	const table = `{ address = ":25", proxy_from = ["10.0.0.1/8", "::1"] }`
	for name, text := range map[string]string{
		"a table":         "smtp = " + table + "\n",
		"a list":          "smtp = [" + table + "]\n",
		"beside a string": "smtp = [" + table + ", \"127.0.0.1:25\"]\n",
	} {
		c, err := loadConfig(writeConfig(t, "hostname = \"a.b\"\n[listen]\n"+text), nil, false)
		require.NoError(t, err, name)
		require.True(t, balanced.equal(c.listen["smtp"][0]), name)
	}
	c, err := loadConfig("", []string{
		"FULLSERVER_HOSTNAME=a.b", "FULLSERVER_LISTEN_SMTP=" + table, `FULLSERVER_LISTEN_LMTP=[{ address = "unix:/run/lmtp", mode = "0660" }]`,
	}, false)
	require.NoError(t, err)
	require.Equal(t, []endpoint{balanced}, c.listen["smtp"])
	for value, want := range map[string][]endpoint{
		`[":26", ` + table + `]`: {tcp(":26"), balanced},
		`[ ` + table + `, ]`:     {balanced},
		`[":26"]`:                {tcp(":26")},
		`[]`:                     nil,
		`[::1]:26,:27`:           {tcp("[::1]:26"), tcp(":27")},
	} {
		c, err := loadConfig("", []string{"FULLSERVER_HOSTNAME=a.b", "FULLSERVER_LISTEN_SMTP=" + value}, false)
		require.NoError(t, err, value)
		require.Equal(t, want, c.listen["smtp"], value)
	}
	twice, err := loadConfig("", []string{"FULLSERVER_HOSTNAME=a.b", "FULLSERVER_LISTEN_SMTP=:0,:0"}, false)
	require.NoError(t, err)
	require.Len(t, twice.listen["smtp"], 2, "the system takes free ports")
	require.Equal(t, []endpoint{socket}, c.listen["lmtp"])
	require.Equal(t, "unix:/run/lmtp", socket.String())
}

func TestConfigErrorsNameKeyAndLine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"unknown key":           {"hostname = \"a.b\"\n\nhots = 1\n", "line 3: unknown key hots"},
		"unknown in section":    {"[tls]\nmode = \"manual\"\nmod = \"x\"\n", "line 3: unknown key tls.mod"},
		"unknown section":       {"hostname = \"a.b\"\n[tsl]\nmode = \"manual\"\n", "line 3: unknown key tsl.mode"},
		"empty section":         {"[tsl]\n", "line 1: unknown key tsl"},
		"bad value":             {"[limits]\n# c\nmessage_size = \"5X\"\n", "line 3: limits.message_size"},
		"bad type":              {"hostname = 5\n", "line 1: hostname: must be a string"},
		"negative":              {"[limits]\nrecipients = -1\n", "line 2: limits.recipients"},
		"syntax":                {"hostname = \"a.b\"\nx = \n", "line 2"},
		"not a host":            {"hostname = \"a b\"\n", "line 1: hostname"},
		"bad address":           {"[listen]\nsmtp = [\"25\"]\n", "line 2: listen.smtp"},
		"not a list":            {"[listen]\nsmtp = 25\n", "line 2: listen.smtp"},
		"acme":                  {"[tls]\nmode = \"acme\"\n", "line 2: tls.mode"},
		"relative socket":       {"[listen]\nlmtp = [\"unix:x\"]\n", "line 2: listen.lmtp: \"unix:x\" is not unix: and an absolute path"},
		"long socket":           {"[listen]\nlmtp = [\"unix:/" + strings.Repeat("x", 100) + "\"]\n", "line 2: listen.lmtp"},
		"socket for smtp":       {"[listen]\nsmtp = [\"unix:/x\"]\n", "line 2: listen.smtp: \"unix:/x\": only lmtp"},
		"bad permissions":       {"[listen]\nlmtp = { address = \"unix:/x\", mode = \"rw\" }\n", "line 2: listen.lmtp: mode: \"rw\" are no permissions"},
		"permissions of a port": {"[listen]\nsmtp = { address = \":25\", mode = \"0600\" }\n", "line 2: listen.smtp: mode, owner and group: \":25\" is no Unix socket"},
		"owner of a port":       {"[listen]\nlmtp = { address = \":24\", owner = \"mail\" }\n", "line 2: listen.lmtp: mode, owner and group: \":24\" is no Unix socket"},
		"no owner":              {"[listen]\nlmtp = { address = \"unix:/x\", group = \"\" }\n", "line 2: listen.lmtp: group: must not be empty"},
		"balanced socket":       {"[listen]\nlmtp = { address = \"unix:/x\", proxy_from = [\"::1\"] }\n", "line 2: listen.lmtp: proxy_from: \"unix:/x\" is a Unix socket"},
		"LMTP for everybody":    {"[listen]\nlmtp = [\"127.0.0.1:25\"]\n", "line 2: listen.lmtp: \"127.0.0.1:25\": LMTP must not be on port 25"},
		"one address twice":     {"hostname = \"a.b\"\n[listen]\nsmtp = [\":26\", \":26\"]\n", "line 3: listen.smtp: :26 is named twice"},
		"two services at one":   {"hostname = \"a.b\"\n[listen]\nimap = [\":143\"]\npop3 = [\":143\"]\n", "line 4: listen.pop3: :143 is named twice"},
		"a long greeting":       {"[policy]\ngreet_delay = \"61s\"\n", "line 2: policy.greet_delay: must not be longer than 1m"},
		"no balancer":           {"[listen]\nsmtp = { address = \":25\", proxy_from = [] }\n", "line 2: listen.smtp: proxy_from: names no load balancer"},
		"bad balancer":          {"[listen]\nsmtp = { address = \":25\", proxy_from = [\"lb\"] }\n", "line 2: listen.smtp: proxy_from: \"lb\" is neither"},
		"unknown in a table":    {"[listen]\nsmtp = { address = \":25\", proxy = 1 }\n", "line 2: listen.smtp: proxy: unknown key"},
		"no address":            {"[listen]\nsmtp = { proxy_from = [\"::1\"] }\n", "line 2: listen.smtp: \"\" is not an address"},
		"bad retry":             {"[outbound]\nretry = \"soon\"\n", "line 2: outbound.retry"},
		"bad lifetime":          {"[outbound]\nlifetime = \"-1h\"\n", "line 2: outbound.lifetime"},
		"bad bind":              {"[outbound]\nbind = [\"mail\"]\n", "line 2: outbound.bind"},
		"bad network":           {"[policy]\ntrusted_networks = [\"10.0.0.0/40\"]\n", "line 2: policy.trusted_networks"},
		"bad choice":            {"[policy]\nspf_fail = \"shout\"\n", "is not one of reject, junk, tag"},
		"bad action":            {"[policy]\nno_from = \"bounce\"\n", "line 2: policy.no_from: \"bounce\" is not one of reject, defer, junk, tag"},
		"never for good":        {"[policy]\n\nspf_temperror = \"reject\"\n", "line 3: policy.spf_temperror: \"reject\" is not one of defer, junk, tag"},
		"action of no type":     {"[policy]\niprev_fail = true\n", "line 2: policy.iprev_fail: must be a string"},
		"unknown outcome":       {"[policy]\nspf_pass = \"junk\"\n", "line 2: unknown key policy.spf_pass"},
		"bad mode":              {"[policy]\ndmarc_mode = \"rfc1\"\n", "line 2: policy.dmarc_mode"},
		"bad sealer":            {"[policy]\ntrusted_sealers = [\"a..b\"]\n", "line 2: policy.trusted_sealers"},
		"bad seal":              {"[dkim]\narc_seal = \"maybe\"\n", "line 2: dkim.arc_seal: must be true or false"},
		"sealers by wildcard":   {"[policy]\ntrusted_sealers = [\"*.google.com\"]\n", "line 2: policy.trusted_sealers: \"*.google.com\" is not a domain name: a sealer is named as it signs, such as \"google.com\""},
		"no domain":             {"domains = [\"not a domain\"]\n", "\"not a domain\" is not a domain name"},
		"failure reports alone": {"hostname = \"a.b\"\n[reports]\nfailure = true\n", "line 3: reports.failure: needs reports.dmarc = true"},
		"bad reports":           {"[reports]\ndmarc = \"daily\"\n", "line 2: reports.dmarc: must be true or false"},
		"bad reporter":          {"[reports]\nemail = \"me\"\n", "line 2: reports.email"},
		"reporter in UTF-8":     {"[reports]\nemail = \"b\u00fc@example.com\"\n", "line 2: reports.email: \"b\u00fc@example.com\" must be in ASCII"},
		"bad organization":      {"[reports]\norganization = \"a\\nb\"\n", "line 2: reports.organization: must be one line"},
		"bad settle":            {"[dkim]\nrotation_settle = \"soon\"\n", "line 2: dkim.rotation_settle"},
		"bad grace":             {"[dkim]\nrotation_grace = \"-7d\"\n", "line 2: dkim.rotation_grace"},
		"bad bool":              {"[dns]\ntrust_ad = \"perhaps\"\n", "line 2: dns.trust_ad"},
		"bad postmaster":        {"[policy]\npostmaster = \"me\"\n", "line 2: policy.postmaster"},
		"bad domain":            {"domains = [\"a..b\"]\n", "line 1: domains"},
		"manual without key":    {"hostname = \"a.b\"\n[tls]\ncert = \"x\"\n", "line 3: tls.cert: tls.mode manual needs"},
		"array of tables":       {"hostname = \"a.b\"\n\n[[listen]]\nsmtp = [\":25\"]\n", "line 3: unknown key listen"},
		"a string for a list":   {"domains = \"a.test\"\n", "line 1: domains: must be a list"},
		"no port":               {"[listen]\nsmtp = [\":foo\"]\n", "line 2: listen.smtp"},
		"not a DNS port":        {"[dns]\nservers = [\"ns.example.com:dns\"]\n", "line 2: dns.servers"},
		"which domain":          {"domains = [\"a.test\", \"b..test\"]\n", `"b..test"`},
		"password in clear":     {"hostname = \"a.b\"\n[outbound]\nsmarthost_password = \"p\"\nsmarthost_tls = \"none\"\n", "line 3: outbound.smarthost_password: would go out in clear"},
		"password, no user":     {"hostname = \"a.b\"\n[outbound]\nsmarthost_password = \"p\"\n", "smarthost_user"},
		"two of one family":     {"hostname = \"a.b\"\n[outbound]\nbind = [\"1.2.3.4\", \"1.2.3.5\"]\n", "line 3: outbound.bind: one address of each family"},
		"dotted unknown key":    {"tls.mod = \"x\"\n", "line 1: unknown key tls.mod"},
		"smarthost, no port":    {"[outbound]\nsmarthost = \"x\"\n", "line 2: outbound.smarthost"},
		"bad key in the list":   {"domains = [1]\n", "line 1: domains: must be a list of strings"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := loadConfig(writeConfig(t, tc.text), nil, false)
			require.ErrorContains(t, err, tc.want)
		})
	}
	_, err := loadConfig(filepath.Join(t.TempDir(), "missing.toml"), nil, true)
	require.ErrorIs(t, err, os.ErrNotExist, "a named file that is missing is an error")
}

func TestEnvironmentComesBeforeTheFile(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("from a file\n"), 0o600))
	c, err := loadConfig(writeConfig(t, wholeConfig), []string{
		"FULLSERVER_HOSTNAME=mx.example.org", "FULLSERVER_TLS_MODE=self-signed", "FULLSERVER_LISTEN_SMTP=127.0.0.1:25,127.0.0.2:25",
		"FULLSERVER_LISTEN_POP3=", "FULLSERVER_LIMITS_RECIPIENTS=7", "FULLSERVER_LIMITS_MESSAGE_SIZE=1000", "FULLSERVER_DNS_TRUST_AD=false",
		"FULLSERVER_OUTBOUND_SMARTHOST_PASSWORD__FILE=" + secret, "HOME=/root",
	}, false)
	require.NoError(t, err)
	require.Equal(t, "mx.example.org", c.hostname)
	require.Equal(t, "self-signed", c.tls.mode)
	require.Equal(t, []endpoint{tcp("127.0.0.1:25"), tcp("127.0.0.2:25")}, c.listen["smtp"])
	require.NotContains(t, c.listen, "pop3")
	require.Equal(t, 7, c.limits.recipients)
	require.EqualValues(t, 1000, c.limits.messageSize)
	require.False(t, c.dns.trustAD)
	require.Equal(t, "from a file", c.outbound.smarthost.password)

	for variable, want := range map[string]string{
		"FULLSERVER_HOTSNAME=x":                "unknown environment variable FULLSERVER_HOTSNAME",
		"FULLSERVER_LIMITS_RECIPIENTS=many":    "environment variable FULLSERVER_LIMITS_RECIPIENTS",
		"FULLSERVER_HOSTNAME__FILE=/not/there": "FULLSERVER_HOSTNAME__FILE",
	} {
		_, err := loadConfig("", []string{variable}, true)
		require.ErrorContains(t, err, want)
	}
}

func TestWithoutAnythingItIsTryItMode(t *testing.T) {
	t.Parallel()
	c, err := loadConfig("", []string{"PATH=/bin"}, true)
	require.NoError(t, err)
	require.True(t, c.tryIt)
	require.Equal(t, "localhost", c.hostname)
	for _, service := range services {
		if service == "lmtp" {
			require.Empty(t, c.listen[service])
			continue
		}
		require.Len(t, c.listen[service], 1)
		require.Regexp(t, `^127\.0\.0\.1:2\d\d\d$`, c.listen[service][0].address)
	}
	require.True(t, filepath.IsAbs(c.dataDir))
	require.Equal(t, "mail-data", filepath.Base(c.dataDir))
}

func TestChangesThatNeedARestart(t *testing.T) {
	t.Parallel()
	a, err := loadConfig(writeConfig(t, wholeConfig), nil, false)
	require.NoError(t, err)
	b, err := loadConfig(writeConfig(t, wholeConfig), []string{"FULLSERVER_LISTEN_SMTP=:26", "FULLSERVER_POLICY_DMARC=enforce"}, false)
	require.NoError(t, err)
	require.Equal(t, []string{"listen"}, a.needsRestart(b))
	require.Empty(t, a.needsRestart(a))
}

func FuzzConfig(f *testing.F) {
	f.Add(wholeConfig)
	f.Add("a.b.c = [[1]]\n[x]\n[[y]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "f.toml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		if c, err := loadConfig(file, nil, false); err == nil {
			require.NotEmpty(t, c.hostname)
		}
	})
}
