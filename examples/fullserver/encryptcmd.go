package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// encryptedAccount is an account, and what opens its mail.
type encryptedAccount struct {
	Address   string `arg:"" name:"addr"`
	Secret    string `arg:"" optional:"" name:"password" help:"Read from standard input when it is left out."`
	Recovery  bool   `help:"Take the recovery key instead of the password."`
	ServerKey bool   `name:"server-key" help:"Take the server's key instead of the password."`
}

func (c *encryptedAccount) secrets() []secret {
	switch {
	case c.ServerKey:
		return nil
	case c.Recovery:
		return []secret{{"recovery key", &c.Secret, false}}
	}
	return []secret{{"password", &c.Secret, false}}
}

// open gives what opens the mail.
func (c *encryptedAccount) open(a *app) (maildir.Secret, error) {
	switch {
	case !a.dir.IsAccount(c.Address):
		return maildir.Secret{}, fmt.Errorf("%s is no account", c.Address)
	case c.ServerKey && (c.Recovery || c.Secret != ""):
		return maildir.Secret{}, errors.New("-server-key stands in place of a password or -recovery")
	case c.ServerKey && a.store.ServerKey == nil:
		return maildir.Secret{}, errors.New("this server has no key: encryption.server_key is not set")
	case c.Recovery:
		return maildir.Secret{Recovery: c.Secret}, nil
	}
	return maildir.Secret{Password: c.Secret}, nil
}

// said makes the error of a command one for people.
func (c *encryptedAccount) said(secret maildir.Secret, err error) error {
	switch {
	case errors.Is(err, maildir.ErrNotEncrypted):
		return fmt.Errorf("%s is not encrypted", c.Address)
	case errors.Is(err, maildir.ErrSecret):
		return wrongSecret(c.Address, secret, err)
	case errors.Is(err, mailbox.ErrLocked):
		return fmt.Errorf("the server's key does not open the mail of %s", c.Address)
	}
	return err
}

// encryptOn encrypts an account, or goes on with that.
type encryptOn struct {
	Address   string `arg:"" name:"addr"`
	Password  string `arg:"" optional:"" help:"Of the account. Read from standard input when it is left out."`
	ServerKey bool   `name:"server-key" help:"Without the password, which the next log-in shows; takes encryption.server_key."`
}

func (c *encryptOn) account() *encryptedAccount {
	return &encryptedAccount{Address: c.Address, Secret: c.Password, ServerKey: c.ServerKey}
}

func (c *encryptOn) secrets() []secret {
	if c.ServerKey {
		return nil
	}
	return []secret{{"password", &c.Password, false}}
}

func (c *encryptOn) streamOn(ctx context.Context, a *app, s *serverStream) error {
	secret, err := c.account().open(a)
	if err != nil {
		return err
	}
	if !c.ServerKey {
		if err := a.checkPassword(ctx, c.Address, c.Password); err != nil {
			return err
		}
	}
	e, err := a.store.Encryption(ctx, c.Address)
	switch {
	case err != nil:
		return err
	case e.On && !e.Left:
		return fmt.Errorf("%s is encrypted already", c.Address)
	case e.On:
		err = c.account().said(secret, a.store.KeepEncryption(ctx, c.Address, secret))
	default:
		var recovery string
		if recovery, err = a.store.EnableEncryption(ctx, c.Address, c.Password); err == nil {
			err = printRecovery(s.out(), c.Address, recovery)
		}
	}
	if err == nil && !c.ServerKey {
		err = a.store.Unlock(ctx, c.Address, c.Password) // until it is waited for
	}
	if err == nil {
		err = a.followConversion(ctx, s, c.Address)
	}
	if err == nil {
		fmt.Fprintf(s.out(), "All mail of %s is encrypted.\n", c.Address)
	}
	return err
}

// checkPassword says whether it is the account's.
func (a *app) checkPassword(ctx context.Context, address, password string) error {
	user, err := a.dir.User(ctx, address)
	if err != nil {
		return err
	}
	ok, err := auth.VerifyPassword(user.Hash, password)
	if err == nil && !ok {
		err = fmt.Errorf("that is not the password of %s", address)
	}
	return err
}

// followConversion shows how far it is until all is done.
func (a *app) followConversion(ctx context.Context, s *serverStream, address string) error {
	err := a.store.FinishEncryption(ctx, address, func(e maildir.Encryption) {
		s.progress(progressReport{Done: e.Done, Total: e.Total, What: "files of " + address})
	})
	if errors.Is(err, maildir.ErrNotEncrypted) || errors.Is(err, mailbox.ErrLocked) { // it had ended, and the keys are forgotten
		if e, statusErr := a.store.Encryption(ctx, address); statusErr != nil || !e.Left {
			return statusErr
		}
	}
	return err
}

// encryptOff decrypts an account.
type encryptOff struct {
	encryptedAccount `embed:""`
}

func (c *encryptOff) streamOn(ctx context.Context, a *app, s *serverStream) error {
	secret, err := c.open(a)
	if err != nil {
		return err
	}
	if err := a.store.DisableEncryption(ctx, c.Address, secret); err != nil {
		return c.said(secret, err)
	}
	if err := a.followConversion(ctx, s, c.Address); err != nil {
		return err
	}
	fmt.Fprintf(s.out(), "All mail of %s is in the clear.\n", c.Address)
	return nil
}

// encryptRotate makes new keys.
type encryptRotate struct {
	encryptedAccount `embed:""`
}

func (c *encryptRotate) streamOn(ctx context.Context, a *app, s *serverStream) error {
	secret, err := c.open(a)
	if err != nil {
		return err
	}
	recovery, err := a.store.RotateKey(ctx, c.Address, secret)
	if err != nil {
		return c.said(secret, err)
	}
	if err := printRecovery(s.out(), c.Address, recovery); err != nil {
		return err
	}
	if err := a.followConversion(ctx, s, c.Address); err != nil {
		return err
	}
	fmt.Fprintf(s.out(), "All mail of %s is encrypted with the new keys.\n", c.Address)
	return nil
}

// encryptRecoveryKey makes another recovery key.
type encryptRecoveryKey struct {
	encryptedAccount `embed:""`
}

func (c *encryptRecoveryKey) runOn(ctx context.Context, a *app, out io.Writer) error {
	secret, err := c.open(a)
	if err != nil {
		return err
	}
	recovery, err := a.store.NewRecovery(ctx, c.Address, secret)
	if err != nil {
		return c.said(secret, err)
	}
	return printRecovery(out, c.Address, recovery)
}

// encryptRecover sets a new password.
type encryptRecover struct {
	Address     string `arg:"" name:"addr" help:"The recovery key and the new password are two lines of standard input."`
	RecoveryKey string `kong:"-"`
	Password    string `kong:"-"`
}

func (c *encryptRecover) secrets() []secret {
	return []secret{{"recovery key", &c.RecoveryKey, false}, {"new password", &c.Password, true}}
}

func (c *encryptRecover) runOn(ctx context.Context, a *app, out io.Writer) error {
	if !a.dir.IsAccount(c.Address) {
		return fmt.Errorf("%s is no account", c.Address)
	}
	e, err := a.store.Encryption(ctx, c.Address)
	if err != nil {
		return err
	}
	if !e.On {
		return fmt.Errorf("%s is not encrypted: fullserver email update sets its password", c.Address)
	}
	if err := a.changePassword(ctx, c.Address, maildir.Secret{Recovery: c.RecoveryKey}, c.Password); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s has the new password. The recovery key stays good.\n", c.Address)
	return err
}

// encryptStatus shows how accounts are encrypted.
type encryptStatus struct {
	Addresses []string `arg:"" name:"addr" optional:""`
	JSON      bool     `name:"json" help:"As JSON."`
}

// encryptionLine is an account as `encrypt status -json` shows it.
type encryptionLine struct {
	Address string `json:"address"`
	// State is off, on, encrypting, rotating or decrypting.
	State string `json:"state"`
	// Working says that it goes on now: Done of Total files.
	Working   bool `json:"working"`
	Done      int  `json:"done"`
	Total     int  `json:"total"`
	Failed    int  `json:"failed"`
	Open      bool `json:"open"` // the keys are in memory
	Password  bool `json:"password"`
	Recovery  bool `json:"recovery"`
	ServerKey bool `json:"serverKey"`
}

func (c *encryptStatus) runOn(ctx context.Context, a *app, out io.Writer) error {
	addresses, err := a.addresses(c.Addresses)
	if err != nil {
		return err
	}
	lines := []encryptionLine{}
	var errs []error
	for _, address := range addresses {
		e := maildir.Encryption{}
		if a.hasMail(address) {
			if e, err = a.store.Encryption(ctx, address); err != nil { // the others are shown all the same
				errs = append(errs, fmt.Errorf("%s: %w", address, err))
				continue
			}
		}
		lines = append(lines, encryptionLine{address, stateOf(e), e.Working, e.Done, e.Total, e.Failed, e.Open, e.Password, e.Recovery, e.Server})
	}
	if c.JSON {
		return errors.Join(append(errs, printJSON(out, lines))...)
	}
	for _, line := range lines {
		fmt.Fprintf(out, "* %s %s\n", line.Address, line.text())
	}
	return errors.Join(errs...)
}

func stateOf(e maildir.Encryption) string {
	switch {
	case !e.On:
		return "off"
	case e.Ending:
		return "decrypting"
	case e.Rotating:
		return "rotating"
	case e.Left:
		return "encrypting"
	}
	return "on"
}

// text is the line for people.
func (l *encryptionLine) text() string {
	words := map[string]string{"off": "is not encrypted", "on": "is encrypted", "encrypting": "is being encrypted",
		"rotating": "is being encrypted with new keys", "decrypting": "is being decrypted"}[l.State]
	if l.State == "off" {
		return words
	}
	switch {
	case l.Working:
		words += fmt.Sprintf(", %d of %d files", l.Done, l.Total)
	case l.State != "on" && l.ServerKey:
		words += ", which goes on when the server starts or the user logs in"
	case l.State != "on":
		words += ", which goes on when the user logs in"
	}
	if l.Failed > 0 {
		words += fmt.Sprintf(", %s cannot be read (see the log)", plural(l.Failed, "file", "files"))
	}
	var by []string
	for _, lock := range []struct {
		has  bool
		name string
	}{{l.Password, "password"}, {l.Recovery, "recovery key"}, {l.ServerKey, "server key"}} {
		if lock.has {
			by = append(by, lock.name)
		}
	}
	words += "; opens with " + strings.Join(by, ", ")
	if l.Open {
		words += "; is open"
	}
	return words
}
