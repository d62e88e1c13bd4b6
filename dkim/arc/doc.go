// Package arc verifies and makes the Authenticated Received Chain (RFC 8617): what each server on a message's way found
// when it authenticated the message, signed by that server. A list or a forwarder breaks SPF and often DKIM; its
// chain lets the next server see that both were right before. Whether it believes that server is its own decision: a chain
// that passes says who made it, not that they tell the truth (RFC 8617 §9.4).
//
// A [Verifier] is a writer: pass the message through it while it arrives, and ask for the [Result] at its end. It holds
// the header and never the body, starts no goroutine and needs no closing. [Verify] does the same for a reader.
//
// A [Sealer] reads a message that is about to leave and returns the three fields to put in front of it.
//
// Line ends are treated as package dkim does: a bare LF counts as CRLF.
//
// # What is checked
//
// The structure of the whole chain comes first, without any DNS look-up (RFC 8617 §5.2). Then the newest
// ARC-Message-Signature, the older ones down to the first that does not verify (for [Result.OldestPass]) and all seals
// from the newest to the oldest, one at a time, so that a chain with a forged part costs look-ups only up to that
// part. Each key is asked for once.
//
// An ARC-Message-Signature follows the rules of DKIM: From must be in h=, rsa-sha1 is not valid (RFC 8301), nor is an RSA
// key under 1024 bits. One that covers an ARC-Seal is refused. One that covers the other two ARC fields is against
// RFC 8617 §4.1.2 too, but drafts of the standard had it, and nothing is less safe for it: it is taken.
package arc
