package mailboxtest_test

import (
	"os"
	"testing"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/mailboxtest"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// backend makes accounts of the store that is tested, here that in memory.
func backend() mailboxtest.Backend {
	b := mailboxtest.Backend{
		New: func(_ testing.TB, limit mailbox.Limit) mailboxtest.Account {
			account := memory.New(limit)
			return mailboxtest.Account{Open: func() (mailbox.Store, error) { return account.Store(), nil }}
		},
	}
	if os.Getenv("MYSTORE_LONG") != "" {
		b = b.Long()
	}
	return b
}

// The test of a store is one call, and its benchmark another.
func ExampleRun() {
	testStore := func(t *testing.T) { mailboxtest.Run(t, backend()) }            // TestStore in the store's package
	benchmarkStore := func(b *testing.B) { mailboxtest.Benchmark(b, backend()) } // BenchmarkStore
	_, _ = testStore, benchmarkStore
	// Output:
}
