package cliargs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want, joined string }{
		{"serve", "serve", "serve"},
		{"-config a serve", "--config a serve", "--config=a serve"},
		{"serve --config=a", "serve --config=a", "serve --config=a"},
		{"-json --json -h", "--json --json -h", "--json --json -h"},
		{"-config=a -- -json", "--config=a -- -json", "--config=a -- -json"},
		{"-", "-", "-"},
		{"-config -xy -json", "--config --xy --json", "--config=-xy --json"},
		{"-config -- -json", "--config -- -json", "--config=-- --json"},
		{"-config", "--config", "--config"},
		{"-c a -c=b", "-c a --c=b", "--c=a --c=b"},
	} {
		args := strings.Fields(c.args)
		require.Equal(t, c.want, strings.Join(Long(args, nil), " "), c.args)
		valued := func(name string) bool { return name == "config" || name == "c" }
		require.Equal(t, c.joined, strings.Join(Long(args, valued), " "), c.args)
	}
}

func TestOptionsLast(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                            "",
		"--json spf - --ip=1 a -h":    "spf - a --json --ip=1 -h",
		"--json spf -- --ip=1 a":      "spf --json -- --ip=1 a",
		"spf a b -- --ip=1 -- --json": "spf a b -- --ip=1 -- --json",
	} {
		require.Equal(t, want, strings.Join(OptionsLast(strings.Fields(args)), " "))
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	known := func(name string) bool { return name == "ip" || name == "h" }
	for args, want := range map[string]string{
		"":                           "",
		"spf --ip=1 -h - a":          "",
		"--ip=1 --IP 192.0.2.1 -x":   "--IP",
		"-x --ip=1":                  "-x",
		"--IP=--ip":                  "--IP",
		"--ip=--IP -- --IP -x --=-y": "",
		"--=x":                       "",
	} {
		require.Equal(t, want, Unknown(strings.Fields(args), known), args)
	}
}
