package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// encryptionConfig are the keys of the section encryption.
type encryptionConfig struct {
	newAccounts bool
	serverKey   string // the path of its file; empty: there is none
}

func (e *encryptionConfig) keys() map[string]setter {
	return map[string]setter{
		"encryption.new_accounts": boolean(&e.newAccounts),
		"encryption.server_key":   text(&e.serverKey, emptyOr(absolutePath)),
	}
}

// openMail opens the mail of somebody who has shown the password to read it. A password that does not fit, as accounts.cf was
// edited by hand, is no error here: the store refuses who cannot open it, and the reply says why.
func (a *app) openMail(ctx context.Context, peer mailbricks.Peer, id mailbricks.Identity, password string) error {
	if peer.Protocol != "IMAP" && peer.Protocol != "POP3" {
		return nil
	}
	err := a.store.Unlock(ctx, id.User, password)
	switch {
	case errors.Is(err, maildir.ErrSecret):
		a.log.Warn("the password of an account is right, but does not open its encrypted mail; fullserver encrypt recover sets both", "account", id.User)
		return nil
	case errors.Is(err, maildir.ErrNoAccount):
		return nil // the store refuses
	case err != nil && ctx.Err() == nil:
		a.log.Error("encrypted mail is not opened", "account", id.User, "error", err)
	}
	return err
}

// hasMail says whether an account has mail on disk.
func (a *app) hasMail(address string) bool {
	path, err := maildir.AccountPath(address)
	if err != nil {
		return false
	}
	_, err = os.Stat(a.config().path("mail", path))
	return err == nil
}

// encryptNew encrypts a new account, if new accounts are.
func (a *app) encryptNew(ctx context.Context, address, password string, out io.Writer) error {
	before := maildir.Encryption{}
	if a.hasMail(address) { // of an account of the same name
		var err error
		if before, err = a.store.Encryption(ctx, address); err != nil {
			return err
		}
	}
	if before.On {
		note(out, "%s has the encrypted mail of an account that was deleted; only the password or the recovery key of that opens it "+
			"(fullserver encrypt recover)", address)
		return nil
	}
	if !a.config().encryption.newAccounts {
		return nil
	}
	recovery, err := a.store.EnableEncryption(ctx, address, password)
	if err != nil {
		return errors.Join(fmt.Errorf("account not added, as it cannot be encrypted: %w", err), a.dir.DeleteAccounts(address))
	}
	return printRecovery(out, address, recovery)
}

// changePassword changes the password of an account and what it opens, or nothing.
func (a *app) changePassword(ctx context.Context, address string, secret maildir.Secret, password string) error {
	set := func() error { return a.dir.SetPassword(address, password) }
	if !a.dir.IsAccount(address) || !a.hasMail(address) {
		return set()
	}
	e, err := a.store.Encryption(ctx, address)
	if err != nil {
		return err
	}
	if !e.On {
		return set()
	}
	err = a.store.ChangePassword(ctx, address, maildir.PasswordChange{Secret: secret, New: password, Commit: set})
	switch {
	case errors.Is(err, mailbox.ErrLocked):
		return fmt.Errorf("nothing was changed: the mail of %s is encrypted and takes the old password (-with-old) or the recovery key (fullserver encrypt recover)", address)
	case errors.Is(err, maildir.ErrSecret):
		return fmt.Errorf("nothing was changed: %w", wrongSecret(address, secret, err))
	}
	return err
}

// wrongSecret is the error for whoever typed it.
func wrongSecret(address string, secret maildir.Secret, err error) error {
	if secret.Recovery != "" {
		if _, reason, ok := strings.Cut(err.Error(), maildir.ErrSecret.Error()+": "); ok {
			return errors.New(reason)
		}
		return fmt.Errorf("that recovery key does not open the mail of %s", address)
	}
	return fmt.Errorf("that password does not open the mail of %s", address)
}

// resumeEncryption goes on with what was interrupted, where the server's key opens the mail. Elsewhere it goes on when the user
// logs in.
func (a *app) resumeEncryption(ctx context.Context) {
	for _, account := range a.dir.Accounts() {
		if ctx.Err() != nil {
			return
		}
		if !a.hasMail(account.Address) {
			continue
		}
		e, err := a.store.Encryption(ctx, account.Address)
		if err == nil && e.Left {
			err = a.store.FinishEncryption(ctx, account.Address, nil)
		}
		switch {
		case err == nil || ctx.Err() != nil || errors.Is(err, maildir.ErrNotEncrypted):
		case errors.Is(err, mailbox.ErrLocked):
			a.log.Info("encryption of an account is not finished; it goes on when the user logs in", "account", account.Address)
		default:
			a.log.Error("encryption of an account is not finished", "account", account.Address, "error", err)
		}
	}
}
