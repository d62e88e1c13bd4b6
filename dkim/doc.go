// Package dkim verifies and makes DKIM signatures: RFC 6376 with RFC 8301 (no SHA-1, no RSA key under 1024 bits), RFC
// 8463 (Ed25519) and RFC 8616 (internationalized mail).
//
// A [Verifier] is a writer: pass the message through it while it arrives, and ask for the results at its end. It holds
// the header and never the body, hashes the body at most once for each of the two canonicalizations whatever the number
// of signatures, starts no goroutine while the message is written and needs no closing, so a connection that breaks off
// costs nothing. [Verify] does the same for a reader.
//
// A [Signer] reads a message and returns the header field to put in front of it; [Sign] does so for several keys in one
// pass, as for RSA and Ed25519 side by side.
//
// [GenerateKey], [ParsePrivateKey], [MarshalPrivateKey] and [NewRecord] take care of the keys and of what to publish in
// the DNS; [ParseKey] reads it back and says what is wrong with it.
//
// # Line ends
//
// Messages have CRLF line ends. A bare LF counts as a line end too and is hashed as the CRLF that it becomes on the
// wire, by verifier and signer alike; so a message in a Unix file verifies, and the header ends where other readers
// of the message see it end. A bare CR is hashed as it stands.
package dkim
