// Package memory keeps mail in memory: for tests of what reads mail over mailbox.Store, as package mailtest does, and for
// programs whose mail need not outlive them. It keeps the whole contract of package mailbox with all of its optional abilities,
// and is meant to be read: it is the model of what a store has to do, without files or a database in the way. One lock an
// account is all that it has in place of transactions.
//
// An Account uses memory for every octet of its messages, about 200 octets for each message besides and as much as its summary
// has (about 500) once somebody has asked for that, 16 octets for each of the last MaxExpunged that were removed from a mailbox,
// and what annotations have, at most mailbox.MaxAnnotations of mailbox.MaxAnnotation octets a mailbox. A limit bounds the
// first. Changes and Status look at every message of the mailbox, UIDs and Messages only at those that are asked for.
package memory
