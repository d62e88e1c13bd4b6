// Command fullserver is a complete mail server: it receives, filters, stores, lets people read, and sends. It wires the
// bricks of github.com/mailbricks/mailbricks together; README.md beside it says how to run it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/mailbricks/mailbricks/internal/cliargs"
)

// Exit codes.
const (
	exitOK      = 0
	exitError   = 1
	exitUnknown = 2 // no such command
)

func main() {
	p := &process{args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.run(context.Background()))
}

// process is what a run of the program works with.
type process struct {
	args, environ  []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// cli is the command line. Its commands stand in the order in which help shows them.
type cli struct {
	Config string `placeholder:"FILE" help:"The configuration file (default: $FULLSERVER_CONFIG or fullserver.toml)."`

	Serve serveCommand `cmd:"" default:"1" help:"Run the server (the default)."`
	Email struct {
		Add    emailAdd    `cmd:"" help:"Add an account."`
		Update emailUpdate `cmd:"" help:"Give an account a new password."`
		Del    emailDel    `cmd:"" help:"Delete accounts."`
		List   emailList   `cmd:"" help:"List accounts."`
	} `cmd:"" help:"Accounts."`
	Alias struct {
		Add  aliasAdd  `cmd:"" help:"Add a target to an alias, @domain or /regexp/."`
		Del  aliasDel  `cmd:"" help:"Take a target from an alias."`
		List aliasList `cmd:"" help:"List aliases."`
	} `cmd:"" help:"Aliases."`
	Quota struct {
		Set quotaSet `cmd:"" help:"Limit the size of an account."`
		Del quotaDel `cmd:"" help:"Remove the limit."`
	} `cmd:"" help:"Quotas."`
	Mail struct {
		Export mailExport `cmd:"" help:"Write the mail of an account to a tar, a Maildir or mbox files."`
		Import mailImport `cmd:"" help:"Read mail into an account; what is there already is left out."`
	} `cmd:"" help:"Mail to and from other programs."`
	Backup  backupCommand  `cmd:"" help:"Make or renew the backup of an account, or of all."`
	Restore restoreCommand `cmd:"" help:"Bring a backup back."`
	Maildir struct {
		Check maildirCheck `cmd:"" help:"Look whether all mail on disk is in order; 1 if it is not."`
	} `cmd:"" help:"Mail on disk."`
	Retention struct {
		Run retentionRun `cmd:"" help:"Delete now what the section retention of the configuration says."`
	} `cmd:"" help:"How long mail stays."`
	Encrypt struct {
		On          encryptOn          `cmd:"" help:"Encrypt the mail of an account, and show its recovery key."`
		Off         encryptOff         `cmd:"" help:"Decrypt it again."`
		Status      encryptStatus      `cmd:"" help:"Show which accounts are encrypted, how far that is, and what opens them."`
		Rotate      encryptRotate      `cmd:"" help:"Make new keys, also a new recovery key, and encrypt all mail with them."`
		Recover     encryptRecover     `cmd:"" help:"Set a new password by the recovery key, where the old one is lost."`
		RecoveryKey encryptRecoveryKey `cmd:"" name:"recovery-key" help:"Make and show a new recovery key in the place of the old one."`
		ServerKey   encryptServerKey   `cmd:"" name:"server-key" help:"Make the file that encryption.server_key names."`
	} `cmd:"" help:"Encryption of mail on disk."`
	Dkim struct {
		Show   dkimCommand `cmd:"" default:"withargs" help:"Make a DKIM key if there is none, and print its DNS record (the default)."`
		Rotate dkimRotate  `cmd:"" help:"Begin to replace the keys of a domain, or go on with it, and show how far that is."`
		Del    dkimDel     `cmd:"" help:"Delete a key, also one that is missing or unreadable."`
	} `cmd:"" help:"DKIM keys."`
	DNS   dnsCommand `cmd:"" name:"dns" help:"Print the DNS records to publish."`
	Queue struct {
		List    queueList    `cmd:"" help:"List what waits to be sent."`
		Show    queueShow    `cmd:"" help:"Show one message with its recipients."`
		Retry   queueRetry   `cmd:"" help:"Try a message, or all, now."`
		Hold    queueHold    `cmd:"" help:"Keep a message from being sent."`
		Release queueRelease `cmd:"" help:"Let a held message go."`
		Remove  queueRemove  `cmd:"" help:"Remove a message."`
	} `cmd:"" help:"The outbound queue."`
	Ban struct {
		List banList `cmd:"" help:"List who is banned, until when and why."`
		Add  banAdd  `cmd:"" help:"Ban an address or a network."`
		Del  banDel  `cmd:"" help:"Lift bans."`
	} `cmd:"" help:"Peers that are kept out."`
	Limit struct {
		List  limitList  `cmd:"" help:"List who is over a limit now."`
		Reset limitReset `cmd:"" help:"Forget what was counted for an address, a network or a user."`
	} `cmd:"" help:"Rate limits."`
	Dnsbl dnsblCommand `cmd:"" name:"dnsbl" help:"Show how the DNS lists do."`
	Dmarc struct {
		Report     dmarcReport     `cmd:"" help:"Show a report that came, for people."`
		Pending    dmarcPending    `cmd:"" help:"List the reports that will be sent."`
		Preview    dmarcPreview    `cmd:"" help:"Show a report as it would be sent now."`
		Suppress   dmarcSuppress   `cmd:"" help:"Send no reports to an address for some time."`
		Suppressed dmarcSuppressed `cmd:"" help:"List the addresses that get no reports."`
	} `cmd:"" help:"DMARC reports."`
	Health   healthCommand   `cmd:"" help:"Exit with 0 when every service answers."`
	Warnings warningsCommand `cmd:"" hidden:""`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

// exited carries an exit code out of kong, which calls its exit function after printing help.
type exited int

// parse reads the command line. Output of kong's own (help) goes to stdout.
func parse(args []string, stdout, stderr io.Writer) (*cli, *kong.Context, error) {
	c := &cli{}
	parser, err := kong.New(c, kong.Name("fullserver"), kong.Description("A complete mail server."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false}))
	if err != nil {
		return nil, nil, err
	}
	ctx, err := parser.Parse(cliargs.Long(args, nil))
	return c, ctx, err
}

// run does what the command line says and gives the exit code.
func (p *process) run(ctx context.Context) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			code = int(r)
		default:
			panic(r)
		}
	}()
	cli, parsed, err := parse(p.args, p.stdout, p.stderr)
	if err != nil {
		return p.fail(err, usageCode(err))
	}
	command := parsed.Selected().Target.Addr().Interface()
	c, err := loadConfig(cli.Config, p.environ, true)
	if err != nil && (cli.Config != "" || !independent(command)) {
		return p.fail(err, exitError)
	}
	switch command := command.(type) {
	case dataCommand:
		return p.runData(ctx, c, command)
	case streamCommand:
		return p.runStream(ctx, c, command)
	case ownCommand:
		if err := command.run(ctx, p, c); err != nil {
			return p.fail(err, exitError)
		}
		return exitOK
	}
	return p.fail(errors.New("unknown command"), exitUnknown)
}

// ownCommand is a command that this process runs itself.
type ownCommand interface {
	run(ctx context.Context, p *process, c *config) error
}

// independent says whether a command needs no configuration.
func independent(command any) bool {
	switch command.(type) {
	case *versionCommand, *dmarcReport, *encryptServerKey:
		return true
	}
	return false
}

// usageCode is 2 for a command that does not exist and 1 for anything else that is wrong with a command line.
func usageCode(err error) int {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok {
		return exitError
	}
	at := parse.Context.Selected()
	if strings.HasPrefix(parse.Error(), "unexpected argument") && (at == nil || len(at.Children) > 0 || at.Name == "serve") {
		return exitUnknown
	}
	return exitError
}

// fail prints one line.
func (p *process) fail(err error, code int) int {
	fmt.Fprintln(p.stderr, "fullserver:", strings.ReplaceAll(err.Error(), "\n", "; "))
	return code
}
