package maildir

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
)

var (
	// ErrSecret says that a password or a recovery key does not open an account's keys.
	ErrSecret = errors.New("maildir: wrong password or recovery key")
	// ErrNotEncrypted is the error of what only encrypted accounts can do.
	ErrNotEncrypted = errors.New("maildir: account is not encrypted")
	// ErrKeysMissing says that the key file of an encrypted account is not there. Nothing is done with the account until it is
	// back: in the clear its mail would be damaged.
	ErrKeysMissing = errors.New("maildir: mailbricks-keys is missing")
	// ErrEncrypted says that an account is encrypted already.
	ErrEncrypted = errors.New("maildir: account is encrypted already")
)

// ServerKeySize is how long Maildir.ServerKey is, in octets.
const ServerKeySize = sealed.ServerKeySize

// unlockHold is how long Unlock keeps an account's keys for the session that comes next.
const unlockHold = 30 * time.Second

// Secret opens the keys of an encrypted account: its password or its recovery key. The zero value stands for
// Maildir.ServerKey, or a session that has the account open.
type Secret struct{ Password, Recovery string }

// Encryption is how an account is encrypted.
type Encryption struct {
	// On: it has keys, and new mail is encrypted unless Ending.
	On bool
	// Ending: encryption is being turned off.
	Ending bool
	// Rotating: there are files for older keys, or may be.
	Rotating bool
	// Open: its keys are in memory.
	Open bool
	// Working: files are being converted. Left: some may still have to be; that goes on when the account is opened.
	Working, Left bool
	// Done and Total count the files of the run that is going on, or was the last of this process. Failed are those of them
	// that could not be converted; the log says why.
	Done, Total, Failed int
	// Password, Recovery and Server say what opens the keys.
	Password, Recovery, Server bool
}

// Encryption says how an account is encrypted.
func (m *Maildir) Encryption(ctx context.Context, address string) (Encryption, error) {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return Encryption{}, err
	}
	defer m.release(a)
	return a.vault.status(), nil
}

// EnableEncryption makes keys for an account and begins to encrypt what it has, in the background. The password, which the
// caller has verified, opens it from now on; it may be empty where there is a ServerKey, and is then taken from the next
// Unlock. recovery opens it as well: it is not kept here and must be shown to somebody now.
func (m *Maildir) EnableEncryption(ctx context.Context, address, password string) (recovery string, err error) {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return "", err
	}
	defer m.release(a)
	if recovery, err = a.enableEncryption(ctx, password); err != nil {
		return "", fmt.Errorf("maildir: encrypt %.200q: %w", address, err)
	}
	a.convertInBackground()
	return recovery, nil
}

// DisableEncryption begins to decrypt what an account has, in the background. Its keys go when all is done.
func (m *Maildir) DisableEncryption(ctx context.Context, address string, secret Secret) error {
	return m.withKeys(ctx, address, secret, func(a *account) error {
		err := a.changeKeys(func(k *sealed.Keys) error {
			k.SetState(sealed.Opening)
			return nil
		})
		if err == nil {
			a.convertInBackground()
		}
		return err
	})
}

// KeepEncryption takes DisableEncryption back while that is not done: what is in the clear by then is encrypted again, in the
// background.
func (m *Maildir) KeepEncryption(ctx context.Context, address string, secret Secret) error {
	return m.withKeys(ctx, address, secret, func(a *account) error {
		if a.vault.keyFile().State() != sealed.Opening {
			return nil
		}
		err := a.changeKeys(func(k *sealed.Keys) error {
			k.SetState(sealed.Sealing)
			return nil
		})
		if err == nil {
			a.convertInBackground()
		}
		return err
	})
}

// RotateKey makes new keys for an account and begins to encrypt what it has with them, in the background. The password stays;
// there is a new recovery key, as for EnableEncryption.
func (m *Maildir) RotateKey(ctx context.Context, address string, secret Secret) (recovery string, err error) {
	recovery = sealed.NewRecovery()
	err = m.withKeys(ctx, address, secret, func(a *account) error {
		err := a.changeKeys(func(k *sealed.Keys) error {
			if err := k.Rotate(); err != nil {
				return err
			}
			return k.SetLock(sealed.Secret{Recovery: recovery}, m.passwordCost())
		})
		if err == nil {
			a.convertInBackground()
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return recovery, nil
}

// NewRecovery makes another recovery key for an account, as for EnableEncryption. The old one opens nothing any more. No mail is
// encrypted anew: who has the old one and an old copy of the key file can still open it, until RotateKey.
func (m *Maildir) NewRecovery(ctx context.Context, address string, secret Secret) (recovery string, err error) {
	recovery = sealed.NewRecovery()
	err = m.withKeys(ctx, address, secret, func(a *account) error {
		return a.changeKeys(func(k *sealed.Keys) error { return k.SetLock(sealed.Secret{Recovery: recovery}, m.passwordCost()) })
	})
	if err != nil {
		return "", err
	}
	return recovery, nil
}

// SetPassword is ChangePassword where log-ins know of the new password already.
func (m *Maildir) SetPassword(ctx context.Context, address string, secret Secret, password string) error {
	return m.ChangePassword(ctx, address, PasswordChange{Secret: secret, New: password})
}

// PasswordChange is what ChangePassword does.
type PasswordChange struct {
	// Secret opens the keys now: the old password or the recovery key, or what its zero value stands for.
	Secret Secret
	// New is the new password.
	New string
	// Commit has log-ins take the new password. While it is called, and if the machine stops before ChangePassword returns,
	// both passwords open the keys; the next Unlock with one drops the other. If it fails all stays as it was. It may be nil.
	Commit func() error
}

// ChangePassword has a new password open an account's keys, in the place of the old one. No mail is encrypted anew: who has the
// old password and an old copy of the key file can still open it, until RotateKey.
func (m *Maildir) ChangePassword(ctx context.Context, address string, c PasswordChange) error {
	if c.New == "" {
		return fmt.Errorf("%w: it is empty", ErrSecret)
	}
	return m.withKeys(ctx, address, c.Secret, func(a *account) error {
		lock, err := a.passwordLock(ctx, c.New)
		if err != nil {
			return err
		}
		defer a.vault.changingPassword()()
		var id sealed.ID
		err = a.changeKeys(func(k *sealed.Keys) (err error) {
			id, err = k.Add(lock)
			return err
		})
		if err == nil && c.Commit != nil {
			if err = c.Commit(); err != nil {
				return errors.Join(err, a.changeKeys(func(k *sealed.Keys) error { k.DropLock(id); return nil }))
			}
		}
		if err != nil {
			return err
		}
		// A log-in by another process may have dropped it, as log-ins did not know it.
		return a.changeKeys(func(k *sealed.Keys) error { return k.Set(lock) })
	})
}

// Unlock opens an account with the password of somebody who has just logged in, which the caller has verified: the next
// Store, and all until the last session has ended, can read the mail. It does nothing for an account that is not encrypted
// or open already, whatever the password: this is no check of it. Without a matching password it fails with ErrSecret, unless
// ServerKey opens the account.
func (m *Maildir) Unlock(ctx context.Context, address, password string) error {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return err
	}
	err = a.unlock(ctx, password)
	if err != nil || !a.vault.encrypted() {
		m.release(a)
		if err != nil {
			return fmt.Errorf("maildir: unlock %.200q: %w", address, err)
		}
		return nil
	}
	a.convertInBackground()
	m.hold(a)
	return nil
}

// hold gives an account back after unlockHold.
func (m *Maildir) hold(a *account) { time.AfterFunc(unlockHold, func() { m.release(a) }) }

// FinishEncryption returns when all files of an account are as they should be, or fails with what is in the way. It does
// what is left to do, with the keys of a session or ServerKey, or waits for who does it. progress is called from time to
// time, and may be nil.
func (m *Maildir) FinishEncryption(ctx context.Context, address string, progress func(Encryption)) error {
	return m.withKeys(ctx, address, Secret{}, func(a *account) error { return a.finishConversion(ctx, progress) })
}

// withKeys runs work on an encrypted account whose keys the secret opens, or are open.
func (m *Maildir) withKeys(ctx context.Context, address string, secret Secret, work func(*account) error) error {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return err
	}
	defer m.release(a)
	if err = a.openKeys(ctx, secret); err == nil {
		err = work(a)
	}
	if err != nil {
		return fmt.Errorf("maildir: encryption of %.200q: %w", address, err)
	}
	return nil
}

// openKeys opens the keys with the secret. Where a secret is given, it must be right even if the keys are open.
func (a *account) openKeys(ctx context.Context, secret Secret) error {
	if !a.vault.encrypted() {
		return ErrNotEncrypted
	}
	if secret == (Secret{}) {
		return a.openForSession()
	}
	_, err := a.openBy(ctx, secret)
	return err
}

// maxUnlocks is how often a secret is tried while the key file becomes another one each time.
const maxUnlocks = 5

// openBy opens the account with a secret, and says which lock it opened.
func (a *account) openBy(ctx context.Context, secret Secret) (by sealed.ID, err error) {
	for range maxUnlocks {
		var keys *sealed.Keys
		var file *sealed.KeyFile
		if keys, file, err = a.tryKeys(ctx, secret); err == nil {
			by, err = keys.OpenedBy(), a.openWith(keys, a.vault.installBy)
			keys.Wipe()
		} else if a.loadKeys() == nil && file != nil && !file.Same(a.vault.keyFile()) {
			err = fmt.Errorf("%w: %w", errKeysChanged, err)
		}
		if !errors.Is(err, errKeysChanged) || !a.vault.encrypted() {
			break
		}
	}
	return by, err
}

// openWith opens the account with keys, and does what had to wait for that.
func (a *account) openWith(keys *sealed.Keys, install func(*sealed.Keys) error) error {
	waited := a.vault.locked()
	if err := install(keys); err != nil || !waited {
		return err
	}
	unlock, err := a.lockStructure() // which does a rename that was interrupted to the end
	if err != nil {
		a.maildir.logger().Warn("maildir: account was opened, but not all in it is in order", "folder", a.dir, "error", err)
		return nil
	}
	unlock()
	return nil
}

// openForSession makes sure that an encrypted account is open: it is already, or the server's key opens it.
func (a *account) openForSession() (err error) {
	key := a.maildir.ServerKey
	for range maxUnlocks {
		file := a.vault.keyFile()
		if file == nil || !a.vault.locked() {
			return nil
		}
		if key == nil {
			return mailbox.ErrLocked
		}
		var keys *sealed.Keys
		keys, err = file.Unlock(sealed.Secret{Server: key})
		if errors.Is(err, sealed.ErrSecret) {
			return fmt.Errorf("%w: the server's key does not open it", mailbox.ErrLocked)
		}
		if err == nil {
			err = a.openWith(keys, a.vault.installBy)
			keys.Wipe()
		}
		if !errors.Is(err, errKeysChanged) {
			return err
		}
	}
	return err
}

// unlock is Unlock for the account. Of several log-ins at once the first makes the key of the password for all.
func (a *account) unlock(ctx context.Context, password string) error {
	if !a.vault.locked() {
		return nil
	}
	done, err := a.maildir.deriving.turn(ctx, a.dir)
	if err != nil {
		return err
	}
	defer done()
	if !a.vault.locked() {
		return nil
	}
	began := a.vault.keyFile()
	by, err := a.openBy(ctx, Secret{Password: password})
	if errors.Is(err, ErrSecret) { // it was changed by somebody who did not tell, or there is none yet
		if a.openForSession() != nil {
			return err
		}
		return a.takePassword(ctx, began, password)
	}
	if errors.Is(err, ErrNotEncrypted) { // any more
		return nil
	}
	if err != nil {
		return err
	}
	if a.vault.keyFile().Passwords() > 1 { // a change was interrupted, or goes on; log-ins know which it is
		err = a.changeKeys(func(k *sealed.Keys) error {
			if a.vault.passwordChanges() {
				return errKeepKeys
			}
			k.OnlyLock(by)
			return nil
		})
	}
	if err = errors.Join(err, a.keepServerLock()); err != nil {
		a.maildir.logger().Warn("maildir: key file of an account is not as it should be", "folder", a.dir, "error", err)
	}
	return nil
}

// takePassword has the password of a log-in open the keys in the place of the one that did, unless they have changed since the
// log-in: then it may be the older one of two.
func (a *account) takePassword(ctx context.Context, began *sealed.KeyFile, password string) error {
	lock, err := a.passwordLock(ctx, password)
	if err != nil {
		return err
	}
	err = a.changeKeys(func(k *sealed.Keys) error {
		if began == nil || !began.Same(a.vault.keyFile()) || a.vault.passwordChanges() {
			return errKeysChanged
		}
		return k.Set(lock)
	})
	if errors.Is(err, errKeysChanged) { // by another log-in with it, perhaps
		_, err = a.openBy(ctx, Secret{Password: password})
	}
	return err
}

// keepServerLock has the server's key open the account if there is one, and not if there is none any more.
func (a *account) keepServerLock() error {
	key := a.maildir.ServerKey
	wrong := func(file *sealed.KeyFile) bool {
		if file == nil {
			return false
		}
		_, _, has := file.Locks()
		return key == nil && has || key != nil && !file.Fits(sealed.Secret{Server: key})
	}
	if !wrong(a.vault.keyFile()) {
		return nil
	}
	return a.changeKeys(func(k *sealed.Keys) error {
		if !wrong(a.vault.keyFile()) {
			return errKeepKeys
		}
		if key == nil {
			k.DropServerLock()
			return nil
		}
		return k.SetLock(sealed.Secret{Server: key}, a.maildir.passwordCost())
	})
}

// tryKeys opens the key file with a secret, and says which file that was. What comes of it may be out of date when it returns.
func (a *account) tryKeys(ctx context.Context, secret Secret) (keys *sealed.Keys, file *sealed.KeyFile, err error) {
	d := &a.maildir.deriving
	refused := func() bool {
		file = a.vault.keyFile()
		return file != nil && secret.Password != "" && d.wasRefused(d.attempt(file, secret.Password), a.maildir.now())
	}
	if refused() {
		return nil, file, fmt.Errorf("%w: it was tried a short time ago", ErrSecret)
	}
	done, err := d.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if file = a.vault.keyFile(); file == nil {
		return nil, nil, ErrNotEncrypted
	}
	keys, err = file.Unlock(sealed.Secret{Password: secret.Password, Recovery: secret.Recovery})
	if errors.Is(err, sealed.ErrSecret) {
		if secret.Password != "" {
			d.refuse(d.attempt(file, secret.Password), a.maildir.now())
		}
		if reason, ok := strings.CutPrefix(err.Error(), sealed.ErrSecret.Error()+": "); ok {
			err = fmt.Errorf("%w: %s", ErrSecret, reason)
		} else {
			err = ErrSecret
		}
	}
	return keys, file, err
}

// passwordLock makes a lock of a password.
func (a *account) passwordLock(ctx context.Context, password string) (*sealed.NewLock, error) {
	done, err := a.maildir.deriving.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return sealed.MakeLock(sealed.Secret{Password: password}, a.maildir.passwordCost())
}

// changingPassword notes that a change of the password has begun, and that it has ended.
func (v *vault) changingPassword() (done func()) {
	add := func(n int) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.passwords += n
	}
	add(1)
	return func() { add(-1) }
}

func (v *vault) passwordChanges() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.passwords > 0
}

// enableEncryption makes the keys.
func (a *account) enableEncryption(ctx context.Context, password string) (recovery string, err error) {
	m := a.maildir
	if password == "" && m.ServerKey == nil {
		return "", fmt.Errorf("%w: it takes a password or the server's key", ErrSecret)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	junk, err := a.useFolder(mailbox.UseJunk) // it must be there: what is delivered to a locked account can make no folder
	if err != nil {
		return "", err
	}
	keys, err := sealed.NewKeys()
	if err != nil {
		return "", err
	}
	recovery = sealed.NewRecovery()
	secrets := []sealed.Secret{{Recovery: recovery}}
	if password != "" {
		secrets = append(secrets, sealed.Secret{Password: password})
	}
	if m.ServerKey != nil {
		secrets = append(secrets, sealed.Secret{Server: m.ServerKey})
	}
	for _, secret := range secrets {
		done, err := m.deriving.begin(ctx)
		if err != nil {
			return "", err
		}
		err = keys.SetLock(secret, m.passwordCost())
		done()
		if err != nil {
			return "", err
		}
	}
	unlock, err := a.lockStructure()
	if err != nil {
		return "", err
	}
	defer unlock()
	was, err := a.diskKeys()
	if err != nil {
		return "", err
	}
	if was != nil {
		return "", ErrEncrypted
	}
	if err := a.writeKeys(nil, keys); err != nil {
		return "", err
	}
	return recovery, a.noteRole(mailbox.UseJunk, junk)
}

// errKeepKeys has changeKeys change nothing.
var errKeepKeys = errors.New("maildir: keys stay as they are")

// changeKeys changes the key file of an account that is open. What is on disk is changed, not what was read of it before:
// whoever writes a key file that is out of date takes away the keys of all mail that came since.
func (a *account) changeKeys(change func(*sealed.Keys) error) error {
	unlock, err := a.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	was, err := a.diskKeys()
	if err != nil {
		return err
	}
	if was == nil {
		return ErrNotEncrypted
	}
	now := a.vault.open()
	if now == nil {
		return mailbox.ErrLocked
	}
	next := now.Clone()
	if err := change(next); err != nil {
		if errors.Is(err, errKeepKeys) {
			return nil
		}
		return err
	}
	return a.writeKeys(was, next)
}
