// Package mailbricks has the words that all bricks share: an [Envelope] with its [Recipient] list, a [Message] whose
// header can be edited over a body that cannot, a [Handler] that takes one message for the recipients of its envelope,
// the [Reply] that is the one error to cross packages, and the [Identity] of who has logged in.
//
// The bricks themselves are packages of their own: smtpd receives, relay sends, maildir stores, imapd and pop3d let
// people read, auth knows who they are, senderauth tells forged mail from true. A Handler joins them, as in net/http:
//
//	local := maildir.New(root, accounts)
//	deliver := mailbricks.Route(accounts.Hosts, local, queue)
//	srv := &smtpd.Server{Hostname: "mail.example.com", Handler: deliver}
//
// # Who promises what
//
// A Handler that returns nil has taken the message for every recipient and answers for it from then on, also after a
// power cut. A Handler that returns an error has not. Between the two stand [Results], an outcome for each recipient.
// An error that is no [Reply] counts as a temporary failure, so that a bug or a full disk never bounces mail; its text
// stays out of the reply.
package mailbricks
