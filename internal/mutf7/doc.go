// Package mutf7 writes and reads modified UTF-7 (RFC 3501 §5.1.3), in which IMAP has the names of mailboxes and Maildir++ those
// of folders: printable ASCII stands for itself, but for "&", which is "&-", and all else is UTF-16 in a kind of base64
// between "&" and "-".
//
// [Decode] is for the wire, where a mailbox must have one name only. [DecodeLoose] is for names on disk, which anybody
// may have made.
package mutf7
