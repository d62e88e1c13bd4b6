package authres_test

import (
	"bytes"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/stretchr/testify/require"
)

// The fields of the messages that a mail reader's verifier is tested with: what each says, and ("!") which are to go if we
// are example.net. Each case is a message of the suite; the table has one line a message.
func TestSuiteAuthenticationResults(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("MAILBRICKS_SUITES")
	if dir == "" {
		t.Skip("MAILBRICKS_SUITES names no folder with the conformance data")
	}
	files, err := filepath.Glob(filepath.Join(dir, "dkim", "dkim_verifier", "arh", "*.eml"))
	require.NoError(t, err)
	want := map[string]string{
		"alignment-auid_not_in_sdid":               "example.net! dkim=pass",
		"alignment-from_not_in_sdid":               "example.net! dkim=pass",
		"dkim-unknown_result":                      "example.net! dkim=timeout",
		"fakePayPal":                               "example.net! dkim=pass",
		"multiple_arh-newest_no_authserv":          "?! | unrelated.com dkim=pass | ?!",
		"multiple_arh-newest_no_result":            "example.net! | unrelated.com dkim=pass | example.net! dkim=pass",
		"multiple_arh-newest_parsing_error_01":     "example.net! dkim=pass | unrelated.com dkim=pass | example.net! dkim=pass",
		"multiple_arh-newest_parsing_error_02":     "?! | unrelated.com dkim=pass | ?!",
		"multiple_arh-newest_unknown_method":       "example.net! foo=pass | unrelated.com dkim=pass | example.net! dkim=pass",
		"multiple_arh-same_and_different_authserv": "example.net! spf=pass | example.net! dkim=pass | example.net! dkim=pass | foo.example.net dkim=pass | unrelated.com dkim=pass | ?! | example.net! dkim=pass",
		"multiple_dkim_results":                    "example.net! dkim=fail dkim=pass dkim=pass dkim=fail dkim=fail dkim=fail dkim=pass",
		"rfc6376-A.2-arh-failed":                   "example.net! spf=pass dkim=fail",
		"rfc6376-A.2-arh-failed-no_reason":         "example.net! spf=pass dkim=fail",
		"rfc6376-A.2-arh-valid":                    "example.net! spf=pass dkim=pass",
		"rfc6376-A.2-arh-valid-a_tag":              "example.net! spf=pass dkim=pass",
		"rfc6376-A.2-arh-valid-a_tag_sha1":         "example.net! spf=pass dkim=pass",
		"rfc6376-A.2-arh-valid-auid":               "example.net! spf=pass dkim=pass",
		"rfc6376-A.2-arh-valid-no_sdid_or_auid":    "example.net! spf=pass dkim=pass",
		"rfc6376-A.2-arh-valid-sdid_and_auid":      "example.net! spf=pass dkim=pass",
		"rfc6376-A.2-arh-valid_relaxed":            "example.net! spf=pass dkim=pass",
		"multiple_spf_and_dmarc_results":           "example.net! spf=fail spf=pass spf=none spf=softfail spf=policy spf=neutral spf=temperror spf=permerror dmarc=fail dmarc=pass dmarc=permerror dmarc=none dmarc=temperror",
	}
	require.Len(t, files, len(want))
	passed, fields := 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".eml")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			msg, err := mail.ReadMessage(bytes.NewReader(raw))
			require.NoError(t, err)
			var said []string
			for _, value := range msg.Header[authres.Name] {
				said = append(said, summary(value))
			}
			fields += len(said)
			require.Equal(t, want[name], strings.Join(said, " | "))
			passed++
			t.Logf("%-45s %s", name, strings.Join(said, " | "))
		})
	}
	t.Logf("Authentication-Results: %d messages with %d fields, %d passed", len(files), fields, passed)
}

// summary is what a field says, as "authserv-id! method=result".
func summary(value string) string {
	f, _ := authres.Parse(value)
	text := f.ServID
	if text == "" {
		text = "?"
	}
	if authres.Forged(value, "example.net") {
		text += "!"
	}
	for _, r := range f.Results {
		text += " " + r.Method + "=" + r.Value
	}
	return text
}
