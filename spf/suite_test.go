package spf_test

import (
	"encoding/json"
	"fmt"
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
	Tests       map[string]suiteCase
	Zonedata    map[string][]any
}

type suiteCase struct {
	Helo, Host, Mailfrom string
	Result               any
	Explanation          string
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

// suiteCases is how many cases the suite has.
const suiteCases = 203

// runSuite runs all cases but those that skip has a reason for, each group against the resolver that dns makes for its
// zone, and prints a table.
func runSuite(t *testing.T, skip map[string]string, dns func(t *testing.T, z zone) spf.Resolver) {
	t.Helper()
	var ran, passed int
	var table strings.Builder
	for _, group := range loadSuite(t) {
		resolver := dns(t, suiteZone(group.Zonedata))
		cases, good := 0, 0
		for name, c := range group.Tests {
			ok := t.Run(name, func(t *testing.T) {
				if why := skip[name]; why != "" {
					t.Skip(why)
				}
				cases++
				c.run(t, &spf.Checker{Resolver: resolver})
			})
			if ok && skip[name] == "" {
				good++
			}
		}
		ran, passed = ran+cases, passed+good
		fmt.Fprintf(&table, "\n%-50s %4d %6d", group.Description, cases, good)
	}
	t.Logf("\n%-50s %4s %6s%s\n%-50s %4d %6d", "group", "run", "passed", table.String(), "all", ran, passed)
	require.Equal(t, suiteCases-len(skip), ran)
}

func (c suiteCase) run(t *testing.T, checker *spf.Checker) {
	v := checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr(c.Host), Helo: c.Helo, From: c.Mailfrom})
	require.Contains(t, wanted(c.Result), v.Result.String(), "%v", v.Err)
	switch c.Explanation {
	case "":
	case "DEFAULT":
		require.Empty(t, v.Explanation)
	default:
		require.Equal(t, c.Explanation, v.Explanation)
	}
}

func TestRFC7208Suite(t *testing.T) {
	t.Parallel()
	runSuite(t, nil, func(_ *testing.T, z zone) spf.Resolver { return z })
}
