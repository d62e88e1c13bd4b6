// Package mailbox has the interfaces between a mail store and the servers that let people read it (imapd, pop3d). A
// store of one's own implements [Store] and [Mailbox]; package mailboxtest proves that it keeps the contract.
//
// # The contract
//
// A store knows messages by UID (RFC 3501 §2.3.1.1) and never sees a sequence number: those, and who is told of what
// when, belong to the IMAP engine. In each mailbox:
//
//   - UIDs only ascend and are never used again while UIDVALIDITY stays; a message's content never changes.
//   - Every change (a message came, its flags changed, it went) gets a [ModSeq] larger than all before it in that mailbox.
//     A modseq never goes back, also not across a restart. [Reader.Changes] tells what happened since one.
//   - What a method has returned without an error is durable: a UID that was told is never given to another message.
//     Flags may be lost in a power cut if the store says so.
//   - A wake-up (see [Watcher]) says only that there may be something new. It may be late, doubled or lost.
//   - Reading content that is gone gives [ErrExpunged] and nothing worse; content that is open can be read to its end.
//
// All methods may be called from several goroutines at once. A store holds no lock while its caller reads or writes.
//
// Mailbox names are UTF-8 with "/" between the levels; INBOX is always written "INBOX".
package mailbox
