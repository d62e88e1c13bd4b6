package maildir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
)

// ErrNoAccount is what an [Accounts] returns for an address that is none of its own.
var ErrNoAccount = errors.New("maildir: no such account")

// ErrClosed is the error of what is asked of a Maildir after Close.
var ErrClosed = errors.New("maildir: closed")

// Account says where the mail of an account lies.
type Account struct {
	// Path is the folder, seen from Maildir.Root unless it is absolute; empty: AccountPath of the address.
	Path string
	// Limit is the most mail that it may have; the zero value limits nothing.
	Limit mailbox.Limit
}

// Accounts knows which addresses have mail here.
type Accounts interface {
	// Account gives the account of an address, whose aliases and sub-addresses are resolved. It fails with ErrNoAccount
	// if there is none; any other error is a temporary failure.
	Account(ctx context.Context, address string) (Account, error)
}

// AccountsFunc makes a function an Accounts.
type AccountsFunc func(ctx context.Context, address string) (Account, error)

// Account calls f.
func (f AccountsFunc) Account(ctx context.Context, address string) (Account, error) {
	return f(ctx, address)
}

// Defaults of the fields of Maildir.
const (
	// DefaultPollInterval is how often folders that someone watches are looked at.
	DefaultPollInterval = 2 * time.Second
	// DefaultLinger is how long a folder stays in memory when nobody has it open any more.
	DefaultLinger = 30 * time.Second
)

// Maildir stores mail under a folder. Its fields are not changed once it is in use.
type Maildir struct {
	// Root is the folder that the accounts' paths start from.
	Root string
	// Accounts knows the addresses.
	Accounts Accounts
	// Folders are made in every new account and subscribed; so are, once, those of them that a tree of another program
	// lacks, unless it has a mailbox with the same use. What the user deletes then stays deleted. Where a mailbox of one of
	// these names exists, in an account that has no other for this use, it has the use. Nil: Drafts, Junk, Sent, Trash and
	// Archive.
	Folders []Folder
	// PollInterval is how often folders that someone watches are looked at for changes by other programs; 0:
	// DefaultPollInterval, less than 0: never. What this program does itself is seen at once.
	PollInterval time.Duration
	// Linger is how long a folder stays in memory when nobody has it open any more; 0: DefaultLinger, less than 0: not
	// at all.
	Linger time.Duration
	// ServerKey, of ServerKeySize octets, opens encrypted accounts without their passwords: for log-ins that do not show the
	// password, and for work that nobody has logged in for. An account gets to know it when it is encrypted or next opened.
	// Nil: only passwords and recovery keys open accounts.
	ServerKey []byte
	// Logger is told of trouble that no caller hears of; nil: nobody.
	Logger *slog.Logger

	once     sync.Once
	files    durable.FS // nil: the system's
	clock    func() time.Time
	syncs    *durable.DirSyncer
	deriving deriver
	cost     sealed.Cost // of a password
	// noBackground has conversions only done by who asks, without waiting for what was begun before.
	noBackground bool
	stopping     context.Context // ends with Close
	stop         context.CancelFunc
	names        *namer

	mu       sync.Mutex
	accounts map[string]*account  // in use, by folder
	ready    map[string]bool      // folders of accounts that are known to exist
	doubtful map[string]bool      // folders whose index files may not be on disk: they are read and written anew
	known    map[string]knownKeys // of encrypted accounts, by folder
	closed   bool
	polling  chan struct{} // ends the poller; nil: none
	watched  map[*folder]int
	work     sync.WaitGroup

	sized sync.Map // folders of accounts whose maildirsize this process has seen to
}

// Folder is a mailbox that every account has.
type Folder struct {
	Name string
	Use  mailbox.Use
}

// DefaultFolders are what Folders stands for when it is nil.
func DefaultFolders() []Folder {
	return []Folder{
		{"Drafts", mailbox.UseDrafts},
		{"Junk", mailbox.UseJunk},
		{"Sent", mailbox.UseSent},
		{"Trash", mailbox.UseTrash},
		{"Archive", mailbox.UseArchive},
	}
}

// New gives a Maildir under a folder, which is made when the first mail comes.
func New(root string, accounts Accounts) *Maildir {
	return &Maildir{Root: root, Accounts: accounts}
}

// init fills in what is not set.
func (m *Maildir) init() {
	m.once.Do(func() {
		if m.files == nil {
			m.files = durable.Guarded()
		}
		if m.clock == nil {
			m.clock = time.Now
		}
		if m.Folders == nil {
			m.Folders = DefaultFolders()
		}
		m.syncs = durable.NewDirSyncer(m.files)
		m.names = newNamer()
		m.deriving.init()
		m.known = map[string]knownKeys{}
		m.stopping, m.stop = context.WithCancel(context.Background())
		m.accounts, m.watched = map[string]*account{}, map[*folder]int{}
		m.ready, m.doubtful = map[string]bool{}, map[string]bool{}
	})
}

func (m *Maildir) now() time.Time           { return m.clock() }
func (m *Maildir) syncDir(dir string) error { return m.syncs.Sync(dir) }

func (m *Maildir) logger() *slog.Logger {
	if m.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Logger
}

func (m *Maildir) linger() time.Duration {
	if m.Linger == 0 {
		return DefaultLinger
	}
	return m.Linger
}

// Store begins a session with the mail of who has logged in, as imapd and pop3d ask for it; id.User is the address. The
// account is made if its folder is not there. It fails with mailbricks.ErrAuth when there is no such account.
func (m *Maildir) Store(ctx context.Context, id mailbricks.Identity) (mailbox.Store, error) {
	a, err := m.acquire(ctx, id.User)
	if errors.Is(err, ErrNoAccount) {
		return nil, fmt.Errorf("%w: %w", mailbricks.ErrAuth, err)
	}
	if err != nil {
		return nil, err
	}
	if a.vault.locked() {
		if err := a.openForSession(); err != nil {
			m.release(a)
			return nil, fmt.Errorf("maildir: %.200q: %w", id.User, err)
		}
		a.convertInBackground()
	}
	return &store{account: a}, nil
}

// Used is how much mail an account has. It looks at the names of all files unless the account has
// a quota, which is kept count of.
func (m *Maildir) Used(ctx context.Context, address string) (mailbox.Usage, error) {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return mailbox.Usage{}, err
	}
	defer m.release(a)
	u, err := a.used()
	return mailbox.Usage{Octets: u.bytes, Messages: u.messages}, err
}

// acquire gives the account of an address, to be given back with release.
func (m *Maildir) acquire(ctx context.Context, address string) (*account, error) {
	a, ready, err := m.attach(ctx, address)
	if err != nil || ready {
		return a, err
	}
	if err := a.make(); err != nil {
		m.release(a)
		return nil, fmt.Errorf("maildir: %w", err)
	}
	m.mu.Lock()
	m.ready[a.dir] = true
	m.mu.Unlock()
	return a, nil
}

// attach is acquire for an account whose folder may not be there, unless it is ready.
func (m *Maildir) attach(ctx context.Context, address string) (a *account, ready bool, err error) {
	if a, ready, err = m.find(ctx, address); err != nil {
		return nil, false, err
	}
	if err := a.loadKeys(); err != nil {
		m.release(a)
		return nil, false, err
	}
	return a, ready, nil
}

// find is attach without a look at the account's keys.
func (m *Maildir) find(ctx context.Context, address string) (a *account, ready bool, err error) {
	m.init()
	found, err := m.Accounts.Account(ctx, address)
	if err != nil {
		return nil, false, fmt.Errorf("maildir: account of %.200q: %w", address, err)
	}
	if found.Path == "" {
		if found.Path, err = AccountPath(address); err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrNoAccount, err)
		}
	}
	dir := found.Path
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(m.Root, dir)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, ErrClosed
	}
	if a = m.accounts[dir]; a == nil {
		a = &account{maildir: m, dir: dir, folders: map[string]*folder{}}
		a.vault.account = a
		m.accounts[dir] = a
	}
	a.refs++
	a.setQuota(found.Limit)
	return a, m.ready[dir], nil
}

// release gives an account back.
func (m *Maildir) release(a *account) {
	m.mu.Lock()
	a.refs--
	last := a.refs == 0
	if last {
		delete(m.accounts, a.dir)
	}
	m.mu.Unlock()
	if last { // nobody finds it any more
		a.vault.wipe()
	}
}

// distrust notes that the index files of a folder may not be on disk, since a sync has failed, or that they are.
func (m *Maildir) distrust(dir string, doubtful bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if doubtful {
		m.doubtful[dir] = true
	} else {
		delete(m.doubtful, dir)
	}
}

func (m *Maildir) distrusts(dir string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doubtful[dir]
}

// background does work that Close waits for. After Close it does nothing, and says so.
func (m *Maildir) background(work func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.work.Go(work)
	return true
}

// passwordCost is what making a key of a password costs.
func (m *Maildir) passwordCost() sealed.Cost {
	if m.cost == (sealed.Cost{}) {
		return sealed.DefaultCost()
	}
	return m.cost
}

// Close ends what runs in the background and waits for it. Sessions should be closed before; deliveries fail from then on, and so
// do changes that wait for another process.
func (m *Maildir) Close() error {
	m.init()
	m.mu.Lock()
	m.closed = true
	m.stop()
	var accounts []*account
	for _, a := range m.accounts {
		accounts = append(accounts, a)
	}
	if m.polling != nil {
		close(m.polling)
		m.polling = nil
	}
	m.mu.Unlock()
	for _, a := range accounts {
		a.stopWatching()
		a.unload()
	}
	m.work.Wait()
	return nil
}
