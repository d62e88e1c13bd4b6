// Package mailboxtest proves that a mail store keeps the contract of package mailbox. A store's own test calls [Run]:
//
//	func TestStore(t *testing.T) {
//		mailboxtest.Run(t, mailboxtest.Backend{
//			New: func(t testing.TB, limit mailbox.Limit) mailboxtest.Account {
//				db := openTestDatabase(t)
//				return mailboxtest.Account{
//					Open:    func() (mailbox.Store, error) { return db.Account("ann", limit), nil },
//					Restart: db.Reopen,
//				}
//			},
//		})
//	}
//
// What a store has as an optional ability, or an account as a hook, is tested if it is there; a test that needs another is
// skipped and says so. Begin with New and Open alone, run one test after the other (go test -run TestStore/Append), and add the
// hooks when those pass. The tests run in parallel, on accounts of their own.
//
// # What is tested
//
//   - Each method and each ability by itself: what it does, what it refuses, and that what fails has changed nothing.
//   - Model: several sessions do what comes to mind in several mailboxes, and after each step each of them has to see what a
//     plain model says (a state machine of pgregory.net/rapid: what it prints of a failure has the flag that plays it again).
//   - Clients: many clients at work on one mailbox at the same time, each with a view that it keeps by the changes alone.
//   - Crash, CrashAtWork: what was acknowledged is there after a power cut, UIDs mean the same, and modseqs do not go back. They
//     need Account.Crash, which is as good as the way in which it cuts the power: killing a process shows that nothing stays in
//     its memory, and only a file system or database that forgets what was not synced shows the rest.
//
// A test that fails says which rule it is about and where package mailbox has it. The failure of a Model is made smaller first,
// which takes up to half a minute; go test -args -rapid.shrinktime=5s makes that less. It is also written to testdata/rapid in the
// folder of your package, from where it is played again: a line for .gitignore.
//
// By default all of it takes a few seconds of processor time. [Backend.Long] is for a run at night:
//
//	if os.Getenv("MYSTORE_LONG") != "" {
//		backend = backend.Long()
//	}
//
// The tests of this package run everything against a store with some fifty bugs, one at a time, and each is found.
//
// [Benchmark] reports how fast a store does what servers ask of it, in the same way for each store.
package mailboxtest
