// Package iprev finds out the name of a client's host from its address, and whether the name leads back to the address: the
// iprev method of RFC 8601 §3, elsewhere called forward-confirmed reverse DNS. It is a check for an smtpd server:
//
//	srv := &smtpd.Server{
//		Checks:  []smtpd.Check{iprev.Check(iprev.Options{NoName: iprev.Quarantine})},
//		Handler: local,
//	}
//
// At MAIL the client's address is looked up once a session. A name that is confirmed goes into Session.ReverseName and from
// there into Received; [Of] gives later checks the whole outcome. Clients that have logged in, that Options.Skip names or
// that have no IP address are left alone.
//
// # What it does about it
//
// By default nothing. Options has an action for clients without a name, for those whose names do not lead back to them, and
// for those whose names cannot be found out for now, which is never a reason to refuse for good. Nearly all servers that send
// mail to others have a confirmed name today, but some honest ones do not: [Quarantine] and [Defer] are the actions to start
// with.
//
// A name that is confirmed shows who runs the host, not that the mail is honest (RFC 8601 §7.1). A name that is not confirmed
// shows nothing: anybody can write anything into the reverse zone of their own addresses.
//
// # What it costs
//
// One question for the names and one for each of at most MaxNames of them, within MaxTime. One result is kept a session.
package iprev
