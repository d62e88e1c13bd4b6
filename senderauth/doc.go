// Package senderauth tells forged mail from true: it checks each incoming message by SPF, DKIM, ARC, DMARC and
// iprev, writes what it found into one Authentication-Results field (RFC 8601), and acts on it as it is told to. It is
// one check for an smtpd server:
//
//	policy := senderauth.Enforce() // what the domains of authors ask for
//	policy.SPFFail = senderauth.Junk
//	srv := &smtpd.Server{
//		Hostname: "mx.example.com",
//		Checks:   []smtpd.Check{senderauth.Check(senderauth.Options{Policy: policy})},
//		Handler:  local,
//	}
//
// # When it does what
//
// At MAIL it looks up the client's name (iprev, once a session) and evaluates SPF, at the same time unless a cache has the
// answers, so that later checks can use the outcome at RCPT. When the message is there, it verifies the signatures of DKIM
// and ARC in one pass over the message, while it asks for DMARC's records; evaluates DMARC; removes every
// Authentication-Results field that could be taken for its own and puts its own in front of all fields. [From] gives later
// checks and the Handler all that was found.
//
// # What it does about it
//
// By default nothing: results are in the field. [Policy] has an action for each outcome. A DNS that does not answer never
// leads to a permanent refusal. Mail that lists and forwarders have changed fails DMARC; Options.TrustedSealers names those
// whose ARC chains are believed when they say that it passed before.
//
// Sessions that have logged in are not checked, as their senders are known; fields that claim to be ours are removed from
// their messages, too. Options.Skip names sessions that are trusted altogether.
//
// # What it costs
//
// For one message each question is put to the resolver once, whichever methods need the answer. How many there are is
// limited by packages spf, dkim, arc and dmarc and by smtpd/iprev; the time that they take by Options.MaxTime and by
// smtpd/iprev. Memory: the results, the answers of the DNS, and what the verifiers need for the header.
package senderauth
