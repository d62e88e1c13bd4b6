package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/term"

	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/maildir"
)

// maxPasswordLine is the longest line taken as a password or another secret, in octets.
const maxPasswordLine = 4096

// secret is what a command asks for: it is on the command line, or one line of standard input.
type secret struct {
	what string
	to   *string
	new  bool // on a terminal it is asked for twice
}

// readSecrets reads those that are not on the command line; on a terminal they are not shown.
func (p *process) readSecrets(secrets []secret) error {
	in := bufio.NewReaderSize(io.LimitReader(p.stdin, int64(len(secrets))*maxPasswordLine), maxPasswordLine)
	for _, s := range secrets {
		if *s.to != "" {
			continue
		}
		var err error
		if f, ok := p.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			*s.to, err = p.askSecret(int(f.Fd()), s)
		} else {
			*s.to, err = readLine(in, s.what)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readLine(in *bufio.Reader, what string) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", fmt.Errorf("no %s on the command line or standard input", what)
	}
	return line, nil
}

func (p *process) askSecret(fd int, s secret) (string, error) {
	prompts := []string{strings.ToUpper(s.what[:1]) + s.what[1:] + ": ", "Again: "}
	if !s.new {
		prompts = prompts[:1]
	}
	var typed [2]string
	for i, prompt := range prompts {
		fmt.Fprint(p.stderr, prompt)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(p.stderr)
		if err != nil {
			return "", err
		}
		typed[i] = string(b)
	}
	if s.new && typed[0] != typed[1] {
		return "", errors.New("the two passwords differ")
	}
	return typed[0], nil
}

type emailAdd struct {
	Address  string `arg:"" name:"addr"`
	Password string `arg:"" optional:"" help:"Read from standard input when it is left out."`
}

func (c *emailAdd) secrets() []secret { return []secret{{"password", &c.Password, true}} }

func (c *emailAdd) runOn(ctx context.Context, a *app, out io.Writer) error {
	if err := a.dir.AddAccount(c.Address, c.Password); err != nil {
		return err
	}
	return a.encryptNew(ctx, c.Address, c.Password, out)
}

type emailUpdate struct {
	Address  string `arg:"" name:"addr"`
	Password string `arg:"" optional:"" help:"Read from standard input when it is left out."`
	WithOld  bool   `name:"with-old" help:"Read the old password as well, in front of the new one: it opens encrypted mail."`
	Old      string `kong:"-"`
}

func (c *emailUpdate) secrets() []secret {
	list := []secret{{"password", &c.Password, true}}
	if c.WithOld {
		list = append([]secret{{"old password", &c.Old, false}}, list...)
	}
	return list
}

func (c *emailUpdate) runOn(ctx context.Context, a *app, _ io.Writer) error {
	return a.changePassword(ctx, c.Address, maildir.Secret{Password: c.Old}, c.Password)
}

type emailDel struct {
	Addresses []string `arg:"" name:"addr"`
	Purge     bool     `help:"Delete the mail as well."`
}

func (c *emailDel) runOn(ctx context.Context, a *app, _ io.Writer) error {
	if err := a.dir.DeleteAccounts(c.Addresses...); err != nil {
		return err
	}
	if !c.Purge {
		return nil
	}
	for _, address := range c.Addresses {
		if err := a.store.Purge(ctx, address); err != nil {
			return err
		}
	}
	return nil
}

type emailList struct {
	JSON bool `name:"json" help:"As JSON."`
}

// accountLine is an account as `email list -json` shows it.
type accountLine struct {
	Address string   `json:"address"`
	Used    int64    `json:"used"`
	Limit   int64    `json:"limit"` // 0: none
	Percent int      `json:"percent"`
	Aliases []string `json:"aliases"`
}

func (c *emailList) runOn(ctx context.Context, a *app, out io.Writer) error {
	lines := []accountLine{}
	var errs []error
	for _, account := range a.dir.Accounts() {
		used, err := a.store.Used(ctx, account.Address)
		if err != nil { // the others are shown all the same
			errs = append(errs, fmt.Errorf("%s: %w", account.Address, err))
		}
		line := accountLine{Address: account.Address, Used: used.Octets, Limit: account.Quota, Aliases: account.Aliases}
		if line.Limit > 0 {
			line.Percent = int(used.Octets * 100 / line.Limit)
		}
		if line.Aliases == nil {
			line.Aliases = []string{}
		}
		lines = append(lines, line)
	}
	if c.JSON {
		return errors.Join(append(errs, printJSON(out, lines))...)
	}
	for _, line := range lines {
		limit := "~"
		if line.Limit > 0 {
			limit = directory.FormatSize(line.Limit)
		}
		fmt.Fprintf(out, "* %s ( %s / %s ) [%d%%]\n", line.Address, shortSize(line.Used), limit, line.Percent)
		if len(line.Aliases) > 0 {
			fmt.Fprintf(out, "    [ aliases -> %s ]\n", strings.Join(line.Aliases, ", "))
		}
	}
	return errors.Join(errs...)
}

// shortSize is a size for people: "0", "812B", "1.4M".
func shortSize(n int64) string {
	if n < 1024 {
		if n == 0 {
			return "0"
		}
		return fmt.Sprintf("%dB", n)
	}
	size, unit := float64(n), -1
	for size >= 1024 && unit < 3 {
		size /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f%c", size, "kMGT"[unit])
}

type aliasAdd struct {
	Alias  string `arg:""`
	Target string `arg:""`
}

func (c *aliasAdd) runOn(_ context.Context, a *app, _ io.Writer) error {
	return a.dir.AddAlias(c.Alias, c.Target)
}

type aliasDel struct {
	Alias  string `arg:""`
	Target string `arg:""`
}

func (c *aliasDel) runOn(_ context.Context, a *app, _ io.Writer) error {
	return a.dir.DeleteAlias(c.Alias, c.Target)
}

type aliasList struct {
	JSON bool `name:"json" help:"As JSON."`
}

func (c *aliasList) runOn(_ context.Context, a *app, out io.Writer) error {
	aliases := a.dir.Aliases()
	if c.JSON {
		lines := []map[string]any{}
		for _, alias := range aliases {
			lines = append(lines, map[string]any{"alias": alias.Alias, "targets": alias.Targets})
		}
		return printJSON(out, lines)
	}
	for _, alias := range aliases {
		fmt.Fprintf(out, "* %s %s\n", alias.Alias, strings.Join(alias.Targets, ","))
	}
	return nil
}

type quotaSet struct {
	Address string `arg:"" name:"addr"`
	Size    string `arg:"" help:"0 (no limit) or a number with B, k, M, G or T."`
}

func (c *quotaSet) runOn(_ context.Context, a *app, _ io.Writer) error {
	octets, err := directory.ParseSize(c.Size)
	if err != nil {
		return err
	}
	return a.dir.SetQuota(c.Address, octets)
}

type quotaDel struct {
	Address string `arg:"" name:"addr"`
}

func (c *quotaDel) runOn(_ context.Context, a *app, _ io.Writer) error {
	return a.dir.DeleteQuota(c.Address)
}

type versionCommand struct{}

func (*versionCommand) run(_ context.Context, p *process, _ *config) error {
	version, commit := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	_, err := fmt.Fprintf(p.stdout, "fullserver %s (commit %s, %s)\n", version, commit, runtime.Version())
	return err
}

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
