package maildir

import (
	"errors"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
)

// treeAt is a tree that is no account, with the keys of the account if they open it, or the server's.
func (r *restore) treeAt(dir string) (*account, error) {
	back := &account{maildir: r.account.maildir, dir: dir, folders: map[string]*folder{}}
	back.vault.account = back
	if err := back.loadKeys(); err != nil {
		return nil, err
	}
	if !back.vault.encrypted() {
		return back, nil
	}
	if keys := r.account.vault.open(); keys != nil {
		again, err := keys.Again(back.vault.keyFile())
		if err == nil {
			return back, back.vault.install(again)
		}
	}
	_ = back.openForSession() // without the server's key it stays locked
	return back, nil
}

// keepKeys has the restored tree be opened by the keys that the account has now, if they are those of the backup or it had
// none. readable says that with these keys also what the account has now can be read.
func (r *restore) keepKeys(temp string) (readable bool, err error) {
	a := r.account
	if _, err := a.diskKeys(); err != nil { // another process may have changed them
		return false, err
	}
	if !a.vault.encrypted() {
		return true, nil
	}
	now := a.vault.keyFile()
	path := filepath.Join(temp, keyFileName)
	data, err := durable.ReadFile(r.files, path, sealed.MaxKeyFile)
	if err != nil && !isNotExist(err) {
		return false, err
	}
	whole := false // all files of the backup are sealed
	if err == nil {
		was, err := sealed.ParseKeyFile(data)
		if err != nil {
			return false, err
		}
		if same, err := samePair(was, now); err != nil || !same {
			return false, err
		}
		whole = was.State() == sealed.Sealed
	}
	if now.State() != sealed.Sealed || whole {
		data, err = durable.ReadFile(r.files, filepath.Join(a.dir, keyFileName), sealed.MaxKeyFile)
	} else {
		data, err = a.unfinishedKeys()
	}
	if err != nil {
		return false, err
	}
	return true, durable.WriteFile(r.files, path, data, messagePerm)
}

// samePair says whether two key files have the same key.
func samePair(a, b *sealed.KeyFile) (bool, error) {
	x, err := a.Public()
	y, err2 := b.Public()
	if err := errors.Join(err, err2); err != nil {
		return false, err
	}
	return x.ID() == y.ID(), nil
}

// unfinishedKeys is the account's key file saying that some files are still to be encrypted.
func (a *account) unfinishedKeys() ([]byte, error) {
	keys := a.vault.open()
	if keys == nil {
		return nil, mailbox.ErrLocked
	}
	keys = keys.Clone()
	keys.SetState(sealed.Sealing)
	return keys.Format()
}

// restart has the account look at its key file and all others anew.
func (v *vault) restart() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.info, v.file = nil, nil
	v.layer.Store(nil)
	return v.load()
}
