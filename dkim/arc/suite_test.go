package arc_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

// sealingGroup is a part of the signing suite: cases with one key.
type sealingGroup struct {
	Description string
	Domain      string
	Sel         string
	PrivateKey  string
	TXT         map[string]string `json:"txt-records"`
	Tests       map[string]sealingCase
}

type sealingCase struct {
	Message string
	T       int64
	Headers string `json:"sig-headers"`
	ServID  string `json:"srv-id"`
	AS      string
	AMS     string
	AAR     string
}

// The signing suite that the authors of the standard published: same message, key and time, so same fields. What a
// sealer gets from its own filter (status and results) is taken from the message's Authentication-Results.
func TestSealingSuite(t *testing.T) {
	t.Parallel()
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "group\tcases\tpassed")
	for _, g := range readSealingSuite(t) {
		passed := 0
		for name, c := range g.Tests {
			if t.Run(name, func(t *testing.T) { g.run(t, c) }) {
				passed++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\n", strings.TrimSpace(g.Description), len(g.Tests), passed)
	}
	require.NoError(t, w.Flush())
	t.Logf("arc/valimail, signing:\n%s", table.String())
}

func readSealingSuite(t *testing.T) []sealingGroup {
	dir := os.Getenv("MAILBRICKS_SUITES")
	if dir == "" {
		t.Skip("MAILBRICKS_SUITES does not name the folder of conformance data")
	}
	data, err := os.ReadFile(filepath.Join(dir, "arc", "valimail", "tests", "arc-draft-sign-tests.json"))
	require.NoError(t, err)
	var groups []sealingGroup
	require.NoError(t, json.Unmarshal(data, &groups))
	require.NotEmpty(t, groups)
	return groups
}

func (g *sealingGroup) run(t *testing.T, c sealingCase) {
	block, _ := pem.Decode([]byte(g.PrivateKey))
	require.NotNil(t, block)
	key, err := dkim.ParsePrivateKey([]byte(g.PrivateKey))
	require.NoError(t, err)
	s := arc.Sealer{
		Domain: g.Domain, Selector: g.Sel, Key: key, AuthServID: c.ServID,
		Headers: strings.Split(c.Headers, ":"), Oversign: []string{}, SortTags: true,
		Now: func() time.Time { return time.Unix(c.T, 0) },
	}
	status, results := foundBy(c.ServID, c.Message)
	set, err := s.Seal(strings.NewReader(c.Message), status, results)
	require.NoError(t, err)
	fields := splitFields(set)
	require.Equal(t, oneLine(c.AAR), oneLine(fields["ARC-Authentication-Results"]))
	require.Equal(t, tagsOf(c.AMS), tagsOf(fields["ARC-Message-Signature"]))
	require.Equal(t, tagsOf(c.AS), tagsOf(fields["ARC-Seal"]))
}

// foundBy joins a server's Authentication-Results fields.
func foundBy(servID, message string) (arc.Status, string) {
	header, _, _ := strings.Cut(message, "\n\n")
	var results []string
	status := arc.None
	for line := range strings.SplitSeq(strings.ReplaceAll(header, "\n ", " "), "\n") {
		if rest, ok := strings.CutPrefix(line, "Authentication-Results: "+servID+";"); ok {
			results = append(results, strings.TrimSpace(rest))
		}
	}
	all := strings.Join(results, "; ")
	for part := range strings.SplitSeq(all, ";") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(part), "arc="); ok {
			status = arc.Status(value)
		}
	}
	return status, all
}

// splitFields has the fields of a set by their names, unfolded.
func splitFields(set string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(strings.ReplaceAll(set, "\r\n\t", " ")) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}

// tagsOf has the tags of a field in an order that does not matter, without white space.
func tagsOf(field string) []string {
	tags := strings.Split(strings.Join(strings.Fields(field), ""), ";")
	slices.Sort(tags)
	return tags
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
