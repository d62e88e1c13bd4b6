package directory

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// filePerm is the mode of the files: they hold password hashes.
const filePerm = 0o600

// AddAccount adds an account. It fails when the address has no domain, exists already or is an alias.
func (d *Directory) AddAccount(address, password string) error {
	address, err := newAddress(address)
	if err != nil {
		return err
	}
	return d.change(func(snap *snapshot, t *tables) error {
		if snap.isAccount(address) {
			return fmt.Errorf("%s already exists", address)
		}
		if snap.aliases[address] != nil {
			return fmt.Errorf("%s is already defined as an alias", address)
		}
		hash, err := auth.HashPassword(password)
		if err != nil {
			return err
		}
		t.accounts.set(sameAddress(address), address, hash)
		return nil
	})
}

// SetPassword gives an account another password; further fields of its line stay.
func (d *Directory) SetPassword(address, password string) error {
	address, err := Canonical(address)
	if err != nil {
		return err
	}
	return d.change(func(snap *snapshot, t *tables) error {
		if !snap.isAccount(address) {
			return noAccount(address)
		}
		hash, err := auth.HashPassword(password)
		if err != nil {
			return err
		}
		for i := range t.accounts.entries {
			if e := &t.accounts.entries[i]; e.key != "" && sameAddress(address)(e.key) {
				if _, fields, ok := strings.Cut(e.rest, "|"); ok {
					hash += "|" + fields
				}
			}
		}
		t.accounts.set(sameAddress(address), address, hash)
		return nil
	})
}

func noAccount(address string) error { return fmt.Errorf("%s does not exist", address) }

// DeleteAccounts removes accounts with their quotas, takes them out of the aliases' targets and removes aliases that are
// left without any. It removes all or, when one does not exist, none.
func (d *Directory) DeleteAccounts(addresses ...string) error {
	return d.change(func(snap *snapshot, t *tables) error {
		for _, address := range addresses {
			canonical, err := Canonical(address)
			if err != nil {
				return err
			}
			if !snap.isAccount(canonical) {
				return noAccount(canonical)
			}
			same := sameAddress(canonical)
			t.accounts.remove(same)
			t.quotas.remove(same)
			dropTarget(t.aliases, canonical, func(string) bool { return true })
			dropTarget(t.regexps, canonical, func(string) bool { return true })
		}
		return nil
	})
}

// dropTarget takes a target out of the entries that of names, and those entries out that have no other. It says whether
// there was one.
func dropTarget(t *table, target string, of func(key string) bool) bool {
	found := false
	kept := t.entries[:0]
	for _, e := range t.entries {
		if e.key != "" && of(e.key) {
			targets, err := parseTargets(e.rest, lenient)
			if i := slices.Index(targets, target); err == nil && i >= 0 {
				found = true
				targets = slices.Delete(targets, i, i+1)
				if len(targets) == 0 {
					continue
				}
				e.raw, e.rest = "", strings.Join(targets, ",")
			}
		}
		kept = append(kept, e)
	}
	t.entries = kept
	return found
}

// lenient is Canonical for targets of regular expressions, which may hold $1.
func lenient(target string) (string, error) {
	if strings.Contains(target, "$") {
		return target, nil
	}
	return Canonical(target)
}

// AddAlias adds a target to an alias: an address, "@domain" for a catch-all or "/…/" for a regular expression. It fails
// when the alias has this target already, or when its address is an account's.
func (d *Directory) AddAlias(name, target string) error {
	return d.change(func(snap *snapshot, t *tables) error {
		key, in, err := t.aliasTable(name)
		if err != nil {
			return err
		}
		if snap.isAccount(key) {
			return fmt.Errorf("%s is an account", key)
		}
		target, err := lenientFor(key)(target)
		if err != nil {
			return err
		}
		same := sameAlias(key)
		targets := []string{target}
		for _, e := range in.entries {
			if e.key != "" && same(e.key) {
				old, err := parseTargets(e.rest, lenient)
				if err != nil {
					return err
				}
				if slices.Contains(old, target) {
					return fmt.Errorf("alias %s has the target %s already", key, target)
				}
				targets = append(old, target)
				break
			}
		}
		in.set(same, key, strings.Join(targets, ","))
		return nil
	})
}

// lenientFor is how a target of this alias is checked.
func lenientFor(key string) func(string) (string, error) {
	if strings.HasPrefix(key, "/") {
		return lenient
	}
	return Canonical
}

// DeleteAlias takes a target from an alias, and the alias away with its last one.
func (d *Directory) DeleteAlias(name, target string) error {
	return d.change(func(_ *snapshot, t *tables) error {
		key, in, err := t.aliasTable(name)
		if err != nil {
			return err
		}
		target, err := lenientFor(key)(target)
		if err != nil {
			return err
		}
		if !dropTarget(in, target, sameAlias(key)) {
			return fmt.Errorf("alias %s has no target %s", key, target)
		}
		return nil
	})
}

// aliasTable says which file an alias is in, and as what.
func (t *tables) aliasTable(name string) (key string, in *table, err error) {
	if strings.HasPrefix(name, "/") {
		if _, err := compilePattern(name); err != nil {
			return "", nil, err
		}
		return name, t.regexps, nil
	}
	key, err = aliasKey(name)
	return key, t.aliases, err
}

// SetQuota limits an account to a number of octets; 0 means no limit.
func (d *Directory) SetQuota(address string, octets int64) error {
	return d.changeQuota(address, func(address string, t *table) {
		t.set(sameAddress(address), address, FormatSize(octets))
	})
}

// DeleteQuota removes the limit of an account, if it has one.
func (d *Directory) DeleteQuota(address string) error {
	return d.changeQuota(address, func(address string, t *table) { t.remove(sameAddress(address)) })
}

func (d *Directory) changeQuota(address string, edit func(address string, quotas *table)) error {
	address, err := Canonical(address)
	if err != nil {
		return err
	}
	return d.change(func(snap *snapshot, t *tables) error {
		if !snap.isAccount(address) {
			return noAccount(address)
		}
		edit(address, t.quotas)
		return nil
	})
}

func sameAddress(address string) func(key string) bool {
	return func(key string) bool {
		canonical, err := Canonical(key)
		return err == nil && canonical == address
	}
}

func sameAlias(name string) func(key string) bool {
	return func(key string) bool {
		canonical, err := aliasKey(key)
		return key == name || (err == nil && canonical == name)
	}
}

// change reads the files, lets edit change them and writes those that it changed, each durably. What it leaves must be
// valid: otherwise nothing is written.
func (d *Directory) change(edit func(snap *snapshot, t *tables) error) error {
	d.edit.Lock()
	defer d.edit.Unlock()
	t, err := d.readTables()
	if err != nil {
		return err
	}
	_, opts := d.current()
	snap, err := newSnapshot(t, opts.Domains)
	if err != nil {
		return err
	}
	before := t.texts()
	if err := edit(snap, &t); err != nil {
		return err
	}
	after := t.texts()
	for i, f := range formats {
		if _, err := parseTable(after[i], f); err != nil {
			return err
		}
	}
	if _, err := newSnapshot(t, opts.Domains); err != nil {
		return err
	}
	for i, f := range formats {
		if after[i] != before[i] {
			if err := durable.WriteFile(d.fsys, filepath.Join(d.dir, f.name), []byte(after[i]), filePerm); err != nil {
				return fmt.Errorf("write %s: %w", f.name, err)
			}
		}
	}
	return d.Reload()
}

func (t *tables) texts() (texts [4]string) {
	for i, table := range []*table{t.accounts, t.aliases, t.regexps, t.quotas} {
		texts[i] = string(table.text(formats[i]))
	}
	return texts
}
