// Package archive takes mail out of any mailbox.Store and puts it into one: as mbox, as a Maildir tree, or as a tar of the
// whole account. Each format has a [Reader] and a [Writer], a store has both ([FromStore] or [OutOfStore], and [IntoStore]), and [Copy] takes
// any of them to any other.
//
// # What each format keeps
//
// All keep the messages, their flags, keywords and internal dates (mbox and Maildir to the second), and the mailboxes' names.
//
//   - mbox is of the kind mboxrd: a line of a message that begins with "From ", after any number of ">", gets one more ">".
//     Flags are in the fields Status, X-Status and X-Keywords, as mutt and Dovecot have them, and the date is in the From_
//     line in UTC. Lines end with LF. A message's own fields of these names, and X-UID, X-IMAP, X-IMAPbase, X-Mozilla-Status,
//     X-Mozilla-Status2, X-Mozilla-Keys and Content-Length, are left out, since readers would take them for the file's; a last
//     line without an end gets one, and of several carriage returns in front of a line's end one is lost. A whole account is a
//     folder of files, NAME.mbox; the folders of Dovecot, mutt, Thunderbird and Apple Mail are read, too (see [Open]).
//   - Maildir is a Maildir++ tree: flags in the file names, LF line ends, keywords in dovecot-keywords, UIDs in
//     dovecot-uidlist, subscriptions in subscriptions. Keywords of a folder beyond the 26th have no place there and are left out.
//   - tar is for this package: it keeps all that a store tells, octet for octet (see [NewTarWriter]), and a stream that was cut
//     short anywhere is noticed. The same mail gives the same octets.
//
// # Importing twice
//
// An import that was interrupted is given the same archive again and goes on: [IntoStore] leaves out a message whose
// mailbox has one with the same content and the same internal date, to the second, already. Each message of the mailbox stands
// for one of the archive, so that an archive with two equal messages brings two. Nothing is kept beside the mail for that.
// Every message comes in whole or not at all.
//
// # Memory and limits
//
// Messages are streamed. What has to be seen whole before it is passed on (a message of an mbox, a message that may be there
// already or has keywords) is in memory up to 1 MiB, then in a temporary file. IntoStore needs 24 octets for each message of
// the mailbox that it fills.
// Archives are not trusted: names lead nowhere, links and special files are refused or passed over, sizes have limits.
package archive
