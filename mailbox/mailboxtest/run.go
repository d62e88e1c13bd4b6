package mailboxtest

import (
	"testing"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Backend makes accounts of the store under test. Only New must be there.
type Backend struct {
	// New makes an account with an empty INBOX, apart from all others, that holds mail within limit. It may have other
	// mailboxes, which the tests leave alone; their names must not begin with "t-".
	New func(t testing.TB, limit mailbox.Limit) Account
	// NewCrashing, if not nil, makes the accounts of the tests of power cuts in place of New: they have Crash. It is for stores
	// that are tested over other files or another database where the power can be cut.
	NewCrashing func(t testing.TB, limit mailbox.Limit) Account
	// NoQuota says that the store has no quotas; what New is told does not matter then.
	NoQuota bool
	// LazyFlags says that flags set before a power cut may be lost in it.
	LazyFlags bool

	// Clients is how many clients the test of that name has at work on one mailbox at the same time, and Operations how many
	// operations they do in all; 0: DefaultClients and DefaultOperations. A store that holds other people's mail is worth
	// LongClients and LongOperations from time to time, with the race detector.
	Clients, Operations int
	// Histories is how many random histories are compared with the model, with and without power cuts; 0: DefaultHistories.
	Histories int
	// Crashes is how often the power is cut while clients are at work; 0: DefaultCrashes.
	Crashes int
}

// Sizes of the tests that go by chance: what every run of a store's tests can afford, and more.
const (
	DefaultClients    = 20
	DefaultOperations = 2000
	DefaultHistories  = 25
	DefaultCrashes    = 6

	LongClients    = 200
	LongOperations = 100_000
	LongHistories  = 1000
	LongCrashes    = 300
)

// Long gives the backend with the large sizes.
func (b Backend) Long() Backend {
	b.Clients, b.Operations, b.Histories, b.Crashes = LongClients, LongOperations, LongHistories, LongCrashes
	return b
}

// withDefaults fills in the sizes.
func (b Backend) withDefaults() Backend {
	for _, size := range []struct {
		field *int
		value int
	}{
		{&b.Clients, DefaultClients}, {&b.Operations, DefaultOperations},
		{&b.Histories, DefaultHistories}, {&b.Crashes, DefaultCrashes},
	} {
		if *size.field <= 0 {
			*size.field = size.value
		}
	}
	if b.NewCrashing == nil {
		b.NewCrashing = b.New
	}
	return b
}

// Account is one account of the store under test. Only Open must be there.
type Account struct {
	// Open begins a session.
	Open func() (mailbox.Store, error)
	// Restart, if not nil, stops whatever runs for the account and begins again from what is on disk. All sessions are
	// closed before.
	Restart func() error
	// Crash, if not nil, cuts the power while sessions may be at work, and begins again from what is on disk then. Calls that
	// are under way fail; the sessions from before are closed and not used any more, whatever that returns. Where a power cut
	// may leave one of several states, pick chooses: 0 is the one in which most is kept and 1 that in which least is.
	Crash func(pick uint64) error
	// Lose, if not nil, takes away the content of a message behind the store's back.
	Lose func(name string, uid mailbox.UID) error
	// Close, if not nil, gives up the account.
	Close func()
}

// Run tests the store. The tests run in parallel. What a store has not got (an optional ability, or a hook of its Account) is
// skipped, with the reason.
func Run(t *testing.T, backend Backend) {
	t.Helper()
	for _, p := range parts() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.run(newWorld(t, backend))
		})
	}
}

func newWorld(t testing.TB, backend Backend) *world {
	return &world{TB: t, ctx: t.Context(), backend: backend.withDefaults()}
}
