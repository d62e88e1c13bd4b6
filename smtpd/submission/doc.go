// Package submission is the check for mail that users hand in (RFC 6409): they send as themselves only, and what a mail
// program left out of the header is added.
//
//	srv := &smtpd.Server{
//		RequireAuth: true, Auth: users, TLSConfig: config, UnqualifiedSenders: true,
//		Checks:  []smtpd.Check{submission.Check(accounts)},
//		Handler: deliver,
//	}
//
// For a peer that has logged in:
//
//   - The envelope sender must be an address that [Senders] grants, or the null reverse-path; otherwise MAIL gets
//     553 5.7.1. A sender without a domain (MAIL FROM:<FBI>, see Server.UnqualifiedSenders) becomes the user's address.
//   - Every address in the header fields From and Sender must be one that Senders grants; otherwise the message gets
//     553 5.7.1. A mailbox in them without an address (From: FBI) gets the user's (From: FBI <user@example.com>).
//   - A From or Sender field that strict readers of RFC 5322 do not take, or take differently, is written anew, so that what
//     was checked is what everybody reads.
//   - Missing From, Date and Message-ID fields, and a Sender field where there are several authors (RFC 5322 §3.6.2), are
//     added (RFC 6409 §8.1 to §8.3); Bcc fields are taken out (RFC 5322 §3.6.3).
//
// A peer that has not logged in passes: whether it may is the server's matter (RequireAuth).
package submission
