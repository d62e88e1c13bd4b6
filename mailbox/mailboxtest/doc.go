// Package mailboxtest proves that a mail store keeps the contract of package mailbox. A store's own test calls [Run]:
//
//	func TestStore(t *testing.T) {
//		mailboxtest.Run(t, mailboxtest.Backend{
//			New: func(t testing.TB, limit mailbox.Limit) mailboxtest.Account {
//				a := memory.New(limit)
//				return mailboxtest.Account{Open: func() (mailbox.Store, error) { return a.Store(), nil }}
//			},
//		})
//	}
//
// What a store has as an optional ability (mailbox.Organizer, mailbox.Watcher, mailbox.RecentKeeper) is tested if it
// has it, and the test skipped if not.
package mailboxtest
