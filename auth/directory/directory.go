package directory

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// DefaultRecheck is how often the files' dates are looked at.
const DefaultRecheck = time.Second

// Options of a Directory. The zero value works.
type Options struct {
	// Domains are hosted even without an account or an alias.
	Domains []string
	// Postmaster gets the mail to postmaster@ every hosted domain that names nobody for it, and to <postmaster>; empty:
	// the first account of the domain, or of all.
	Postmaster string
	// Hostname is the server's own name. Mail to postmaster there is taken even if it is no hosted domain.
	Hostname string
	// Recheck is how often the files' dates are looked at; 0: DefaultRecheck.
	Recheck time.Duration
	// Logger is told when the files were read again and when that failed; nil discards.
	Logger *slog.Logger
}

// Directory knows the accounts, aliases and quotas. Its methods may be called from several goroutines at once.
type Directory struct {
	dir  string
	fsys durable.FS

	edit sync.Mutex // held while the files are changed

	mu      sync.Mutex // guards what follows
	opts    Options
	now     *snapshot
	seen    [4]fileState // what the files looked like when they were read
	checked time.Time
}

// fileState tells whether a file is still the one that was read.
type fileState struct {
	size  int64
	mtime time.Time
}

// Open reads the four files in dir; those that are not there are empty. It fails when one has a mistake.
func Open(dir string, opts Options) (*Directory, error) {
	d := &Directory{dir: dir, fsys: durable.OS()}
	if err := d.Configure(opts); err != nil {
		return nil, err
	}
	return d, nil
}

// Configure puts other options in force and reads the files anew. When it fails, all stays as it was.
func (d *Directory) Configure(opts Options) error {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Domains = slices.Clone(opts.Domains)
	for i, domain := range opts.Domains {
		canonical, err := CanonicalDomain(domain)
		if err != nil {
			return fmt.Errorf("directory: domain %q: %w", domain, err)
		}
		opts.Domains[i] = canonical
	}
	if opts.Postmaster != "" {
		canonical, err := Canonical(opts.Postmaster)
		if err != nil {
			return fmt.Errorf("directory: postmaster: %w", err)
		}
		opts.Postmaster = canonical
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read(opts)
}

// Reload reads the files now. When it fails, what was read before stays in force.
func (d *Directory) Reload() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read(d.opts)
}

var formats = [4]format{accountsFormat, aliasesFormat, regexpFormat, quotasFormat}

// read reads the files and puts what they say in force with opts. d.mu is held.
func (d *Directory) read(opts Options) error {
	d.checked = time.Now()
	d.seen = d.states()
	t, err := d.readTables()
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	snap, err := newSnapshot(t, opts.Domains)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	d.opts, d.now = opts, snap
	if r := (&resolver{snapshot: snap}); opts.Postmaster != "" && (r.resolve(opts.Postmaster, 1) != nil || len(r.targets) == 0) {
		opts.Logger.Warn("postmaster is nobody's address", "postmaster", opts.Postmaster)
	}
	for _, a := range snap.accounts {
		if err := auth.CheckHash(a.hash); err != nil {
			opts.Logger.Warn("nobody can log in to this account", "account", a.address, "error", err)
		}
	}
	return nil
}

func (d *Directory) readTables() (t tables, err error) {
	for i, to := range []**table{&t.accounts, &t.aliases, &t.regexps, &t.quotas} {
		if *to, err = readTable(d.fsys, d.dir, formats[i]); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (d *Directory) states() (states [4]fileState) {
	for i, f := range formats {
		if info, err := d.fsys.Stat(filepath.Join(d.dir, f.name)); err == nil {
			states[i] = fileState{size: info.Size(), mtime: info.ModTime()}
		} else if !errors.Is(err, fs.ErrNotExist) {
			states[i] = fileState{size: -1}
		}
	}
	return states
}

// current is what the files say, read again if they have changed.
func (d *Directory) current() (*snapshot, Options) {
	d.mu.Lock()
	defer d.mu.Unlock()
	recheck := d.opts.Recheck
	if recheck <= 0 {
		recheck = DefaultRecheck
	}
	if now := time.Now(); now.Sub(d.checked) >= recheck {
		d.checked = now
		if d.states() != d.seen {
			d.reread()
		}
	}
	return d.now, d.opts
}

func (d *Directory) reread() {
	if err := d.read(d.opts); err != nil {
		d.opts.Logger.Error("account files not reloaded, the old ones stay in force", "error", err)
		return
	}
	d.opts.Logger.Info("account files reloaded", "accounts", len(d.now.accounts), "aliases", len(d.now.aliases)+len(d.now.patterns))
}

// User finds an account by the name that was typed at log-in; it implements auth.Users.
func (d *Directory) User(_ context.Context, name string) (auth.User, error) {
	snap, _ := d.current()
	address, err := Canonical(name)
	if err != nil {
		return auth.User{}, auth.ErrNoUser
	}
	i, ok := snap.byAddr[address]
	if !ok {
		return auth.User{}, auth.ErrNoUser
	}
	return auth.User{Login: address, Hash: snap.accounts[i].hash}, nil
}

// Decoy gives somebody's hash for a name that is nobody's; it implements auth.Decoys.
func (d *Directory) Decoy(name string) string {
	snap, _ := d.current()
	if len(snap.accounts) == 0 {
		return ""
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return snap.accounts[h.Sum32()%uint32(len(snap.accounts))].hash
}

// Account is a line of Accounts.
type Account struct {
	Address string
	// Quota is the limit in octets; 0: none.
	Quota int64
	// Aliases are the exact aliases that have the account as a target.
	Aliases []string
}

// Accounts lists the accounts in the order of their file.
func (d *Directory) Accounts() []Account {
	snap, _ := d.current()
	list := make([]Account, len(snap.accounts))
	for i, a := range snap.accounts {
		list[i] = Account{Address: a.address, Quota: snap.quotas[a.address]}
		for _, alias := range snap.order {
			if slices.Contains(alias.targets, a.address) {
				list[i].Aliases = append(list[i].Aliases, alias.key)
			}
		}
	}
	return list
}

// Alias is a line of Aliases.
type Alias struct {
	// Alias is an address, "@domain" for a catch-all or "/…/" for a regular expression.
	Alias   string
	Targets []string
}

// Aliases lists the aliases in the order of their files, regular expressions last.
func (d *Directory) Aliases() []Alias {
	snap, _ := d.current()
	var list []Alias
	for _, a := range snap.order {
		list = append(list, Alias{Alias: a.key, Targets: a.targets})
	}
	for _, p := range snap.patterns {
		list = append(list, Alias{Alias: p.key, Targets: p.targets})
	}
	return list
}

// Quota is the limit of an account in octets; 0: none.
func (d *Directory) Quota(address string) int64 {
	snap, _ := d.current()
	canonical, err := Canonical(address)
	if err != nil {
		return 0
	}
	return snap.quotas[canonical]
}

// IsAccount says whether an address, as it stands, is an account.
func (d *Directory) IsAccount(address string) bool {
	snap, _ := d.current()
	canonical, err := Canonical(address)
	return err == nil && snap.isAccount(canonical)
}

// Hosts says whether mail for a domain is taken here.
func (d *Directory) Hosts(domain string) bool {
	snap, _ := d.current()
	canonical, err := CanonicalDomain(domain)
	return err == nil && snap.domains[canonical]
}

// Takes says whether mail to an address is for this server to deliver or refuse: its domain is hosted, or it is
// postmaster's without a domain or at Options.Hostname (RFC 5321 §4.5.1).
func (d *Directory) Takes(address string) bool {
	local, domain := mailbricks.SplitAddress(address)
	_, opts := d.current()
	return domain == "" || d.Hosts(domain) || isPostmaster(local) && sameDomain(domain, opts.Hostname)
}

func sameDomain(a, b string) bool {
	a, errA := CanonicalDomain(a)
	b, errB := CanonicalDomain(b)
	return errA == nil && errB == nil && a == b
}

// Domains lists the hosted domains in alphabetical order.
func (d *Directory) Domains() []string {
	snap, _ := d.current()
	return slices.Sorted(maps.Keys(snap.domains))
}
