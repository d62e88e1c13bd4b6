// Package smtpd is an SMTP and submission server: it speaks the protocol, asks its checks at every step and hands each
// message to one [mailbricks.Handler].
//
//	srv := &smtpd.Server{
//		Hostname: "mail.example.com",
//		Handler: mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
//			_, err := io.Copy(os.Stdout, msg.Reader())
//			return err
//		}),
//	}
//	log.Fatal(srv.ListenAndServe())
//
// It implements RFC 5321 with PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), CHUNKING (RFC 3030),
// ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207), AUTH (RFC 4954), SMTPUTF8 (RFC 6531) and LIMITS (RFC 9422), and LMTP
// (RFC 2033, see [Server].LMTP). What is not advertised is refused.
//
// # Extensions
//
// Other extensions are promises about what becomes of a message after it was taken, which only a Handler can keep. One that
// does is an [Extender], or is made one by [Keeps]; the server offers what it promises and reads the parameters into the
// envelope: BINARYMIME (RFC 3030), DSN (RFC 3461, with the addresses of RFC 6533), REQUIRETLS (RFC 8689), DELIVERBY (RFC 2852),
// FUTURERELEASE (RFC 4865), MT-PRIORITY (RFC 6710) and RRVS (RFC 7293).
//
// VRFY is answered by 252, whoever is asked for: RFC 5321 §7.3 wants that of servers that do not tell who has an account. HELP
// is answered by 214, and EXPN, ETRN, TURN, ATRN, SEND, SOML, SAML and BURL by 502, as nothing offers them. HTTP's verbs end
// the session. A proxy that is trusted may name the client that it speaks for with XCLIENT (see [Server].TrustXCLIENT).
//
// # Checks
//
// A [Check] has a function for each step of a session that it wants a say in: connect, hello, mail, rcpt, data, message.
// They run in the order of Server.Checks, and the first error is the reply that the peer gets (see
// [mailbricks.ReplyTo]). What one check learns, later ones and the Handler read: [Transaction.Set] and
// [Transaction.Value], or Value of the context that they are called with.
//
// An error may be a [Verdict], which asks for more than a refusal: [Accept], [Quarantine], [Discard], [Tarpit] and [Close]. A
// refusal that is joined to one wins. Check.Around goes around the checks behind it and the Handler. Whatever checks say, a
// message is accepted only if the Handler has taken it or a check has said Discard; and one that the Handler has taken is
// refused only if an Around says so behind it, which makes it come twice. Check.Disconnect is called once for each session that
// was asked about at Connect.
//
// Every refusal is one [Outcome], for Trace.Outcome and as one line of the log: who refused what, to whom and why, with the
// id of the message or the session. That holds for those of checks, of the Handler and of limits, for time-outs, failed TLS
// handshakes and peers that do not read replies.
//
// The context of a check or Handler ends when the peer leaves: the server reads ahead while they run. A peer that closes
// its side for sending has left, too, unless it has sent more commands before (QUIT, as a rule): then it waits for replies.
// RFC 5321 §4.1.1.10 wants a transaction that was left to be given up. Connections must have deadlines that work.
//
// # The end of a message
//
// Only CRLF "." CRLF ends a message of DATA. A message with a bare CR, a bare LF or a NUL is read to that true end and refused
// (or repaired, see [BareLineEnds]); a connection that breaks off or falls silent inside a message is closed, and nothing
// of what it sent is taken for a command or for a whole message. BDAT (RFC 3030) says how long each chunk is, and the same holds
// for what comes by it, but that the body of a BINARYMIME message may be anything, and that a text whose last line has no end
// gets one. A chunk that is refused is read all the same and fails its transaction: those that follow get the same reply.
//
// The Handler's nil becomes 250, its error the reply. Where it returns [mailbricks.Results] that differ, SMTP has one
// reply only: if a recipient failed for now that failure is the reply, so that nothing is lost though the others may get
// the message twice; otherwise a permanent failure is the reply, naming the recipients that it holds for. A Handler that
// wants neither settles mixed outcomes itself, as package relay's Queue.Settle does: it queues what failed for now and
// bounces what failed for good. In LMTP each recipient has a reply of its own, and Results reach the client as they are.
//
// # Limits
//
// Connections are counted in all, by address and by network. When there are nearly as many as may be (see
// Server.StressThreshold), time-outs and budgets shrink by themselves until there are fewer: whoever only holds a connection
// is thrown out with 421, also one who waits already, and others get in. So is one who does not read replies, and tarpits
// that are under way are cut short. Who has logged in is spared, who is within a transaction has more time, and a message that
// keeps coming is never cut off. [Session.Stressed] tells checks.
//
// Recipients that are refused for good and those that are refused for now, as by greylisting, have budgets of their own:
// Server.MaxBadRecipients and the larger Server.MaxDeferredRecipients, which begins anew with each message that is taken.
//
// Every limit and time-out is a field of Server, on by default. In memory a connection costs about 12 KiB while it is idle and
// 24 KiB with TLS, whatever checks keep not counted. To that come, at most: 12 KiB for a long command line, 14 KiB of replies
// that wait, 2 KiB for each recipient; and while a message arrives a buffer of 32 KiB, of 256 KiB if it comes fast, what Spool
// keeps in memory (Spool.Threshold, 256 KiB by default) and the header (Spool.MaxHeader, 1 MiB by default). A message that
// trickles in has no larger buffer than an idle connection. Nothing is kept per address but counts, which go with the last
// connection.
package smtpd
