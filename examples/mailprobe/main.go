// Command mailprobe is dig for mail: each package of github.com/mailbricks/mailbricks that judges or makes something as
// one subcommand. README.md beside it shows them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/mailbricks/mailbricks/internal/cliargs"
)

// Exit codes.
const (
	exitOK    = 0 // there is a result, whatever it says
	exitError = 1 // nothing could be evaluated; the answer is no
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // the second one ends the program at once
	p := &process{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.runUntil(ctx))
}

// process is what a run of the program works with.
type process struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// cli is the command line. Its commands stand in the order in which help shows them.
type cli struct {
	SPF    spfCommand    `cmd:"" name:"spf" help:"May a host send for an address? (RFC 7208)"`
	DKIM   dkimCommand   `cmd:"" name:"dkim" help:"Verify or make DKIM signatures (RFC 6376)."`
	ARC    arcCommand    `cmd:"" name:"arc" help:"Verify or seal the chain of a forwarded message (RFC 8617)."`
	DMARC  dmarcCommand  `cmd:"" name:"dmarc" help:"Does the author's domain stand behind a message? (RFC 9989)"`
	Report reportCommand `cmd:"" name:"dmarc-report" help:"Show a received aggregate report (RFC 9990)."`
	PW     struct {
		Verify pwVerify `cmd:"" help:"Does the password on standard input fit a hash? Exit 0 or 1."`
		Hash   pwHash   `cmd:"" help:"Hash the password on standard input."`
	} `cmd:"" name:"pw" help:"Password hashes."`
	Addr addrCommand `cmd:"" help:"Check and normalize the addresses on standard input (RFC 5321)."`
	IDNA idnaCommand `cmd:"" name:"idna" help:"A-labels of the domain names on standard input (RFC 5891)."`
}

const description = "dig for mail. A FILE is a message, \"-\" the one on standard input. " +
	"The subcommands srs, saslprep, sieve and mime are not there yet."

// command is a subcommand.
type command interface {
	run(ctx context.Context, p *process) error
}

// exited carries an exit code out of kong, which calls its exit function after printing help.
type exited int

// run does what the command line says and gives the exit code. When the context ends nothing more goes to standard output:
// what is found then is no result.
func (p *process) run(ctx context.Context) (code int) {
	p = &process{args: p.args, stdin: p.stdin, stdout: interruptible{ctx, p.stdout}, stderr: p.stderr}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			code = int(r)
		default:
			panic(r)
		}
	}()
	cmd, err := p.parse()
	if err != nil {
		return p.fail(err, exitUsage)
	}
	err = cmd.run(ctx, p)
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	if err != nil {
		return p.fail(err, exitError)
	}
	return exitOK
}

func (p *process) parse() (command, error) {
	parser, err := kong.New(&cli{}, kong.Name("mailprobe"), kong.Description(description), kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { panic(exited(code)) }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return nil, err
	}
	options := valued(parser.Model)
	args := cliargs.Long(p.args, func(name string) bool { return options[name] })
	if option := cliargs.Unknown(args, func(name string) bool { _, ok := options[name]; return ok }); option != "" {
		return nil, fmt.Errorf("unknown option %s", option)
	}
	parsed, err := parser.Parse(cliargs.OptionsLast(args))
	if err != nil {
		return nil, err
	}
	return parsed.Selected().Target.Addr().Interface().(command), nil
}

// valued has the options of all commands, and whether they take a value.
func valued(app *kong.Application) map[string]bool {
	names := map[string]bool{"help": false, "h": false}
	for _, leaf := range app.Leaves(false) {
		for _, flag := range leaf.Flags {
			names[flag.Name] = !flag.IsBool()
		}
	}
	return names
}

// fail prints one line.
func (p *process) fail(err error, code int) int {
	p.note(err.Error())
	return code
}

// note prints one line to standard error.
func (p *process) note(text string) {
	fmt.Fprintln(p.stderr, "mailprobe:", line(strings.ReplaceAll(text, "\n", "; ")))
}
