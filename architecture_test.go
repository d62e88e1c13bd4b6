package mailbricks_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/mailbricks/mailbricks"

// mayImport says which packages of the module each may import, beside internal ones: the arrows of ARCHITECTURE.md. A
// package must be listed, unless it is internal: then it imports internal ones only. "*" stands for any.
var mayImport = map[string][]string{
	".":                   {},
	"resolver":            {},
	"spf":                 {},
	"dkim":                {},
	"dkim/arc":            {"dkim"},
	"dmarc":               {},
	"dmarc/reporting":     {"dmarc"},
	"auth":                {"."},
	"auth/directory":      {".", "auth"},
	"mailbox":             {"."},
	"mailbox/mailboxtest": {".", "mailbox"},
	"mailbox/memory":      {".", "mailbox"},
	"mailbox/archive":     {".", "mailbox"},
	"mailbox/retention":   {".", "mailbox"},
	"maildir":             {".", "mailbox"},
	"smtpd":               {"."},
	"smtpd/submission":    {".", "smtpd"},
	"smtpd/ban":           {".", "smtpd"},
	"smtpd/dnsbl":         {".", "smtpd"},
	"smtpd/earlytalker":   {".", "smtpd"},
	"smtpd/greylist":      {".", "smtpd"},
	"smtpd/hello":         {".", "smtpd"},
	"smtpd/iprev":         {".", "smtpd"},
	"smtpd/ratelimit":     {".", "smtpd"},
	"smtpd/senderdomain":  {".", "smtpd"},
	"smtpd/gosmtp":        {".", "smtpd"},
	"proxyproto":          {},
	"imapd":               {".", "mailbox"},
	"pop3d":               {".", "mailbox"},
	"relay":               {"."},
	"relay/queuetest":     {".", "relay"},
	"senderauth":          {".", "smtpd", "smtpd/iprev", "spf", "dkim", "dkim/arc", "dmarc", "senderauth/authres"},
	"senderauth/authres":  {},
	"senderauth/sign":     {".", "dkim", "dkim/arc", "senderauth/authres"},
	"mailtest":            {"*"},
	"interop":             {"*"},
	"bench/delivery":      {"*"},
	"bench/smtpspeed":     {"*"},
	"bench/smtpsoak":      {"*"},
	"examples/fullserver": {"*"},
	"examples/mailprobe":  {"*"},
}

// heavy are libraries that a program should get only when it asks for them.
var heavy = []string{
	"github.com/prometheus/", "github.com/BurntSushi/", "github.com/alecthomas/", "modernc.org/", "github.com/jackc/", "github.com/stretchr/",
	"github.com/emersion/go-smtp", "github.com/emersion/go-imap", "github.com/caddyserver/", "github.com/pires/go-proxyproto",
}

// adapters are packages that are there for the sake of a library, which whoever asks for them gets.
var adapters = map[string]string{"smtpd/gosmtp": "github.com/emersion/go-smtp", "proxyproto": "github.com/pires/go-proxyproto"}

type pkg struct {
	ImportPath    string
	Standard      bool
	Imports, Deps []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", "./...")
	out, err := cmd.Output()
	require.NoError(t, err)
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
}

// within gives the path of a package inside the module.
func within(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, p := range list(t) {
		name, ours := within(p.ImportPath)
		if !ours {
			continue
		}
		checked++
		allowed, known := rule(name)
		require.True(t, known, "%s is not in the table of this test and of ARCHITECTURE.md", name)
		for _, path := range p.Imports {
			imported, ours := within(path)
			if !ours || slices.Contains(allowed, "*") || slices.Contains(allowed, imported) || isInternal(imported) {
				continue
			}
			t.Errorf("%s imports %s", name, imported)
		}
		if !slices.Contains(allowed, "*") && name != "mailbox/mailboxtest" && name != "relay/queuetest" {
			for _, dep := range p.Deps {
				for _, prefix := range heavy {
					require.False(t, prefix != adapters[name] && strings.HasPrefix(dep, prefix), "%s links %s", name, dep)
				}
			}
		}
	}
	require.Greater(t, checked, 10)
}

func isInternal(name string) bool {
	return strings.HasPrefix(name, "internal/") || strings.Contains(name, "/internal/")
}

// rule finds the line of the table for a package.
func rule(name string) (allowed []string, known bool) {
	if isInternal(name) {
		return nil, true
	}
	allowed, known = mayImport[name]
	return allowed, known
}

// TestSenderAuthenticationLinksLittle: beside the standard library, the packages that most programs take alone need what
// makes A-labels of U-labels, and the system's calls for files that last, and nothing else.
func TestSenderAuthenticationLinksLittle(t *testing.T) {
	t.Parallel()
	leaves := []string{"./spf", "./dkim", "./dkim/arc", "./dmarc", "./dmarc/reporting", "./senderauth/authres"}
	cmd := exec.Command("go", append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}"}, leaves...)...)
	out, err := cmd.Output()
	require.NoError(t, err)
	allowed := []string{
		"golang.org/x/net/idna", "golang.org/x/text/secure/bidirule", "golang.org/x/text/transform",
		"golang.org/x/text/unicode/bidi", "golang.org/x/text/unicode/norm",
		"golang.org/x/sys/unix",
	}
	for _, dep := range strings.Fields(string(out)) {
		if _, ours := within(dep); !ours {
			require.Contains(t, allowed, dep)
		}
	}
}

func TestNoPackageNeedsCgo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-f", "{{if .CgoFiles}}{{.ImportPath}}{{end}}", "./...")
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Empty(t, strings.TrimSpace(string(out)))
}
