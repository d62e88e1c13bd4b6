package spf_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
)

type suiteGroup struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, Mailfrom string
		Result               any
		Explanation          string
	}
	Zonedata map[string][]any
}

func loadSuite(t *testing.T) []suiteGroup {
	dir := os.Getenv("MAILBRICKS_SUITES")
	if dir == "" {
		t.Skip("MAILBRICKS_SUITES names no folder with the conformance data")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "spf", "pyspf", "rfc7208-tests.json"))
	require.NoError(t, err)
	var groups []suiteGroup
	require.NoError(t, json.Unmarshal(raw, &groups))
	return groups
}

// octets undoes the Latin-1 of the suite's strings.
func octets(v any) string {
	var b []byte
	for _, r := range v.(string) {
		b = append(b, byte(r))
	}
	return string(b)
}

// suiteZone makes a zone of a group's data. Records of type SPF stand for TXT records where a name has no TXT.
func suiteZone(data map[string][]any) zone {
	z := zone{}
	for name, entries := range data {
		records := map[string][]string{}
		for _, entry := range entries {
			if entry == "TIMEOUT" {
				records["*"] = []string{"TIMEOUT"}
				continue
			}
			for typ, value := range entry.(map[string]any) {
				records[typ] = append(records[typ], suiteValue(typ, value))
			}
		}
		if _, ok := records["TXT"]; !ok && records["SPF"] != nil {
			records["TXT"] = records["SPF"]
		}
		records["TXT"] = slices.DeleteFunc(records["TXT"], func(s string) bool { return s == "NONE" })
		z[strings.ToLower(name)] = records
	}
	return z
}

func suiteValue(typ string, value any) string {
	list, ok := value.([]any)
	switch {
	case !ok:
		return octets(value)
	case typ == "MX":
		return octets(list[1])
	}
	var b strings.Builder
	for _, part := range list {
		b.WriteString(octets(part)) // RFC 7208 §3.3
	}
	return b.String()
}

func wanted(result any) []string {
	if s, ok := result.(string); ok {
		return []string{s}
	}
	var out []string
	for _, r := range result.([]any) {
		out = append(out, r.(string))
	}
	return out
}

func TestRFC7208Suite(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, group := range loadSuite(t) {
		z := suiteZone(group.Zonedata)
		for name, c := range group.Tests {
			ran++
			t.Run(name, func(t *testing.T) {
				checker := spf.Checker{Resolver: z}
				v := checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr(c.Host), Helo: c.Helo, From: c.Mailfrom})
				require.Contains(t, wanted(c.Result), v.Result.String(), "%v", v.Err)
				switch c.Explanation {
				case "":
				case "DEFAULT":
					require.Empty(t, v.Explanation)
				default:
					require.Equal(t, c.Explanation, v.Explanation)
				}
			})
		}
	}
	t.Logf("%d cases of the RFC 7208 suite ran", ran)
	require.Equal(t, 203, ran)
}
