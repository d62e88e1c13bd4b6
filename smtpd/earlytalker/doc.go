// Package earlytalker finds out clients that talk before it is their turn, as programs do that send spam to thousands of
// hosts without listening to any of them. It is a check for an smtpd server on the port where other servers hand in mail:
//
//	srv := &smtpd.Server{
//		Checks:  []smtpd.Check{earlytalker.Check(earlytalker.Options{})},
//		Handler: local,
//	}
//
// # The greeting
//
// A client must wait for the server's greeting before it says anything (RFC 5321 §3.1). The check delays the greeting by
// Options.Delay; who talks meanwhile is known at once, and by default turned away by 554 as the greeting. Who has waited is
// greeted without delay for the next day (see [Clients]), so that servers that have much mail for us pay the delay once. A
// server under stress shortens the delay to Options.StressedDelay. On a listener with implicit TLS the delay comes behind the
// handshake.
//
// # Pipelining
//
// Later a client may send commands ahead only where RFC 2920 §3.1 lets it: not behind EHLO, HELO or DATA before these are
// answered, and nowhere in a session that began with HELO. Who does is by default told so by 554 and disconnected, as what
// has been sent ahead cannot be told from commands that somebody has hidden in a message. The octets that have arrived when
// the command is looked at count: an honest client is never caught, and of the others not all.
//
// # What else can be done
//
// [Action] has milder ways. [Of] tells later checks and the Handler of a session's first offence, so that they can count it
// together with other things. Clients that have logged in, that Options.Skip names or that have no IP address are left alone.
// For LMTP and for submission, where programs of all kinds connect, the check is of no use.
//
// # What it costs
//
// A connection and its memory for the time of the delay, and about 150 octets for each client that is remembered.
package earlytalker
