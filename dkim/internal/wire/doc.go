// Package wire has the parts of RFC 6376 that DKIM and ARC share. It cuts a message into header and body as it streams
// by, canonicalizes both (§3.4), chooses the header fields that a signature covers (§5.4.2), reads tag-lists (§3.2) and
// what signature fields have in common (§3.5), and writes such fields.
//
// Line ends: a bare LF counts as a line end and is hashed as CRLF, which is what it becomes on the wire; so a file with
// Unix line ends has the hashes of the message it holds, and the header ends where every other reader of the message
// sees it end. A bare CR is an octet like any other.
package wire
