package mimeindex_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// suite is a folder of the conformance data, or the test is skipped.
func suite(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("MAILBRICKS_SUITES")
	if dir == "" {
		t.Skip("MAILBRICKS_SUITES is not set: no conformance data")
	}
	return filepath.Join(dir, name)
}

func parse(t testing.TB, message []byte) *mimeindex.Part {
	t.Helper()
	root, err := mimeindex.Parse(bytes.NewReader(message), mimeindex.Limits{})
	require.NoError(t, err)
	return root
}

// toCRLF gives bare LFs the CR that a message in a store has.
func toCRLF(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// TestBodyStructureConsensus: where Dovecot and Cyrus agree, we do.
func TestBodyStructureConsensus(t *testing.T) {
	t.Parallel()
	dir := suite(t, "imap-bodystructure")
	list, err := os.ReadFile(filepath.Join(dir, "consensus-dovecot-cyrus.json"))
	require.NoError(t, err)
	var names []string
	require.NoError(t, json.Unmarshal(list, &names))
	require.NotEmpty(t, names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, "emails", name)
			message, err := os.ReadFile(file)
			require.NoError(t, err)
			root := parse(t, message)
			for suffix, format := range map[string]mimeindex.BodyFormat{"body": mimeindex.Basic, "bodystructure": mimeindex.Extended} {
				for _, server := range []string{"dovecot", "cyrus"} {
					want := answer(t, strings.TrimSuffix(file, ".eml")+"."+server+"."+suffix)
					got, rest, err := parseValue(root.AppendBody(nil, format))
					require.NoError(t, err)
					require.Empty(t, rest)
					require.Equal(t, fold(want), fold(got), "%s of %s", suffix, server)
				}
			}
		})
	}
}

// answer reads what a server said: (BODY (...)) or (BODYSTRUCTURE (...)).
func answer(t testing.TB, file string) value {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	v, _, err := parseValue(b)
	require.NoError(t, err)
	list, ok := v.([]value)
	require.True(t, ok && len(list) == 2, "%s", file)
	return list[1]
}

// suiteMessages are the messages of all suites that have some.
func suiteMessages(t testing.TB) map[string][]byte {
	t.Helper()
	messages := make(map[string][]byte)
	for _, pattern := range []string{"imap-bodystructure/emails/*/*.eml", "mime/mime4j/*.msg", "mime/enmime/*/*.raw"} {
		files, err := filepath.Glob(suite(t, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			message, err := os.ReadFile(file)
			require.NoError(t, err)
			messages[file] = message
		}
	}
	return messages
}
