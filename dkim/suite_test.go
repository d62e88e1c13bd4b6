package dkim_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
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

func TestSuiteChasquid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(suite(t), "chasquid")
	messages, err := filepath.Glob(filepath.Join(dir, "*.msg"))
	require.NoError(t, err)
	require.NotEmpty(t, messages)
	for _, path := range messages {
		name := strings.TrimSuffix(filepath.Base(path), ".msg")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := chasquidZone{}
			if _, err := os.Stat(filepath.Join(dir, name+".dns")); err == nil {
				z = readChasquidZone(t, dir, name+".dns")
			}
			// Their limit is 5 signatures.
			results := verify(t, readLinked(t, dir, name+".msg"), z, dkim.Options{MaxSignatures: 5})
			if strings.HasPrefix(name, "03") { // no message at all: they refuse to look at it
				require.Equal(t, dkim.None, results[0].Status)
				return
			}
			var want struct {
				Results []struct{ Domain, Selector, B, State string }
			}
			require.NoError(t, json.Unmarshal([]byte(readLinked(t, dir, name+".result")), &want))
			if strings.HasPrefix(name, "02") {
				require.Len(t, results, len(want.Results)+1)
				require.ErrorIs(t, results[5].Err, dkim.ErrTooManySignatures)
				results = results[:5]
			}
			require.Len(t, results, len(want.Results))
			for i, w := range want.Results {
				r := results[i]
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
		})
	}
}

func TestSuiteDKIMVerifier(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(suite(t), "dkim_verifier")
	z := rfcZone()
	z["s.flags._domainkey.example.com"] = []string{"t=s; " + strings.TrimPrefix(rfc6376Key, "v=DKIM1; ")}
	const brisbane = "example.com brisbane "
	two := []string{"football.example.com brisbane pass", "football.example.com test pass"}
	// In the messages of which nothing is said here, the one signature passes; fields that nobody signed may be there.
	want := map[string][]string{
		"fakePayPal.eml":                            {"none"},
		"ill_formed-from.eml":                       {"none"},
		"rfc6376-A.2-body_modified.eml":             {brisbane + "fail"},
		"rfc6376-A.2-header_subject_modified.eml":   {brisbane + "fail"},
		"rfc6376-A.2-ill_formed-missing_v.eml":      {brisbane + "permerror"},
		"rfc8463-A.3-key_algo_mismatch.eml":         {"football.example.com test permerror", "football.example.com brisbane permerror"},
		"rfc8463-A.3.eml":                           two,
		"time-received_after_creation.eml":          two[:1],
		"time-received_briefly_before_creation.eml": two[:1],
		"time-received_long_before_creation.eml":    two[:1],
		"flags_s-auid_and_sdid_match.eml":           {"example.com s.flags pass"},
		"flags_s-auid_is_subdomain_of_sdid.eml":     {"example.com s.flags permerror"},
		"added_header-from.eml":                     {brisbane + "pass"}, // above the signature, not oversigned
	}
	for _, pattern := range []string{"*.eml", "dkim/*.eml"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			name := filepath.Base(path)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				results := verify(t, readFile(t, path), z, dkim.Options{})
				expected, ok := want[name]
				if !ok {
					expected = []string{brisbane + "pass"}
				}
				require.Equal(t, expected, statuses(results), "%v", results[0].Err)
			})
		}
	}
}

func TestSuiteMimeKit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(suite(t), "mimekit")
	block, _ := pem.Decode([]byte(readFile(t, filepath.Join(dir, "gmail.pub"))))
	require.NotNil(t, block)
	z := rfcZone()
	z["20120113._domainkey.gmail.com"] = []string{"k=rsa; p=" + base64Of(block.Bytes)}
	for _, name := range []string{"gmail.msg", "multipart-no-end-boundary.msg", "related.msg", "rfc8463-example.msg"} {
		for _, r := range verify(t, readFile(t, filepath.Join(dir, name)), z, dkim.Options{}) {
			require.Equal(t, dkim.Pass, r.Status, "%s: %v", name, r.Err)
		}
	}
	// A key that another program made signs, and the record that it wrote fits.
	key, err := dkim.ParsePrivateKey([]byte(readFile(t, filepath.Join(dir, "example.pem"))))
	require.NoError(t, err)
	zoneFile := readFile(t, filepath.Join(dir, "example.bind9"))
	var txt string
	for i, part := range strings.Split(zoneFile, `"`) {
		if i%2 == 1 {
			txt += part
		}
	}
	published, err := dkim.ParseKey(txt)
	require.NoError(t, err)
	require.Equal(t, key.Public(), published.Public)
	require.True(t, published.Strict)
}

func TestSuiteMailauth(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(suite(t), "mailauth")
	var dns map[string]struct{ TXT [][]string }
	require.NoError(t, json.Unmarshal([]byte(readFile(t, filepath.Join(dir, "ec/fixtures/dns.json"))), &dns))
	z := zone{}
	for name, records := range dns {
		for _, strs := range records.TXT {
			z[name] = append(z[name], strings.Join(strs, ""))
		}
	}
	results := verify(t, readFile(t, filepath.Join(dir, "ec/fixtures/signed.eml")), z, dkim.Options{})
	require.Equal(t, []string{"football.example.com brisbane pass", "football.example.com test pass"}, statuses(results))

	for _, typ := range []string{"rsa", "ed25519"} {
		key, err := dkim.ParsePrivateKey([]byte(readFile(t, filepath.Join(dir, "private-"+typ+".pem"))))
		require.NoError(t, err)
		record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: "example.com", Selector: "s"})
		require.NoError(t, err)
		s := &dkim.Signer{Domain: "example.com", Selector: "s", Key: key}
		for _, name := range []string{"message1.eml", "message2.eml", "message4.eml"} {
			message := readFile(t, filepath.Join(dir, name))
			r := verify(t, sign(t, message, s)+message, zone{record.Name: {record.Value}}, dkim.Options{})
			require.Equal(t, dkim.Pass, r[0].Status, "%s %v", name, r[0].Err)
		}
	}
}

// The same signature, received before and after it says that it was made.
func TestSuiteDKIMVerifierTimes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(suite(t), "dkim_verifier", "dkim")
	for name, c := range map[string]struct {
		received string
		status   dkim.Status
	}{
		"time-received_after_creation.eml":          {"2018-06-10T15:00:00Z", dkim.Pass},
		"time-received_briefly_before_creation.eml": {"2018-06-10T13:30:00Z", dkim.Pass},
		"time-received_long_before_creation.eml":    {"2003-07-12T04:01:54Z", dkim.Policy},
	} {
		received, err := time.Parse(time.RFC3339, c.received)
		require.NoError(t, err)
		opts := dkim.Options{Now: func() time.Time { return received }}
		r := verify(t, readFile(t, filepath.Join(dir, name)), rfcZone(), opts)[0]
		require.Equal(t, c.status, r.Status, "%s: %v", name, r.Err)
	}
}
