package imapd_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBodyStructureConsensus compares BODYSTRUCTURE and BODY, as clients get them, with those of Dovecot and Cyrus where these two agree.
func TestBodyStructureConsensus(t *testing.T) {
	t.Parallel()
	dir := suite(t, "imap-bodystructure")
	raw, err := os.ReadFile(filepath.Join(dir, "consensus-dovecot-cyrus.json"))
	require.NoError(t, err)
	var names []string
	require.NoError(t, json.Unmarshal(raw, &names))
	require.NotEmpty(t, names)
	w := start(t, nil)
	for _, name := range names {
		message, err := os.ReadFile(filepath.Join(dir, "emails", name))
		require.NoError(t, err)
		w.put(string(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))))
	}
	c := &scriptConn{client: w.selected()}
	s := &script{t: t}
	for i, name := range names {
		for item, suffix := range map[string]string{"BODYSTRUCTURE": ".dovecot.bodystructure", "BODY": ".dovecot.body"} {
			want, err := os.ReadFile(filepath.Join(dir, "emails", strings.TrimSuffix(name, ".eml")+suffix))
			require.NoError(t, err)
			c.send("x FETCH " + strconv.Itoa(i+1) + " " + item + "\r\n")
			_, got, _ := strings.Cut(s.reply(c), " FETCH ")
			require.Equal(t, "x OK FETCH completed", c.line())
			text := regexp.MustCompile(`\{(\d+)\}\n`).ReplaceAllString(strings.TrimSpace(string(want)), "{$1}\r\n")
			require.Equal(t, fold(s.parse(nil, text)), fold(s.parse(nil, got)), "%s %s", name, item)
		}
	}
}

// fold makes comparable what may differ: the case of words and whether a string is a literal.
func fold(nodes []node) []node {
	for i := range nodes {
		nodes[i].text = strings.ToLower(nodes[i].text)
		fold(nodes[i].list)
	}
	return nodes
}
