package dkim_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

// suite gives the folder of DKIM data that others made.
func suite(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MAILBRICKS_SUITES")
	if dir == "" {
		t.Skip("MAILBRICKS_SUITES does not name the folder of conformance data")
	}
	return filepath.Join(dir, "dkim")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(data)
}

// group is the data of one origin, in the folder of its name; add runs one case of it.
type group struct {
	name string
	run  func(t *testing.T, dir string, add func(name string, check func(t *testing.T)))
}

// Every file of the suite is a case, or the key or zone of one. None is skipped.
func TestSuite(t *testing.T) {
	t.Parallel()
	dir := suite(t)
	table := fmt.Sprintf("%-15s %5s %7s\n", "DKIM data of", "run", "passed")
	for _, g := range []group{
		{"chasquid", runChasquid}, {"dkim_verifier", runVerifier}, {"mailauth", runMailauth}, {"mimekit", runMimeKit},
	} {
		var ran, failed atomic.Int32
		t.Run(g.name, func(t *testing.T) {
			g.run(t, filepath.Join(dir, g.name), func(name string, check func(t *testing.T)) {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					ran.Add(1)
					t.Cleanup(func() {
						if t.Failed() {
							failed.Add(1)
						}
					})
					check(t)
				})
			})
		})
		require.Positive(t, ran.Load(), g.name)
		table += fmt.Sprintf("%-15s %5d %7d\n", g.name, ran.Load(), ran.Load()-failed.Load())
	}
	t.Log("\n" + table)
}

// files are the files of a folder that fit one of the patterns, at least one for each.
func files(t *testing.T, dir string, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		all = append(all, paths...)
	}
	return all
}

// statuses has "domain selector status" for each result.
func statuses(results []dkim.Result) []string {
	var all []string
	for _, r := range results {
		all = append(all, strings.TrimSpace(r.Domain+" "+r.Selector+" "+string(r.Status)))
	}
	return all
}

// chasquidZone reads the suite's own form of a zone: "name: record" with backslashes for more lines.
type chasquidZone map[string][]string

func (z chasquidZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	records := z[strings.TrimSuffix(name, ".")]
	if len(records) == 1 && records[0] == "TEMPERROR" {
		return nil, &net.DNSError{Err: "for testing", IsTemporary: true}
	}
	if len(records) == 0 || records[0] == "PERMERROR" {
		return nil, &net.DNSError{Err: "for testing"}
	}
	return records, nil
}

// readLinked reads a file of the suite; a link may have come as a file that holds its target's name.
func readLinked(t *testing.T, dir, name string) string {
	t.Helper()
	text := readFile(t, filepath.Join(dir, name))
	if target := filepath.Join(dir, strings.TrimSpace(text)); !strings.Contains(text, "\n") && len(text) < 100 {
		if _, err := os.Stat(target); err == nil {
			return readFile(t, target)
		}
	}
	return text
}

func readChasquidZone(t *testing.T, dir, name string) chasquidZone {
	z := chasquidZone{}
	text := strings.ReplaceAll(readLinked(t, dir, name), "\\\n", "")
	for line := range strings.Lines(text) {
		if name, record, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			z[name] = append(z[name], strings.TrimSpace(record))
		}
	}
	return z
}

func runChasquid(t *testing.T, dir string, add func(string, func(t *testing.T))) {
	for _, path := range files(t, dir, "*.msg") {
		name := strings.TrimSuffix(filepath.Base(path), ".msg")
		z := chasquidZone{}
		if _, err := os.Stat(filepath.Join(dir, name+".dns")); err == nil {
			z = readChasquidZone(t, dir, name+".dns")
		}
		add(name, func(t *testing.T) {
			results := verify(t, readLinked(t, dir, name+".msg"), z, dkim.Options{MaxSignatures: 5}) // 5 is their limit
			if strings.HasPrefix(name, "03") {
				// No message at all, which they refuse to look at. It has no signature (RFC 6376 §6.1).
				require.Equal(t, []dkim.Result{{Status: dkim.None}}, results)
				return
			}
			var want struct{ Results []chasquidResult }
			require.NoError(t, json.Unmarshal([]byte(readLinked(t, dir, name+".result")), &want))
			if strings.HasPrefix(name, "02") { // one more result says that there are more signatures
				require.Len(t, results, len(want.Results)+1)
				require.ErrorIs(t, results[5].Err, dkim.ErrTooManySignatures)
				results = results[:5]
			}
			require.Len(t, results, len(want.Results))
			for i, w := range want.Results {
				w.compare(t, results[i])
			}
		})
	}
}

type chasquidResult struct{ Domain, Selector, B, State string }

func (w chasquidResult) compare(t *testing.T, r dkim.Result) {
	switch w.State {
	case "SUCCESS":
		require.Equal(t, dkim.Pass, r.Status, "%v", r.Err)
	case "TEMPFAIL":
		require.Equal(t, dkim.TempError, r.Status, "%v", r.Err)
	default:
		require.Equal(t, "PERMFAIL", w.State)
		require.Contains(t, []dkim.Status{dkim.Fail, dkim.PermError}, r.Status)
	}
	if w.Domain != "" {
		require.Equal(t, w.Domain, r.Domain)
		require.Equal(t, w.Selector, r.Selector)
		require.True(t, strings.HasPrefix(w.B, r.Prefix))
	}
}

func runVerifier(t *testing.T, dir string, add func(string, func(t *testing.T))) {
	z := rfcZone()
	z["s.flags._domainkey.example.com"] = []string{"t=s; " + strings.TrimPrefix(rfc6376Key, "v=DKIM1; ")}
	const brisbane = "example.com brisbane "
	two := []string{"football.example.com brisbane pass", "football.example.com test pass"}
	// In the messages of which nothing is said here, the one signature passes; fields that nobody signed may be there.
	want := map[string][]string{
		"fakePayPal.eml":                          {"none"},
		"ill_formed-from.eml":                     {"none"},
		"rfc6376-A.2-body_modified.eml":           {brisbane + "fail"},
		"rfc6376-A.2-header_subject_modified.eml": {brisbane + "fail"},
		"rfc6376-A.2-ill_formed-missing_v.eml":    {brisbane + "permerror"},
		"rfc8463-A.3-key_algo_mismatch.eml": {
			"football.example.com test permerror", "football.example.com brisbane permerror",
		},
		"rfc8463-A.3.eml":                           two,
		"time-received_after_creation.eml":          two[:1],
		"time-received_briefly_before_creation.eml": two[:1],
		"time-received_long_before_creation.eml":    two[:1],
		"flags_s-auid_and_sdid_match.eml":           {"example.com s.flags pass"},
		"flags_s-auid_is_subdomain_of_sdid.eml":     {"example.com s.flags permerror"},
	}
	for _, path := range files(t, dir, "*.eml", "dkim/*.eml", "arh/*.eml") {
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		expected, ok := want[filepath.Base(path)]
		switch {
		case ok:
		case filepath.Dir(name) == "arh" && !strings.Contains(name, "rfc6376"): // Authentication-Results only
			expected = []string{"none"}
		default:
			expected = []string{brisbane + "pass"}
		}
		add(filepath.ToSlash(name), func(t *testing.T) {
			results := verify(t, readFile(t, path), z, dkim.Options{})
			require.Equal(t, expected, statuses(results), "%v", results[0].Err)
		})
	}
	// The same signature, received before and after it says that it was made.
	for name, c := range map[string]struct {
		received string
		status   dkim.Status
	}{
		"time-received_after_creation.eml":          {"2018-06-10T15:00:00Z", dkim.Pass},
		"time-received_briefly_before_creation.eml": {"2018-06-10T13:30:00Z", dkim.Pass},
		"time-received_long_before_creation.eml":    {"2003-07-12T04:01:54Z", dkim.Policy},
	} {
		add("in time/"+name, func(t *testing.T) {
			received, err := time.Parse(time.RFC3339, c.received)
			require.NoError(t, err)
			opts := dkim.Options{Now: func() time.Time { return received }}
			r := verify(t, readFile(t, filepath.Join(dir, "dkim", name)), rfcZone(), opts)[0]
			require.Equal(t, c.status, r.Status, "%v", r.Err)
		})
	}
}

func runMimeKit(t *testing.T, dir string, add func(string, func(t *testing.T))) {
	block, _ := pem.Decode([]byte(readFile(t, filepath.Join(dir, "gmail.pub"))))
	require.NotNil(t, block)
	z := rfcZone()
	z["20120113._domainkey.gmail.com"] = []string{"k=rsa; p=" + base64Of(block.Bytes)}
	for _, path := range files(t, dir, "*.msg") {
		add(filepath.Base(path), func(t *testing.T) {
			for _, r := range verify(t, readFile(t, path), z, dkim.Options{}) {
				require.Equal(t, dkim.Pass, r.Status, "%v", r.Err)
			}
		})
	}
	// A key that another program made signs, and the records that it wrote fit.
	key, err := dkim.ParsePrivateKey([]byte(readFile(t, filepath.Join(dir, "example.pem"))))
	require.NoError(t, err)
	quoted := strings.Split(readFile(t, filepath.Join(dir, "example.bind9")), `"`)
	bind9 := ""
	for i := 1; i < len(quoted); i += 2 {
		bind9 += quoted[i]
	}
	tinydns := strings.Split(readFile(t, filepath.Join(dir, "example.tinydns")), ":")[1]
	for name, txt := range map[string]string{"example.bind9": bind9, "example.tinydns": tinydns} {
		add(name, func(t *testing.T) {
			published, err := dkim.ParseKey(txt)
			require.NoError(t, err)
			require.Equal(t, key.Public(), published.Public)
			require.Equal(t, name == "example.bind9", published.Strict)
			s := &dkim.Signer{Domain: "example.com", Selector: "1433868189.example", Key: key}
			r := verify(t, sign(t, letter, s)+letter, zone{"1433868189.example._domainkey.example.com": {txt}}, dkim.Options{})
			require.Equal(t, dkim.Pass, r[0].Status, "%v", r[0].Err)
		})
	}
}

func runMailauth(t *testing.T, dir string, add func(string, func(t *testing.T))) {
	var dns map[string]struct{ TXT [][]string }
	require.NoError(t, json.Unmarshal([]byte(readFile(t, filepath.Join(dir, "ec/fixtures/dns.json"))), &dns))
	z := zone{}
	for name, records := range dns {
		for _, strs := range records.TXT {
			z[name] = append(z[name], strings.Join(strs, ""))
		}
	}
	add("ec/fixtures/signed.eml", func(t *testing.T) {
		results := verify(t, readFile(t, filepath.Join(dir, "ec/fixtures/signed.eml")), z, dkim.Options{})
		require.Equal(t, []string{"football.example.com brisbane pass", "football.example.com test pass"}, statuses(results))
	})
	for _, path := range files(t, dir, "private-*.pem") {
		name := filepath.Base(path)
		add(name, func(t *testing.T) {
			key, err := dkim.ParsePrivateKey([]byte(readFile(t, path)))
			require.NoError(t, err)
			block, _ := pem.Decode([]byte(readFile(t, filepath.Join(dir, strings.Replace(name, "private", "public", 1)))))
			public, err := x509.ParsePKIXPublicKey(block.Bytes)
			require.NoError(t, err)
			require.Equal(t, public, key.Public())
			record, err := dkim.NewRecord(public, dkim.RecordOptions{Domain: "example.com", Selector: "s"})
			require.NoError(t, err)
			s := &dkim.Signer{Domain: "example.com", Selector: "s", Key: key}
			for _, path := range files(t, dir, "message*.eml") { // two have signatures of domains that do not exist here
				message := readFile(t, path)
				r := verify(t, sign(t, message, s)+message, zone{record.Name: {record.Value}}, dkim.Options{})
				require.Equal(t, dkim.Pass, r[0].Status, "%s %v", path, r[0].Err)
				for _, other := range r[1:] {
					require.ErrorIs(t, other.Err, dkim.ErrNoKey)
				}
			}
		})
	}
}
