// Package memory keeps mail in memory: for tests of what reads mail over mailbox.Store, and for programs whose mail need
// not outlive them. It keeps the whole contract of package mailbox (mailboxtest proves it) and all of its optional
// abilities.
//
// An Account uses memory for every octet of its messages, about 150 octets for each message besides, and 16 for each of
// the last MaxExpunged that were removed from a mailbox. A quota bounds the first.
package memory
