// Package senderauth tells forged mail from true: it checks each incoming message by SPF, DKIM, DMARC and iprev, writes
// what it found into one Authentication-Results field (RFC 8601), and acts on it as it is told to. It is one check for
// an smtpd server:
//
//	srv := &smtpd.Server{
//		Hostname: "mx.example.com",
//		Checks:   []smtpd.Check{senderauth.Check(senderauth.Options{EnforceDMARC: true, SPFFail: senderauth.Junk})},
//		Handler:  local,
//	}
//
// # When it does what
//
// At MAIL it looks up the client's name (iprev, once a session) and evaluates SPF, both at the same time, so that later
// checks can use the outcome at RCPT. When the message is there, it verifies the DKIM signatures in one pass over the
// message, evaluates DMARC, removes every Authentication-Results field that could be taken for its own and puts its own
// in front of all fields. [From] gives later checks and the Handler all that was found.
//
// # What it does about it
//
// By default nothing: results are in the field. EnforceDMARC refuses what a domain's policy wants refused (550 5.7.1)
// and has the store put aside what it wants quarantined; SPFFail says what becomes of a message that SPF fails, unless
// DMARC passes (RFC 9989 §7.1). A DNS that does not answer never leads to a permanent refusal.
//
// Sessions that have logged in are not checked, as their senders are known; fields that claim to be ours are removed from
// their messages, too. Options.Skip names sessions that are trusted altogether.
//
// The time and the questions to the DNS that a message can cost are limited by packages spf, dkim and dmarc, and by
// MaxNames and DefaultIPRevTime here. Memory: the results, and what dkim needs for the header.
package senderauth
