package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// Names and defaults of where the configuration comes from.
const (
	configVariable = "FULLSERVER_CONFIG"
	variablePrefix = "FULLSERVER_"
	fileSuffix     = "__FILE"
	defaultConfig  = "fullserver.toml"
	maxConfigFile  = 1 << 20
)

// config is the configuration; README.md describes its keys.
type config struct {
	file  string // that it was read from; empty: none
	tryIt bool

	hostname string
	dataDir  string
	domains  []string
	listen   map[string][]endpoint // by service
	tls      struct{ mode, cert, key string }
	dns      struct {
		servers []string
		trustAD bool
	}
	outbound struct {
		bind      []netip.Addr
		port      int
		smarthost struct{ address, user, password, tls string }
		retry     string
		lifetime  time.Duration
	}
	limits struct {
		messageSize, freeSpace                              int64
		recipients, connections, connectionsPerIP, hopCount int
	}
	policy struct {
		spfFail, dmarc, dmarcMode string
		auth                      senderauth.Policy // what the other keys say
		trustedSealers            []string
		trustedNetworks           []netip.Prefix
		postmaster                string
	}
	dkim struct {
		arcSeal       bool
		settle, grace time.Duration
	}
	reports    reportConfig
	defence    defence
	retention  retentionConfig
	encryption encryptionConfig
	run        struct{ user string }
	log        struct{ level, format string }
}

// services in the order in which they are shown.
var services = []string{"smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "lmtp"}

func defaults() *config {
	c := &config{listen: map[string][]endpoint{}, dataDir: "/var/lib/fullserver"}
	c.outbound.port = 25
	c.outbound.smarthost.tls = "starttls"
	c.outbound.retry = "5m*3, 15m*4, 1h*8, 4h"
	c.outbound.lifetime = 5 * 24 * time.Hour
	c.limits.messageSize = 50 << 20
	c.limits.recipients = 100
	c.limits.connections = 1000
	c.limits.connectionsPerIP = 50
	c.limits.hopCount = 50
	c.limits.freeSpace = 256 << 20
	c.policy.spfFail = "junk"
	c.policy.dmarc, c.policy.dmarcMode = "enforce", "rfc9989"
	c.policy.auth = senderauth.Enforce()
	c.defence = defaultDefence()
	c.dkim.arcSeal = true
	c.dkim.settle, c.dkim.grace = sign.DefaultSettle, sign.DefaultGrace
	c.log.level, c.log.format = "info", "text"
	return c
}

// keys are all keys of the configuration with what sets them.
func (c *config) keys() map[string]setter {
	keys := map[string]setter{
		"hostname":                    text(&c.hostname, hostName),
		"data_dir":                    text(&c.dataDir, notEmpty),
		"domains":                     texts(&c.domains, domainName),
		"tls.mode":                    text(&c.tls.mode, tlsMode),
		"tls.cert":                    text(&c.tls.cert, anything),
		"tls.key":                     text(&c.tls.key, anything),
		"dns.servers":                 texts(&c.dns.servers, hostPort),
		"dns.trust_ad":                boolean(&c.dns.trustAD),
		"outbound.bind":               parsed(&c.outbound.bind, netip.ParseAddr),
		"outbound.port":               number(&c.outbound.port, 1, 65535),
		"outbound.smarthost":          text(&c.outbound.smarthost.address, emptyOr(hostPort)),
		"outbound.smarthost_user":     text(&c.outbound.smarthost.user, anything),
		"outbound.smarthost_password": text(&c.outbound.smarthost.password, anything),
		"outbound.smarthost_tls":      text(&c.outbound.smarthost.tls, oneOf("starttls", "implicit", "none")),
		"outbound.retry":              text(&c.outbound.retry, retrySchedule),
		"outbound.lifetime":           duration(&c.outbound.lifetime),
		"limits.message_size":         size(&c.limits.messageSize),
		"limits.recipients":           number(&c.limits.recipients, 1, 100_000),
		"limits.connections":          number(&c.limits.connections, 1, 1_000_000),
		"limits.connections_per_ip":   number(&c.limits.connectionsPerIP, 1, 1_000_000),
		"limits.hop_count":            number(&c.limits.hopCount, 1, 1000),
		"limits.free_space":           size(&c.limits.freeSpace),
		"policy.spf_fail":             text(&c.policy.spfFail, oneOf("reject", "junk", "tag")),
		"policy.dmarc":                text(&c.policy.dmarc, oneOf("enforce", "tag")),
		"policy.dmarc_mode":           text(&c.policy.dmarcMode, oneOf("rfc9989", "rfc7489")),
		"policy.trusted_sealers":      texts(&c.policy.trustedSealers, sealer),
		"policy.trusted_networks":     parsed(&c.policy.trustedNetworks, parseNetwork),
		"policy.postmaster":           text(&c.policy.postmaster, emptyOr(mailAddress)),
		"dkim.arc_seal":               boolean(&c.dkim.arcSeal),
		"dkim.rotation_settle":        duration(&c.dkim.settle),
		"dkim.rotation_grace":         duration(&c.dkim.grace),
		"reports.dmarc":               boolean(&c.reports.dmarc),
		"reports.failure":             boolean(&c.reports.failure),
		"reports.organization":        text(&c.reports.organization, oneLine),
		"reports.email":               text(&c.reports.email, emptyOr(reportAddress)),
		"reports.contact":             text(&c.reports.contact, oneLine),
		"run.user":                    text(&c.run.user, anything),
		"log.level":                   text(&c.log.level, oneOf("debug", "info", "warn", "error")),
		"log.format":                  text(&c.log.format, oneOf("text", "json")),
	}
	maps.Copy(keys, c.authKeys())
	maps.Copy(keys, c.defence.keys())
	maps.Copy(keys, c.retention.keys())
	maps.Copy(keys, c.encryption.keys())
	for _, service := range services {
		keys["listen."+service] = endpoints(c.listen, service)
	}
	return keys
}

// loadConfig reads the configuration: the file that was named or, if it is there, fullserver.toml, and over it the
// environment. Without any of them, and if allowed, it is that of the try-it mode.
func loadConfig(named string, environ []string, tryIt bool) (*config, error) {
	env := variables(environ)
	path := named
	if path == "" {
		path = env[configVariable]
	}
	delete(env, configVariable)
	c := defaults()
	c.file = path
	if path == "" {
		if _, err := os.Stat(defaultConfig); err == nil {
			c.file = defaultConfig
		}
	}
	if c.file == "" && len(env) == 0 && tryIt {
		return tryItConfig(), nil
	}
	if c.file != "" {
		if err := c.readFile(c.file); err != nil {
			return nil, err
		}
	}
	if err := c.readVariables(env); err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, c.locate(err)
	}
	return c, nil
}

// keyError is what is wrong with a key in the light of others.
type keyError struct{ key, reason string }

func (e *keyError) Error() string { return e.key + ": " + e.reason }

// locate adds to a keyError where the key stands, if it is in the file.
func (c *config) locate(err error) error {
	wrong, ok := errors.AsType[*keyError](err)
	if !ok || c.file == "" {
		return err
	}
	source, readErr := os.ReadFile(c.file)
	if line := findKey(string(source), wrong.key); readErr == nil && line > 0 {
		return fmt.Errorf("%s line %d: %w", c.file, line, err)
	}
	return err
}

// readFile takes over what a TOML file says.
func (c *config) readFile(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(source) > maxConfigFile {
		return fmt.Errorf("%s is larger than %d octets", path, maxConfigFile)
	}
	var tree map[string]any
	if err := toml.Unmarshal(source, &tree); err != nil {
		if parse, ok := errors.AsType[toml.ParseError](err); ok {
			return fmt.Errorf("%s line %d: %s", path, parse.Position.Line, parse.Message)
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	keys := c.keys()
	leaves := flatten("", tree, keys)
	for _, key := range slices.Sorted(maps.Keys(leaves)) {
		set := keys[key]
		if set == nil {
			return fmt.Errorf("%s line %d: unknown key %s", path, lineOf(string(source), key), key)
		}
		if err := set(leaves[key]); err != nil {
			return fmt.Errorf("%s line %d: %s: %w", path, lineOf(string(source), key), key, err)
		}
	}
	return nil
}

// flatten lists the values of a TOML tree by their whole keys. A table that is itself the value of a key stays whole.
func flatten(prefix string, tree map[string]any, keys map[string]setter) map[string]any {
	leaves := map[string]any{}
	for name, value := range tree {
		key := prefix + name
		if table, ok := value.(map[string]any); ok && keys[key] == nil && len(table) > 0 {
			maps.Copy(leaves, flatten(key+".", table, keys))
			continue
		}
		if table, ok := value.(map[string]any); ok && len(table) == 0 && isSection(key, keys) {
			continue
		}
		leaves[key] = value
	}
	return leaves
}

// isSection says whether keys begin with this one and a dot.
func isSection(section string, keys map[string]setter) bool {
	for key := range keys {
		if strings.HasPrefix(key, section+".") {
			return true
		}
	}
	return false
}

// lineOf is findKey, but 1 if the key is not found.
func lineOf(source, key string) int { return max(1, findKey(source, key)) }

// findKey finds the line of a key in a TOML source that is known to be well-formed; 0 if it cannot.
func findKey(source, key string) int {
	section, n := "", 0
	for line := range strings.Lines(source) {
		n++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			name, _, _ := strings.Cut(strings.TrimLeft(line, "["), "]")
			section = cleanKey(name) + "."
			if section == key+"." {
				return n
			}
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		if whole := section + cleanKey(name); ok && (whole == key || strings.HasPrefix(key, whole+".")) {
			return n
		}
	}
	return 0
}

// cleanKey takes blanks and quotes out of a TOML key.
func cleanKey(key string) string {
	return strings.NewReplacer(" ", "", "\t", "", `"`, "", "'", "").Replace(key)
}

// variables are the FULLSERVER_ variables of an environment.
func variables(environ []string) map[string]string {
	env := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, variablePrefix) {
			env[name] = value
		}
	}
	return env
}

// readVariables takes over what the environment says. VARIABLE comes before VARIABLE__FILE.
func (c *config) readVariables(env map[string]string) error {
	byName := map[string]setter{}
	for key, set := range c.keys() {
		byName[variablePrefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = set
	}
	for _, whole := range slices.Sorted(maps.Keys(env)) {
		value := env[whole]
		name, fromFile := strings.CutSuffix(whole, fileSuffix)
		set := byName[name]
		if set == nil {
			return fmt.Errorf("unknown environment variable %s", whole)
		}
		if fromFile {
			if _, ok := env[name]; ok {
				continue
			}
			content, err := os.ReadFile(value)
			if err != nil {
				return fmt.Errorf("%s: %w", whole, err)
			}
			value = strings.TrimRight(string(content), "\r\n")
		}
		if err := set(variable(value)); err != nil {
			return fmt.Errorf("environment variable %s: %w", whole, err)
		}
	}
	return nil
}

// finish fills in what depends on other keys and checks what must agree.
func (c *config) finish() error {
	if c.hostname == "" {
		name, err := os.Hostname()
		if err != nil || !strings.Contains(name, ".") {
			return &keyError{"hostname", "is not set: name the host as the DNS does, such as mail.example.com"}
		}
		c.hostname = name
	}
	if c.tls.mode == "" {
		c.tls.mode = "self-signed"
		if c.tls.cert != "" || c.tls.key != "" {
			c.tls.mode = "manual"
		}
	}
	if c.tls.mode == "manual" && (c.tls.cert == "" || c.tls.key == "") {
		given := "tls.mode"
		if c.tls.cert != "" {
			given = "tls.cert"
		} else if c.tls.key != "" {
			given = "tls.key"
		}
		return &keyError{given, "tls.mode manual needs both tls.cert and tls.key"}
	}
	if s := c.outbound.smarthost; s.password != "" {
		switch {
		case s.tls == "none":
			return &keyError{"outbound.smarthost_password", "would go out in clear with outbound.smarthost_tls none"}
		case s.user == "":
			return &keyError{"outbound.smarthost_password", "needs outbound.smarthost_user"}
		}
	}
	if c.reports.failure && !c.reports.dmarc {
		return &keyError{"reports.failure", "needs reports.dmarc = true"}
	}
	if err := c.defence.finish(); err != nil {
		return err
	}
	if err := c.checkListen(); err != nil {
		return err
	}
	families := map[bool]bool{}
	for _, addr := range c.outbound.bind {
		if families[addr.Is4()] {
			return &keyError{"outbound.bind", "one address of each family at most"}
		}
		families[addr.Is4()] = true
	}
	dir, err := filepath.Abs(c.dataDir)
	c.dataDir = dir
	return err
}

// checkServices fails when there is nothing to serve.
func (c *config) checkServices() error {
	if len(c.listen) == 0 {
		return errors.New("no service to run: name at least one under [listen]")
	}
	return nil
}

// path is a file or folder under data_dir.
func (c *config) path(elem ...string) string {
	return filepath.Join(append([]string{c.dataDir}, elem...)...)
}

// needsRestart lists the keys in which two configurations differ and that a running server cannot change.
func (c *config) needsRestart(next *config) []string {
	var keys []string
	if c.hostname != next.hostname {
		keys = append(keys, "hostname")
	}
	if c.dataDir != next.dataDir {
		keys = append(keys, "data_dir")
	}
	if !maps.EqualFunc(c.listen, next.listen, func(a, b []endpoint) bool { return slices.EqualFunc(a, b, endpoint.equal) }) {
		keys = append(keys, "listen")
	}
	if c.run.user != next.run.user {
		keys = append(keys, "run.user")
	}
	if c.encryption.serverKey != next.encryption.serverKey {
		keys = append(keys, "encryption.server_key")
	}
	return keys
}

// keep takes over from the configuration in force what needs a restart.
func (c *config) keep(old *config) {
	c.hostname, c.dataDir, c.listen, c.run.user = old.hostname, old.dataDir, old.listen, old.run.user
	c.encryption.serverKey = old.encryption.serverKey
}

// schedule is outbound.retry, which was checked when it was set.
func (c *config) schedule() relay.Schedule {
	schedule, err := relay.ParseSchedule(c.outbound.retry)
	if err != nil {
		panic(err) // a bug: retrySchedule let it through
	}
	return schedule
}

func retrySchedule(s string) error {
	_, err := relay.ParseSchedule(s)
	return err
}

func mailAddress(s string) error {
	_, err := directory.Canonical(s)
	return err
}

// reportAddress is a mail address that can be written everywhere.
func reportAddress(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return fmt.Errorf("%q must be in ASCII", s)
	}
	return mailAddress(s)
}

// oneLine is text that can stand in a header field.
func oneLine(s string) error {
	if strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
		return errors.New("must be one line of text")
	}
	return nil
}

func domainName(s string) error {
	if _, err := directory.CanonicalDomain(s); err != nil {
		return fmt.Errorf("%.80q is not a domain name", s)
	}
	return nil
}

// sealer is a domain that can sign, as d= of an ARC set has it.
func sealer(s string) error {
	if _, ok := domainname.DKIM(s); ok {
		return nil
	}
	if _, rest, ok := strings.Cut(s, "*."); ok {
		return fmt.Errorf("%.80q is not a domain name: a sealer is named as it signs, such as %.80q, and without wildcards", s, rest)
	}
	return fmt.Errorf("%.80q is not a domain name", s)
}

func hostName(s string) error {
	if s == "" || strings.ContainsAny(s, " :/@[]") {
		return fmt.Errorf("%q is not a host name", s)
	}
	return domainName(s)
}

func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || !isPort(port) {
		return fmt.Errorf("%q is not host:port", s)
	}
	return nil
}

func tlsMode(s string) error {
	if s == "acme" {
		return errors.New("this version has no ACME: use manual or self-signed")
	}
	return oneOf("manual", "self-signed")(s)
}
