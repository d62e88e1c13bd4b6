// Package relay sends mail: a durable queue that takes a message from any [mailbricks.Handler] chain or from the program
// itself, and the transports that bring it to the mail servers of its recipients.
//
//	queue, err := relay.Open("queue", relay.Options{Hostname: "mail.example.com", Prepare: sign})
//	go queue.Run(ctx)
//
//	err = queue.Handle(ctx, env, msg)                              // as the Handler of an SMTP server
//	id, err := queue.Send(ctx, env, msg, relay.Key("push-4711"))   // from the program: the key makes it happen once
//	for ev := range queue.Events(ctx, id) { … }                    // what became of it
//
// # What is promised
//
// When Handle or Send has returned nil, the message is on disk and stays there until every recipient has been delivered
// to, been reported back to the sender, or been removed by hand. An attempt is on disk before the peer is dialled, and
// that the final dot is about to be sent is on disk before it is sent. A machine that loses its power between a peer's
// answer to the final dot and our record of it, or a connection that breaks there, leaves an outcome that nobody knows:
// it is tried again, which may double that one delivery but never loses it (RFC 1047 tells why), or held where
// [Options].HoldUnknown asks for that.
//
// # The road of a message
//
// [Options].Prepare runs once, before the message is stored, so that a signature is made once and every attempt sends
// the same octets ([Queue.Settle] tells of an exception). Recipients of one message with the same destination (usually
// the domain) make one attempt together.
// A failure for now is tried again after the intervals of [Options].Retry until [Options].Lifetime is over; a failure
// for good, or the end of the lifetime, becomes one delivery status notification (RFC 3464) to the envelope sender
// through [Options].Generated. A message from the null sender is never answered.
//
// The [Transport] decides where a message goes: [MX] finds the mail servers of a domain (RFC 5321 §5), [Smarthost] gives
// everything to one server, [ToHandler] to a store of this program, and [Router] chooses between them.
//
// # On disk
//
// The folder holds msg/ID (the envelope and the message, written once), journal.N (what became of the recipients, one
// checked line a change), lock, spool (nothing that counts), and corrupt/ID (files that cannot be read, moved there and
// never deleted). A message of up to 32 KiB is in the journal first, where many share one sync, and in memory (at most
// 16 MiB of them); it gets its own file when the journal, having grown, is written anew, or the queue is opened again.
// Most are delivered before that. Folders have mode 0700 and files 0600.
//
// Larger messages are never in memory as a whole. The index takes about 300 octets a message and 400 a recipient, its
// last reply included; Options.MaxMessages, MaxBytes and MaxRecipients bound it.
package relay
