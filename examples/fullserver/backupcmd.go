package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/maildir"
)

// backupCommand makes backups. The server opens the folder, with its rights.
type backupCommand struct {
	Args []string `arg:"" optional:"" name:"addr-and-dir" help:"The address and the folder of its backup; with -all only the folder, in which each account has one: DIR/DOMAIN/USER."`
	All  bool     `help:"All accounts."`
}

func (c *backupCommand) resolvePaths(folder string) { resolveLast(c.Args, folder) }

// resolveLast makes the last argument a whole path.
func resolveLast(args []string, folder string) {
	if n := len(args); n > 0 && !filepath.IsAbs(args[n-1]) {
		args[n-1] = filepath.Join(folder, args[n-1])
	}
}

// backupOf is an account and the folder of its backup.
type backupOf struct{ address, dir string }

// backups are those that a command is about.
func (a *app) backups(args []string, all bool) ([]backupOf, error) {
	if all && len(args) == 1 {
		addresses, err := a.addresses(nil)
		if err != nil {
			return nil, err
		}
		var out []backupOf
		for _, address := range addresses {
			path, err := maildir.AccountPath(address)
			if err != nil {
				return nil, err
			}
			out = append(out, backupOf{address, filepath.Join(args[0], path)})
		}
		return out, nil
	}
	if all || len(args) != 2 {
		return nil, errors.New("name an account and a folder, or a folder with -all")
	}
	if !a.dir.IsAccount(args[0]) {
		return nil, fmt.Errorf("%s is no account", args[0])
	}
	return []backupOf{{args[0], args[1]}}, nil
}

func (c *backupCommand) streamOn(ctx context.Context, a *app, s *serverStream) error {
	list, err := a.backups(c.Args, c.All)
	if err != nil {
		return err
	}
	var errs []error
	for i, b := range list {
		s.progress(progressReport{Done: i, Total: len(list), What: b.address})
		stats, err := a.store.Backup(ctx, b.address, b.dir, maildir.BackupOptions{
			Progress:   func(done, total int) { s.progress(progressReport{Done: done, Total: total, What: b.address}) },
			Unreadable: func(path string, err error) { s.note("%s: cannot be read: %q: %v", b.address, path, err) },
		})
		if errors.Is(err, maildir.ErrUnreadable) {
			errs = append(errs, fmt.Errorf("%w; all else is in the backup", err))
		} else if err != nil { // the others get theirs all the same
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		fmt.Fprintf(s.out(), "%s: %s in %s, %d copied\n", b.address, plural(stats.Messages, "message", "messages"),
			plural(stats.Mailboxes, "mailbox", "mailboxes"), stats.Copied)
	}
	return errors.Join(errs...)
}

// restoreCommand brings a backup back.
type restoreCommand struct {
	Args  []string `arg:"" optional:"" name:"addr-and-dir" help:"The address and the folder of its backup; with -all only the folder of backup -all."`
	All   bool     `help:"All accounts that have a backup there."`
	Merge bool     `help:"Bring back what is missing, and leave all else as it is. Otherwise the backup takes the place of all mail of the account."`
	From  string   `placeholder:"ADDR" help:"The account of which the backup is, if it is another one."`
}

func (c *restoreCommand) resolvePaths(folder string) { resolveLast(c.Args, folder) }

func (c *restoreCommand) streamOn(ctx context.Context, a *app, s *serverStream) error {
	if c.All && c.From != "" {
		return errors.New("-from is for one account")
	}
	list, err := a.backups(c.Args, c.All)
	if err != nil {
		return err
	}
	var errs []error
	for i, b := range list {
		s.progress(progressReport{Done: i, Total: len(list), What: b.address})
		stats, err := a.store.Restore(ctx, b.address, b.dir, maildir.RestoreOptions{Merge: c.Merge, From: c.From})
		if c.All && errors.Is(err, maildir.ErrNoBackup) {
			s.note("%s has no backup there", b.address)
			continue
		}
		if err != nil {
			err = c.explain(b, err)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil && stats.Messages == 0 {
			continue
		}
		fmt.Fprintf(s.out(), "%s: %s in %s came back\n", b.address, plural(stats.Messages, "message", "messages"), plural(stats.Mailboxes, "mailbox", "mailboxes"))
		if len(stats.Renumbered) > 0 {
			s.note("%s: clients fetch these mailboxes anew: %s", b.address, strings.Join(stats.Renumbered, ", "))
		}
	}
	return errors.Join(errs...)
}

// explain says what may have been meant.
func (c *restoreCommand) explain(b backupOf, err error) error {
	other := errors.Is(err, maildir.ErrOtherAccount)
	switch {
	case errors.Is(err, maildir.ErrDamagedBackup) && !c.Merge:
		return fmt.Errorf("%w; -merge brings back what is there", err)
	case other || errors.Is(err, maildir.ErrNoBackup):
		path, pathErr := maildir.AccountPath(cmp.Or(c.From, b.address))
		if pathErr != nil {
			break
		}
		path = filepath.Join(b.dir, path) // where backup -all puts it
		if _, statErr := os.Stat(filepath.Join(path, "mailbricks-backup")); statErr == nil {
			return fmt.Errorf("%w; there is one in %s", err, path)
		}
	}
	if other {
		return fmt.Errorf("%w; -from says that this is meant", err)
	}
	return err
}
