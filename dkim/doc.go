// Package dkim verifies and makes DKIM signatures: RFC 6376 with RFC 8301 (no SHA-1, no RSA key under 1024 bits), RFC
// 8463 (Ed25519) and RFC 8616 (internationalized mail).
//
// # Verifying
//
// A [Verifier] is a writer: pass the message through it while it arrives, and ask for the results at its end. It holds
// the header and never the body, hashes the body at most once for each of the two canonicalizations whatever the number
// of signatures, starts no goroutine while the message is written and needs no closing, so a connection that breaks off
// costs nothing. The keys are looked up side by side at the end, under the context that one gives. [Verify] does the
// same for a reader.
//
// A [Result] tells all that a policy needs: what was signed, by whom, with which key, and what makes a signature that
// verifies unsafe all the same, as l= or a header without an oversigned From.
//
// What a message can cost is bounded by the [Options]: a header too large is not read on, signatures beyond the limit and
// malformed ones lead to no look-up.
//
// # Signing
//
// A [Signer] reads a message and returns the header field to put in front of it; [Sign] does so for several keys in one
// pass, as for RSA and Ed25519 side by side.
//
// # Keys
//
// [GenerateKey], [ParsePrivateKey] and [MarshalPrivateKey] take care of private keys. [NewRecord] makes what to publish
// in the DNS, as one line, in strings or as text of a zone file. [ParseKey] reads a record and says where and why it is
// wrong, [Key.Warnings] what else a person should know of it, and [LookupKeys] asks the DNS for what a domain has
// published.
//
// # Line ends
//
// Messages have CRLF line ends. A bare LF counts as a line end too and is hashed as the CRLF that it becomes on the
// wire, by verifier and signer alike; so a message in a Unix file verifies, and the header ends where other readers
// of the message see it end. A bare CR is hashed as it stands.
package dkim
