package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
)

// mailExport writes the mail of an account to a path that the command's own process opens.
type mailExport struct {
	Address   string   `arg:"" name:"addr"`
	Path      string   `arg:"" help:"- is standard output. A file that is there is replaced once all is written."`
	Format    string   `default:"tar" enum:"mbox,maildir,tar" help:"mbox, maildir or tar (the default)."`
	Mailboxes []string `name:"mailbox" sep:"none" help:"Only this mailbox; may be given more than once."`
	Gzip      bool     `help:"Compress a tar, also if its name does not end in .gz."`
}

func (c *mailExport) streamOn(ctx context.Context, a *app, s *serverStream) (err error) {
	store, err := a.mailOf(ctx, c.Address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	total, err := archive.Count(ctx, store, c.Mailboxes...)
	if err != nil {
		return err
	}
	unreadable := 0
	from := archive.OutOfStore(store, archive.ExportOptions{Mailboxes: c.Mailboxes, Unreadable: func(where string, err error) {
		unreadable++
		s.note("left out: %s: %v", where, err)
	}})
	defer func() { err = errors.Join(err, from.Close()) }()
	to := archive.NewTarWriter(s.data(), false)
	if _, err := archive.Copy(ctx, to, from, func(done archive.Stats) {
		s.progress(progressReport{Done: done.Messages, Total: total, What: "messages"})
	}); err != nil {
		return err
	}
	if err := s.endData(); err != nil || unreadable == 0 {
		return err
	}
	return fmt.Errorf("%s left out as unreadable; all else is there", plural(unreadable, "message or mailbox was", "messages or mailboxes were"))
}

// mailOf opens the mail of an account.
func (a *app) mailOf(ctx context.Context, address string) (mailbox.Store, error) {
	if !a.dir.IsAccount(address) {
		return nil, fmt.Errorf("%s is no account", address)
	}
	return a.store.Store(ctx, mailbricks.Identity{User: address})
}

// receive makes what was asked for of the tar that the server sends.
func (c *mailExport) receive(ctx context.Context, p *process, r io.Reader) (err error) {
	to, err := c.create(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	stats, err := archive.Copy(ctx, to, archive.NewTarReader(r, archive.Options{}), nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "exported %s in %s\n", plural(stats.Messages, "message", "messages"), plural(stats.Mailboxes, "mailbox", "mailboxes"))
	return nil
}

// create makes the archive.
func (c *mailExport) create(p *process) (archive.Writer, error) {
	one := archive.Format(c.Format) == archive.Mbox && len(c.Mailboxes) == 1
	switch {
	case c.Gzip && archive.Format(c.Format) != archive.Tar:
		return nil, errors.New("-gzip is for a tar")
	case c.Path != "-":
		return archive.Create(c.Path, archive.CreateOptions{Format: archive.Format(c.Format), OneMailbox: one, Compress: c.Gzip})
	case one:
		return archive.NewMboxWriter(p.stdout), nil
	case archive.Format(c.Format) == archive.Tar:
		return archive.NewTarWriter(p.stdout, c.Gzip), nil
	case archive.Format(c.Format) == archive.Mbox:
		return nil, errors.New("an mbox on standard output holds one mailbox: name it with -mailbox")
	}
	return nil, errors.New("a Maildir is a folder and cannot go to standard output")
}

// mailImport reads mail into an account from a path that the command's own process opens.
type mailImport struct {
	Address string `arg:"" name:"addr"`
	Path    string `arg:"" help:"- is standard input."`
	Format  string `default:"auto" enum:"auto,mbox,maildir,tar" help:"mbox, maildir or tar (default: what it looks like)."`
	Mailbox string `help:"The mailbox that a single mbox file becomes (default: INBOX)."`
	Under   string `help:"Put all mailboxes below this one."`
	Mbox    string `default:"auto" enum:"auto,mboxrd,mboxo,mboxcl,mboxcl2" help:"The variant of mbox."`
	Again   bool   `help:"Import messages that are there already once more."`
}

// mboxVariants are the names of -mbox.
func mboxVariants() map[string]archive.Variant {
	return map[string]archive.Variant{"auto": archive.MboxAuto, "mboxrd": archive.MboxRD, "mboxo": archive.MboxO,
		"mboxcl": archive.MboxCL, "mboxcl2": archive.MboxCL2}
}

func (c *mailImport) streamOn(ctx context.Context, a *app, s *serverStream) (err error) {
	store, err := a.mailOf(ctx, c.Address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	in, err := s.input()
	if err != nil {
		return err
	}
	temp := a.config().path("state", "spool")
	to := archive.IntoStore(store, archive.ImportOptions{Under: c.Under, Again: c.Again, TempDir: temp})
	defer func() { err = errors.Join(err, to.Close()) }()
	from := archive.NewTarReader(in, archive.Options{TempDir: temp})
	stats, err := archive.Copy(ctx, to, from, func(done archive.Stats) {
		s.progress(progressReport{Done: done.Messages + done.Present, What: "messages"})
	})
	fmt.Fprintf(s.out(), "imported %s, %d were there already\n", plural(stats.Messages, "message", "messages"), stats.Present)
	return err
}

// send makes a tar of what is to be imported.
func (c *mailImport) send(ctx context.Context, p *process, w io.Writer) (err error) {
	from, err := c.open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	_, err = archive.Copy(ctx, archive.NewTarWriter(w, false), from, nil)
	return err
}

func (c *mailImport) open(p *process) (archive.Reader, error) {
	opts := archive.Options{Mailbox: c.Mailbox, Mbox: mboxVariants()[c.Mbox]}
	in := bufio.NewReader(p.stdin)
	format, err := c.format(in)
	if err != nil {
		return nil, err
	}
	if c.Path != "-" {
		if info, err := os.Stat(c.Path); c.Mailbox != "" && (format != archive.Mbox || err == nil && info.IsDir()) {
			return nil, errors.New("-mailbox is for a single mbox file")
		}
		return archive.Open(c.Path, format, opts)
	}
	switch format {
	case archive.Tar:
		return archive.NewTarReader(in, opts), nil
	case archive.Mbox:
		return archive.NewMboxReader(in, opts), nil
	}
	return nil, errors.New("a Maildir is a folder and cannot come from standard input")
}

// format is the one that was named or what the archive, in on standard input, looks like.
func (c *mailImport) format(in *bufio.Reader) (archive.Format, error) {
	switch {
	case c.Format != "auto":
		return archive.Format(c.Format), nil
	case c.Path != "-":
		return archive.Detect(c.Path)
	}
	const from = "From "
	if start, err := in.Peek(len(from)); err == nil && string(start) == from {
		return archive.Mbox, nil
	}
	return archive.Tar, nil // a stream that is none says so
}
