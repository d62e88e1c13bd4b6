// Package mailbox has the interfaces between a mail store and the servers that let people read it (imapd, pop3d). A
// store of one's own implements [Store] and [Mailbox]; package mailboxtest proves that it keeps the contract, and package
// mailbox/memory is the smallest store that does.
//
// # The contract
//
// A store knows messages by UID (RFC 3501 §2.3.1.1) and never sees a sequence number: those, and who is told of what
// when, belong to the IMAP engine. In each mailbox:
//
//   - UIDs only ascend and are never used again while UIDVALIDITY stays; a message's content never changes. A mailbox keeps its
//     UIDVALIDITY, UIDs and modseqs when it, or one above it, is renamed. The next mailbox that has its old name, or that of one
//     which was deleted, has another UIDVALIDITY, and a larger one if it is new.
//   - A mailbox that was deleted while it was open is gone for those who have it open: all methods but Close fail with
//     [ErrNoMailbox] (Content may give [ErrExpunged]), also when there is a new one of its name. Contents that are open stay.
//   - Every change (a message came, its flags changed, it went) gets a [ModSeq] larger than all before it in that mailbox.
//     A modseq never goes back, also not across a restart. [Reader.Changes] tells what happened since one.
//   - Changes are seen in the order of their modseqs and messages in that of their UIDs: who is told of one is told of all
//     before it.
//   - What a method has returned without an error is durable: a UID that was told is never given to another message.
//     Flags may be lost in a power cut if the store says so.
//   - What changes nothing, such as expunging messages that are gone or renaming an empty INBOX, gives no modseq to the mailbox
//     that stays as it was.
//   - A method that fails has done nothing. After an error that is none of those in this package, or when its context has ended,
//     it may have done all of it, but never a part.
//   - A message leaves a mailbox once: of several who move or expunge it at the same time one is told that he did. Flags that
//     were set before it left go along.
//   - A wake-up (see [Watcher]) says only that there may be something new. It may be late, doubled or lost, so that a caller
//     also looks from time to time. Of what happens in the same process none is lost: none comes before what it tells of can be
//     seen, and after the last change there is one.
//   - Reading content that is gone gives [ErrExpunged] and nothing worse; content that is open can be read to its end.
//
// All methods may be called from several goroutines at once. A store holds no lock while its caller reads or writes.
//
// Mailbox names are UTF-8 with "/" between the levels; INBOX is always written "INBOX". [CleanName], [CleanFlags] and
// [CleanEntry] make the forms that a store keeps, and refuse what none takes; a store calls them for what it is given, and
// [ChangeAnnotations] for what it is to annotate.
//
// # Abilities
//
// Only Store and Mailbox have to be there. What else a store can do is found by type assertion: [Organizer], [AccountWatcher],
// [QuotaKeeper] and [Annotator] of a Store, [Watcher], [RecentKeeper] and [Summarizer] of a Mailbox. Ids (RFC 8474) and save
// dates (RFC 8514) are fields that are empty where a store has none; a store has them for all messages and mailboxes or for none.
//
// # A store over a database
//
// What goes wrong most easily is the order in which changes are seen. Numbers from a database's sequence do not do: two
// transactions may commit in another order than they took their numbers, and who asks for the changes in between misses the
// smaller one for good. Let the row of the mailbox have UIDNEXT and the last modseq, and let each transaction that changes the
// mailbox lock that row first, take its numbers from it, and write it back. That also orders moves against expunges (lock the
// rows of both mailboxes, always in the same order), and gives each change a larger modseq than all before. One transaction
// may change many messages with one modseq, and many calls may share a transaction.
//
// A message is a row with the mailbox, UID, modseq, flags, dates, size and the place of its content, which is written before
// the transaction and may be shared by copies. An expunged message leaves its UID and modseq behind, so that Changes can tell;
// when those are cleaned up, the mailbox notes the largest modseq among them, and Changes fails with [ErrTooOld] for what is
// before that. Contents are removed some time after the last row that names them, for those who have them open. UIDVALIDITY
// of a new mailbox is one more than the last that the account has given, and mailboxes have an id of their own as their key, so
// that renaming touches names only. Used quota is a row of the account that is changed with the messages.
//
// Wake-ups go through what the database or another service has for that, after the transaction; where they can get lost on
// the way, the store also looks from time to time.
package mailbox
