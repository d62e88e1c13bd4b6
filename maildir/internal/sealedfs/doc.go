// Package sealedfs is the file layer of an account whose mail is encrypted: a durable.FS that shows the account's folder as if
// nothing were, and keeps its files sealed (package sealed) and the names of its mailboxes hidden.
//
// # What is on disk
//
// Messages, keywords, subscriptions, special uses, annotations and whatever else is written through it are sealed files; the
// flag log and the summaries are sealed logs. What only says what listing the folders says as well stays plain: the
// uidlist, locks, maildirsize, UIDVALIDITYs, the marks of folders, and the key file. Each file says by its first octets what it
// is, so a tree may have both: reading looks, and only writing depends on the mode.
//
// The folder of a mailbox, ".Name", is ".=" and a keyed hash of the name. A file in it, sealed, has the name; and the one that it
// gets next while it is renamed, so that either is right at any moment. Folders whose mailbox nobody can tell are shown as they
// are.
//
// # Locked
//
// Without the keys only what needs none works: messages are delivered, folders are listed with the names on disk, plain files
// are used. Everything else fails with the error that the caller chose.
package sealedfs
