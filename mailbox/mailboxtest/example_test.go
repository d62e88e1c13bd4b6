package mailboxtest_test

import (
	"testing"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/mailboxtest"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// The test of a store is one call.
func ExampleRun() {
	testStore := func(t *testing.T) { // TestStore in the store's package
		mailboxtest.Run(t, mailboxtest.Backend{
			New: func(_ testing.TB, limit mailbox.Limit) mailboxtest.Account {
				account := memory.New(limit)
				return mailboxtest.Account{Open: func() (mailbox.Store, error) { return account.Store(), nil }}
			},
		})
	}
	_ = testStore
	// Output:
}
