package mailboxtest

// part is one of the tests.
type part struct {
	name string
	test func(*world)
	// rule is what it demands, and read is where package mailbox says so.
	rule, read string
}

// run runs it, and says after a failure what was tested.
func (p part) run(w *world) {
	w.Cleanup(func() {
		if w.Failed() {
			w.Logf("%s tests that %s. See in package mailbox: %s.", p.name, p.rule, p.read)
		}
	})
	p.test(w)
}

// parts has all tests, the quick ones first.
func parts() []part {
	return []part{
		{"Inbox", testInbox,
			"INBOX is always there, its name is not case-sensitive, and what is no mailbox gives ErrNoMailbox", "Store.Open, Store.List"},
		{"Append", testAppend,
			"a message that was stored is there with its flags, its date in whole seconds and its content", "Writer.Append, Meta"},
		{"AppendRefused", testAppendRefused,
			"an Append that fails has stored nothing", "Writer.Append"},
		{"SlowAppend", testSlowAppend,
			"a store holds no lock while Append reads", "the contract, Writer.Append"},
		{"ManyForms", testContents,
			"any content comes back octet for octet, in pieces of any size", "Content, Reader.Content"},
		{"UIDs", testUIDs,
			"UIDs only ascend and are never used again, and UIDNEXT is larger than all", "the contract, Status"},
		{"Flags", testFlags,
			"flags are as SetFlags was told, every session sees it, and what changes nothing gives no modseq", "Writer.SetFlags, CleanFlags"},
		{"Keywords", testKeywords,
			"keywords keep the form in which they first came to the mailbox, in any case that they are given later", "Flag, Writer.SetFlags"},
		{"UnchangedSince", testUnchangedSince,
			"messages with a larger modseq are left as they are, and are told all the same", "FlagChange.UnchangedSince, FlagChange.Refused"},
		{"Changes", testChanges,
			"Changes tells what came, changed and went after a modseq, once each", "Reader.Changes, Changes"},
		{"ChangesOfMany", testChangesOfMany,
			"Changes tells what came, changed and went after a modseq, and nothing else", "Reader.Changes, Writer.SetFlags"},
		{"Expunge", testExpunge,
			"Expunge tells what it removed, gives no modseq for nothing, and contents that are open stay readable", "Writer.Expunge, Content"},
		{"Copy", testCopy,
			"copies have the flags and dates of their sources, all or none, and are apart from them", "Copier.Copy, Copied"},
		{"Move", testMove,
			"what was moved is in the destination as it was, and in the source it is expunged", "Copier.Move, Copied"},
		{"MoveWithin", testMoveWithin,
			"a move within a mailbox gives new UIDs", "Copier.Move"},
		{"MoveAtWork", testMoveAtWork,
			"a message leaves a mailbox once: of several who move or expunge it one is told that he did", "the contract, Copier.Move"},
		{"Order", testOrder,
			"changes are seen in the order of their modseqs", "the contract, Reader.Changes"},
		{"SaveDates", testSaveDates,
			"the save date is when a message was put into this mailbox, and all messages have one or none", "Meta.SaveDate"},
		{"Summaries", testSummaries,
			"a summary is what Summarize gives for the content, with ascending UIDs", "Summarizer, Summarize"},
		{"Quota", testQuota,
			"what has no room gives ErrQuota and changes nothing, and moving needs none", "Limit, Writer.Append, Copier"},
		{"QuotaOfMessages", testQuotaOfMessages,
			"the number of messages is limited over all mailboxes", "Limit"},
		{"QuotaAtOnce", testQuotaAtOnce,
			"there is room or not at the time at which a message is stored", "Writer.Append, Limit"},
		{"QuotaUsed", testQuotaUsed,
			"each message that is there counts once, in whichever mailbox", "QuotaKeeper, Usage"},
		{"Vanished", testVanished,
			"content that is gone gives ErrExpunged and nothing worse", "Reader.Content, the contract"},
		{"Create", testCreate,
			"a mailbox is made once, and what is only a level above others may become one", "Organizer.Create, Store.List"},
		{"Names", testNames,
			"names are kept as they are given, and those that CleanName refuses give ErrName", "CleanName, Organizer.Create"},
		{"Delete", testDelete,
			"a mailbox goes with its messages and without those below it; the next of its name is another", "Organizer.Delete"},
		{"DeleteWhileOpen", testDeleteWhileOpen,
			"a mailbox that was deleted gives ErrNoMailbox, and contents that are open stay readable", "the contract, Organizer.Delete"},
		{"Rename", testRename,
			"a mailbox and those below it get new names and keep all else, all or none", "Organizer.Rename"},
		{"RenameInbox", testRenameInbox,
			"the messages of INBOX move into a new mailbox, and what is below INBOX stays", "Organizer.Rename"},
		{"IDs", testIDs,
			"an id names a mailbox for ever, through renames, and no other after it", "Status.ID, Info.ID"},
		{"Validities", testValidities,
			"the next mailbox of a name has a larger UIDVALIDITY if it is new, and a renamed one keeps its own", "the contract, Status.UIDValidity"},
		{"Subscriptions", testSubscriptions,
			"any name can be subscribed, and stays so when its mailbox goes", "Organizer.Subscribe, Info"},
		{"SpecialUse", testSpecialUse,
			"a mailbox has the use that it was made with, and takes it from no other", "Organizer.Create, Info.Uses"},
		{"Annotations", testAnnotations,
			"annotations are kept as they were set, and go with their mailbox", "Annotator"},
		{"AnnotationLimits", testAnnotationLimits,
			"annotations are set all or none, and limits are kept", "Annotator.Annotate, CleanEntry"},
		{"AnnotationsOfMany", testAnnotationsOfMany,
			"each mailbox and the account have annotations of their own", "Annotator"},
		{"Recent", testRecent,
			"a message is recent for one caller of TakeRecent", "RecentKeeper, Status.Recent"},
		{"Watch", testWatch,
			"after each change there is a wake-up, and none after stop or Close", "Watcher, the contract"},
		{"WatchDeleted", testWatchDeleted,
			"who watches a mailbox is woken when it is deleted", "Watcher, Organizer.Delete"},
		{"WatchAccount", testWatchAccount,
			"whatever changes in the account wakes, and the mailboxes that changed are named", "AccountWatcher, AccountWatch"},
		{"WatchAccountAtWork", testWatchAccountAtWork,
			"of what happens while many are at work no wake-up and no name is lost", "AccountWatcher, the contract"},
		{"Restart", testRestart,
			"what was told is still so after a restart, and no modseq goes back", "the contract"},
		{"Sessions", testSessions,
			"the end of one session leaves the others, and contents that are open stay readable", "Store.Close, Mailbox.Close"},
		{"Concurrent", testConcurrent,
			"no UID is given twice, and no change is lost, when many are at work", "the contract"},
		{"Follow", testFollow,
			"who follows by Changes and wake-ups knows in the end what is there", "Reader.Changes, Watcher"},
		{"Clients", testClients,
			"each of many clients sees every change, in order, and what they were told is so", "the contract"},
		{"Crash", testCrash,
			"what was acknowledged is there after a power cut, and UIDs and modseqs do not go back", "the contract"},
		{"CrashAtWork", testCrashAtWork,
			"what was acknowledged is there after a power cut while clients are at work", "the contract"},
		{"Model", testModel,
			"every session sees after each step what the contract says", "the contract"},
	}
}
