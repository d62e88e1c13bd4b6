package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir/internal/sealedfs"
)

// An account that is encrypted has the file mailbricks-keys (package sealed); its layer of files (package sealedfs) lies between
// it and the disk. The file mailbricks-roles says, in the clear, into which folder on disk mail for \Junk goes: its name
// and version, then a line "<use> <folder>".
const (
	keyFileName  = sealedfs.KeyFile
	roleFileName = sealedfs.RolesFile
	roleVersion  = "1"
	maxRoleFile  = 4096
)

// vault is what an account knows of its encryption. The keys are in it from Unlock or Store until the account is not used
// any more. Neither does the layer go, once there was one: what was begun with it may be for keys that have been replaced since,
// or sealed though encryption was turned off.
type vault struct {
	account *account
	layer   atomic.Pointer[sealedfs.FS] // nil: not encrypted

	mu     sync.Mutex
	info   fs.FileInfo     // of the key file
	file   *sealed.KeyFile // nil: not encrypted
	sealer *sealed.Sealer  // of file
	keys   *sealed.Keys    // of file; nil: locked
	ring   *sealed.Keyring // of keys, and of those before them

	checked   bool // whether there is anything encrypted without a key file
	passwords int  // changes of the password that are going on

	converting bool
	progress   Encryption // Done, Total, Failed
}

func (v *vault) encrypted() bool { return v.keyFile() != nil }

// locked says whether the account is encrypted and not open.
func (v *vault) locked() bool { return v.encrypted() && v.open() == nil }

func (v *vault) open() *sealed.Keys {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.keys
}

func (v *vault) keyFile() *sealed.KeyFile {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.file
}

// unfinished says whether files may have to be converted.
func (v *vault) unfinished() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.file != nil && v.file.State() != sealed.Sealed
}

func (v *vault) status() Encryption {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.progress
	e.Working = v.converting
	if v.file == nil {
		return e
	}
	e.On, e.Open, e.Left = true, v.keys != nil, v.file.State() != sealed.Sealed
	e.Ending, e.Rotating = v.file.State() == sealed.Opening, v.file.Keys() > 1
	e.Password, e.Recovery, e.Server = v.file.Locks()
	return e
}

// knownKeys is what a Maildir remembers of accounts that nobody has open: the public half of the key file, with a sealer that
// many deliveries share.
type knownKeys struct {
	info   fs.FileInfo
	file   *sealed.KeyFile
	sealer *sealed.Sealer
}

// maxKnownKeys is how many accounts it remembers that of.
const maxKnownKeys = 1000

// loadKeys looks whether the account is encrypted, and how.
func (a *account) loadKeys() error {
	a.vault.mu.Lock()
	defer a.vault.mu.Unlock()
	return a.vault.load()
}

// load is loadKeys. v.mu is held from before the look at the disk, so that nobody who was slower puts older keys back.
func (v *vault) load() error {
	a := v.account
	info, err := statOrNil(a.maildir.files, filepath.Join(a.dir, keyFileName))
	if err != nil {
		return fmt.Errorf("maildir: keys: %w", err)
	}
	if sameInfo(info, v.info) && (info != nil || v.checked) {
		return nil
	}
	if info == nil {
		if err := v.checkNone(); err != nil {
			return err
		}
		v.checked = true
		v.forget()
		return nil
	}
	v.checked = false
	known, err := a.maildir.keysOf(a.dir, info)
	if err != nil {
		return fmt.Errorf("maildir: keys of %s: %w", a.dir, err)
	}
	if v.keys != nil {
		again, err := v.keys.Again(known.file)
		if err != nil { // another process has rotated them
			a.maildir.logger().Warn("maildir: account has other keys now; it can be opened again", "folder", a.dir, "error", err)
			v.keys = nil
		} else {
			v.take(again)
		}
	}
	v.info, v.file, v.sealer = info, known.file, known.sealer
	v.setMode()
	return nil
}

// checkNone fails if the account, which has no key file, has something encrypted: the key file was lost, or has not come yet.
// As an account in the clear its mail would be damaged, and new mail would be readable.
func (v *vault) checkNone() error {
	disk, dir := v.account.maildir.files, v.account.dir
	missing := func(what string) error {
		return fmt.Errorf("%w from %s, which has %s: put it back", ErrKeysMissing, dir, what)
	}
	info, err := statOrNil(disk, filepath.Join(dir, roleFileName))
	if err != nil {
		return fmt.Errorf("maildir: keys: %w", err)
	}
	if info != nil {
		return missing(roleFileName)
	}
	switch isSealed, err := sealedfs.IsSealed(disk, filepath.Join(dir, indexFile)); {
	case isSealed:
		return missing("an encrypted " + indexFile)
	case err == nil: // turned off, or never on
		return nil
	case !isNotExist(err) && !errors.Is(err, durable.ErrNotRegular): // a pipe or link there tells nothing
		return fmt.Errorf("maildir: keys: %w", err)
	}
	names, err := disk.ReadNames(dir)
	if err != nil && !isNotExist(err) {
		return fmt.Errorf("maildir: keys: %w", err)
	}
	if i := slices.IndexFunc(names, sealedfs.IsHidden); i >= 0 {
		return missing("the encrypted mailbox " + names[i])
	}
	return nil
}

// take opens the account with keys. What is for those before them can still be read, as it may be on its way into a mailbox.
// v.mu is held.
func (v *vault) take(keys *sealed.Keys) {
	ring := keys.Keyring()
	ring.Also(v.ring)
	v.keys, v.ring = keys, ring
}

// setMode has the files be used as the keys say. v.mu is held.
func (v *vault) setMode() {
	layer := v.layer.Load()
	if layer == nil {
		layer = sealedfs.New(v.account.maildir.files, v.account.dir, mailbox.ErrLocked)
		layer.Refresh(v.account.loadKeys)
	}
	mode := sealedfs.Mode{Sealer: v.sealer, Whole: v.file.State() == sealed.Sealed}
	if v.file.State() == sealed.Opening {
		mode.Sealer = nil
	}
	if v.keys != nil {
		mode.Keyring, mode.Names = v.ring, bytes.Clone(v.keys.Names())
	}
	layer.SetMode(mode)
	v.layer.Store(layer)
}

// forget has the account be none that is encrypted. v.mu is held.
func (v *vault) forget() {
	mode := sealedfs.Mode{Keyring: v.ring}
	if v.keys != nil {
		mode.Names = bytes.Clone(v.keys.Names())
	}
	v.info, v.file, v.sealer, v.keys = nil, nil, nil, nil
	if layer := v.layer.Load(); layer != nil {
		layer.SetMode(mode)
	}
}

// wipe forgets the keys of an account that nobody uses.
func (v *vault) wipe() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys != nil {
		v.keys.Wipe()
	}
	if v.ring != nil {
		v.ring.Wipe()
	}
	v.keys, v.ring = nil, nil
	if layer := v.layer.Load(); layer != nil {
		layer.Lock()
	}
}

// errKeysChanged says that the key file is another one than that which something was made of.
var errKeysChanged = errors.New("maildir: keys have changed meanwhile")

// install opens the account with keys that fit its key file. What that says now counts, not what it said when the keys were
// opened: it fails with errKeysChanged if they do not open it any more.
func (v *vault) install(keys *sealed.Keys) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.put(keys)
}

// installBy is install for keys that a secret has opened, which must not have been revoked meanwhile.
func (v *vault) installBy(keys *sealed.Keys) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.load(); err != nil {
		return err
	}
	if v.file != nil && !v.file.Has(keys.OpenedBy()) {
		return errKeysChanged
	}
	return v.put(keys)
}

// put is install. v.mu is held.
func (v *vault) put(keys *sealed.Keys) error {
	if err := v.load(); err != nil {
		return err
	}
	if v.file == nil {
		return ErrNotEncrypted
	}
	again, err := keys.Again(v.file)
	if err != nil && !v.file.Same(keys.File()) {
		return errKeysChanged
	}
	if err != nil || v.keys != nil { // which are those of the file
		return err
	}
	v.take(again)
	v.setMode()
	return nil
}

// keysOf reads the key file of an account, if it is not as info says of the one that was read last.
func (m *Maildir) keysOf(dir string, info fs.FileInfo) (knownKeys, error) {
	m.mu.Lock()
	known, ok := m.known[dir]
	m.mu.Unlock()
	if ok && sameInfo(info, known.info) {
		return known, nil
	}
	data, err := durable.ReadFile(m.files, filepath.Join(dir, keyFileName), sealed.MaxKeyFile)
	if err != nil {
		return knownKeys{}, err
	}
	file, err := sealed.ParseKeyFile(data)
	if err != nil {
		return knownKeys{}, err
	}
	return m.knowKeys(dir, info, file)
}

func (m *Maildir) knowKeys(dir string, info fs.FileInfo, file *sealed.KeyFile) (knownKeys, error) {
	public, err := file.Public()
	if err != nil {
		return knownKeys{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := knownKeys{info, file, sealed.NewSealer(public)}
	if before, ok := m.known[dir]; ok && before.sealer.ID() == public.ID() {
		known.sealer = before.sealer
	}
	if len(m.known) >= maxKnownKeys {
		clear(m.known)
	}
	m.known[dir] = known
	return known, nil
}

// diskKeys reads the key file, and has the vault know that one, whatever the system says of it; nil: there is none. The structure
// lock is held, so that it stays so.
func (a *account) diskKeys() ([]byte, error) {
	v := &a.vault
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.load(); err != nil || v.file == nil {
		return nil, err
	}
	data, err := a.readKeyFile()
	if err != nil {
		return nil, err
	}
	file, err := sealed.ParseKeyFile(data)
	if err != nil {
		return nil, fmt.Errorf("maildir: keys of %s: %w", a.dir, err)
	}
	if file.Same(v.file) {
		return data, nil
	}
	a.maildir.forgetKeys(a.dir) // it was replaced so soon after another one that it looks the same
	v.info = nil
	if err := v.load(); err != nil {
		return nil, err
	}
	if v.file == nil || !file.Same(v.file) {
		return nil, errKeysChanged
	}
	return data, nil
}

// readKeyFile reads it; nil: there is none.
func (a *account) readKeyFile() ([]byte, error) {
	data, err := durable.ReadFile(a.maildir.files, filepath.Join(a.dir, keyFileName), sealed.MaxKeyFile)
	if isNotExist(err) {
		return nil, nil
	}
	return data, err
}

// forgetKeys has a key file be read anew.
func (m *Maildir) forgetKeys(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, dir)
}

// writeKeys writes the key file in the place of the one that diskKeys gave, which the keys were made of, and works with it. It
// fails with errKeysChanged if another one is there: nothing could open what was encrypted for that. The structure lock is held.
func (a *account) writeKeys(was []byte, keys *sealed.Keys) error {
	if err := keys.Freshen(); err != nil {
		return err
	}
	data, err := keys.Format()
	if err != nil {
		return err
	}
	file, err := sealed.ParseKeyFile(data)
	if err != nil {
		return err
	}
	if keys, err = keys.Again(file); err != nil { // it must open
		return err
	}
	now, err := a.readKeyFile()
	if err != nil {
		return err
	}
	if !bytes.Equal(now, was) || (now == nil) != (was == nil) {
		return errKeysChanged
	}
	path := filepath.Join(a.dir, keyFileName)
	v := &a.vault
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := durable.WriteFile(a.maildir.files, path, data, messagePerm); err != nil {
		return err
	}
	info, err := a.maildir.files.Stat(path)
	if err != nil {
		return err
	}
	known, err := a.maildir.knowKeys(a.dir, info, file)
	if err != nil {
		return err
	}
	v.take(keys)
	v.info, v.file, v.sealer = info, file, known.sealer
	v.setMode()
	return nil
}

// noteRole writes down, for deliveries to the locked account, which folder mail for a use goes to.
func (a *account) noteRole(use mailbox.Use, folder string) error {
	layer := a.vault.layer.Load()
	if layer == nil || !a.vault.encrypted() {
		return nil
	}
	disk, err := layer.Hidden(folder)
	if err != nil {
		return err
	}
	if disk == "" {
		disk = folder
	}
	text := fmt.Sprintf("%s %s\n%s %s\n", roleFileName, roleVersion, use, disk)
	path := filepath.Join(a.dir, roleFileName)
	if was, err := durable.ReadFile(a.fs(), path, maxRoleFile); err == nil && string(was) == text {
		return nil
	}
	return durable.WriteFile(a.fs(), path, []byte(text), messagePerm)
}

// noteRoles is noteRole for what the uses are now. What goes wrong only has junk be delivered to INBOX while it is locked.
func (a *account) noteRoles(u *useFile) {
	if a.vault.locked() || !a.vault.encrypted() {
		return
	}
	err := error(nil)
	if folders := u.of(mailbox.UseJunk); len(folders) > 0 {
		err = a.noteRole(mailbox.UseJunk, folders[0])
	}
	if err != nil {
		a.maildir.logger().Warn("maildir: folder for junk is not noted", "folder", a.dir, "error", err)
	}
}

// lockedFolder is where mail for a use goes while the account is locked: INBOX if nobody has written it down.
func (a *account) lockedFolder(use mailbox.Use) (string, error) {
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, roleFileName), maxRoleFile)
	if err != nil && !isNotExist(err) {
		return "", err
	}
	header, rest, _ := strings.Cut(string(data), "\n")
	if header == roleFileName+" "+roleVersion {
		for line := range strings.Lines(rest) {
			name, folder, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if mailbox.Use(name) != use || strings.ContainsAny(folder, `/\`) || strings.HasPrefix(folder, hiddenPrefix) || !strings.HasPrefix(folder, ".") {
				continue
			}
			ok, err := a.isFolder(folder)
			if err != nil && !errors.Is(err, mailbox.ErrLocked) {
				return "", err
			}
			if ok {
				return folder, nil
			}
		}
	}
	a.maildir.logger().Warn("maildir: encrypted account has no folder for this mail while it is locked: it goes to INBOX", "folder", a.dir, "use", use)
	return "", nil
}
