// Package maildir stores mail as files: one folder an account (Maildir++), one file a message, readable by every program
// that knows the format. It is a mailbricks.Handler that delivers and a source of mailbox.Store for imapd and pop3d.
//
// # On disk
//
// A tree that Dovecot left is taken over as it is: messages, flags, keywords, UIDs, UIDVALIDITY and subscriptions. What
// Dovecot has files for is kept in them (dovecot-uidlist, dovecot-keywords, dovecot-uidvalidity, subscriptions,
// maildirsize), so that the tree can go back. Only what it has none for is in files of our own, whose first line is their
// name and version. A file of a newer version is refused, one of an older is written anew.
//
// Of a folder's keywords Dovecot (2.3) has those after the 26th, for which Maildir has no letter, in its own index alone. They
// are read from there (dovecot.index, version 7, and its logs) when a folder has no mailbricks-index yet, which has them from
// then on; what Dovecot changes of them later is not seen. A warning is logged where the index cannot be read. Of flags and
// other keywords only file names count, also where Dovecot's index still has others, as when it was not allowed to rename a file.
//
// Programs that add, rename or remove messages (mutt, rsync) may do so at any time. Dovecot may work on the same account at the
// same time, as far as messages go: where its index log lies in a folder, UIDs are given under its lock, dovecot-uidlist.lock.
// Mailboxes should then be made, renamed and deleted by one of the two only.
//
// A uidlist or an index that is older than the other, or than what a session has seen, gives no UID another meaning: UIDs go
// on above the highest that is known, and clients look at everything again. An old copy of a whole account that is put back
// while no program runs cannot be told from the account as it was then: remove its uidlists, or use Restore.
//
// A folder that is a symbolic link is a mailbox, unless it leads to another of the account; Delete removes the link, and
// Backup leaves it out. Of two folders whose names mean the same, in modified UTF-7 and UTF-8, the second has " #2" behind
// its name. A tree with LAYOUT=fs is ErrLayout. What Dovecot's plugins zlib and mail_crypt packed is shown with its size, and
// its content is ErrPacked. Letters in file names that are no flags are dropped when a file is renamed;
// lower-case ones without a keyword are kept. On a full disk a folder that was never opened is refused: UIDs are on disk
// before anyone hears of them.
//
// Three things Dovecot (2.3, asked with the separator "/") does not show when the tree goes back, though they stay on disk: a
// mailbox with a dot in a level of its name, which is listed but does not open; a mailbox whose whole name begins with "~",
// likewise, and its subscription is dropped; and what was changed here of a folder's keywords after the 26th, which are then as
// its own index had them, if that is there still. Rename such mailboxes before.
//
// # What is primary and what is derived
//
// Primary is what can be found nowhere else. It is on disk before anyone is told of it:
//
//	the messages                  with their flags, and the letters of their keywords, in their names
//	dovecot-uidlist 3             in each folder: which UID a file has, UIDVALIDITY, the GUID of the mailbox
//	dovecot-keywords              in each folder: which keyword a letter is
//	mailbricks-index 2            in each folder: modseqs, keywords beyond 26, what was expunged
//	dovecot-uidvalidity           the last UIDVALIDITY that was given
//	subscriptions 2               as Dovecot has it
//	mailbricks-special-use 1      which mailboxes have which use, and that Maildir.Folders were made
//	mailbricks-ids 1              the ids of mailboxes (RFC 8474) that their GUIDs do not tell
//	mailbricks-annotations 1      in each folder, and mailbricks-account-annotations 1: annotations (RFC 5464)
//	mailbricks-moves 1            with mailbricks-rename 1 and mailbricks-arrivals 1: what is under way
//	mailbricks-keys, -roles 1     and mailbricks-name in each folder: see Encryption
//
// What becomes of a folder that has lost one while no program ran, or has it damaged, whatever the clock says meanwhile:
// without the uidlist UIDs are given anew, under a larger UIDVALIDITY. Without the index, or where one of its lines cannot
// be read, modseqs go on far above all that were ever given, so that clients look at everything again; keywords beyond 26
// are lost with it. Where lines of the uidlist are lost, their messages get new UIDs above all others. A modseq and a
// UIDVALIDITY never go back, and a UID never means another message. Without mailbricks-special-use the folders of
// Maildir.Folders that are missing are made again.
//
// Derived is what can be made again from those, and is never synced: maildirsize (the quota's sum, as in Maildir++), and in
// each folder the log of summaries, mailbricks-summaries 1 and a second file with the same name and an ending, which have
// the envelope, the structure, some header fields and the size of each message, so that listing a mailbox opens no message.
// Each summary has its checksum. What is missing, torn or damaged is made again from the messages when somebody asks, and so
// is the whole log if it is of another version or was removed, also under a process that uses it. When most of it is dead it
// is written anew. A summary is of a message, not of a UID alone: one under which another file has come is not believed.
//
// Files that end in .lock are locked while the others are written.
//
// # What is durable when
//
// A delivery that was taken, and every UID, modseq, flag and copy that a method has returned, is on disk: file, name, and
// the line that says which UID it is. Many deliveries and changes of one folder at the same time share the syncs.
//
// # Backups
//
// The folder of a backup has the file mailbricks-backup, which begins with its name and version and then has a line each
// with the address, the folder in which the account's tree is, and the time. The tree is an account's folder like any other;
// while a backup is put together it is ..mailbricks-backup in the account, and while one is restored ..restoring-<name>,
// ..restored-<name> and ..replaced-<name> may be beside it. What Check moves out of the way is in the account's folder
// mailbricks-aside.
//
// # Encryption
//
// An account can be encrypted (EnableEncryption). Its folder then has the file mailbricks-keys, in the format of
// internal/sealed, and mailbricks-roles, which says in the clear into which folder mail for \Junk goes. Messages, keywords,
// subscriptions, special uses, annotations, the index and the log of summaries are sealed files; the folder of a mailbox is
// called .= and 32 characters, and has a file mailbricks-name. In the clear are dovecot-uidlist, dovecot-uidvalidity,
// maildirsize and the names of messages. Whoever has the disk learns from them how many mailboxes and messages there are,
// how long each message is, when it came, its flags and which of its mailbox's keywords it has, though not what those are
// called. Other programs can add messages in the clear, which are read, but cannot read any.
//
// Mail is delivered with the public key. The private key is opened by the password (Unlock), the recovery key or a ServerKey,
// and forgotten when the account is not used any more: 30 seconds after Unlock, or Linger after the last session. An account
// that is not open is mailbox.ErrLocked.
//
// Files that are changed, cut short, or put in the place of one of another account or kind are errors. A whole file that was
// there once, or one of another message or mailbox of the same account in its place, is not noticed, nor is what is cut off the
// end of a log: who can write to the disk can bring back flags as they were. A forged key file is noticed by whoever opens it;
// until then what is delivered is sealed for the key that it names, or not at all if it says so. An account with something
// encrypted and no key file is ErrKeysMissing. Nothing is done against memory that goes to disk (swap, core dumps).
//
// Encryption is turned on and off, and keys are rotated, while the account is used: each file is copied and the copy put in its
// place, so that a run that was interrupted is just begun again. More than one process can use the account meanwhile, but those
// without the keys find it locked.
//
// # Memory
//
// An open folder needs about 64 octets and the length of its file name for each message (some 70), 4 to 10 more once its
// files have been looked at and 12 where it is listed: 100,000 messages are 16 MB. Each set of keywords beyond 26 is there
// once. For each of the last 10,000 messages that were expunged it is 16 octets, and as many for each of the last 2,000
// changes. While a folder is read its index is in memory twice. A folder that nobody has open is forgotten after
// Maildir.Linger. Bodies are streamed.
//
// Opening a folder that no other program has changed costs reading its uidlist and index; one that was changed also reading
// the names in it. What is done with one message costs the same in a mailbox of any size, but for reading the names after
// another program's change. bench/README.md has figures for 1,000,000 messages.
package maildir
