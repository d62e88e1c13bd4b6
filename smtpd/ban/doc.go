// Package ban keeps out who has abused this server again and again, inside the process: what fail2ban does with log files and a
// firewall.
//
//	bans, err := ban.Open("/var/lib/mail/bans", ban.Options{Never: office})
//	srv := &smtpd.Server{
//		Checks: []smtpd.Check{bans.Check(), …},            // first
//		Trace:  smtpd.Trace{Outcome: bans.Outcome},        // optional: points for what other checks refuse
//		…
//	}
//	defer bans.Close()
//
// # Points
//
// What goes wrong in a session gives points to the peer's address, or to its /64: a log-in that fails, a recipient that is
// refused for good, a command that makes no sense, and what other checks refuse. Other servers of the process add theirs with
// [Bans.Report]. Points halve every Options.HalfLife; who has Options.Threshold is banned, for FirstBan at first, and each
// time for twice as long up to MaxBan, until no ban was needed for ForgetAfter.
//
// A log-in that succeeds takes no points away, as with fail2ban: otherwise who has one account could try the passwords of all
// the others, one success after every few failures. What a user does who has logged in gives none.
//
// # Bans
//
// A ban refuses connections ([Bans.Check], [Bans.Banned] and [Bans.Listener]), and the next MAIL of a session that was open.
// Users who have logged in go on. Loopback, this machine's own addresses, its gateways and Options.Never are never banned:
// not one of their addresses, nor the /64 that one of them is in. [Bans.List], [Bans.Ban] and [Bans.Unban] are for
// administrators; a ban by hand may be of a network, and without end.
//
// # Bounds
//
// A peer with points takes about 170 octets, a ban about 400; both have a limit. When it is reached the peer with the fewest
// points is forgotten, and the ban that ends first lifted, so that a flood of new offenders does not free the old ones.
//
// The file has the bans and how many a peer has had; it is written within two seconds, without a session waiting for it, and
// mended at the next start when a power cut tears it. Points that are not yet a ban are in it from one Close to the next Open.
// When the disk fails all goes on in memory, the log says so once, and the file is written when the disk is back.
package ban
