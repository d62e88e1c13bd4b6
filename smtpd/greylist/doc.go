// Package greylist is the check that lets mail from unknown clients wait (RFC 6647): the first attempt is refused for now, and
// who comes back, as mail servers do and much spamware does not, gets through and is known from then on.
//
//	known, err := greylist.Open("/var/lib/mail/greylist", greylist.Options{})
//	srv := &smtpd.Server{Checks: []smtpd.Check{recipients, known.Check()}, …}
//	defer known.Close()
//
// What is looked at is the triplet of the client's network (/24 or /64), the sender and the recipient, as Postgrey does:
//
//   - A new triplet gets 450 4.2.0 and has to wait for Options.Delay. Attempts before that change nothing.
//   - When it comes back later, but within Options.Window, it passes, and passes for Options.MaxAge after its last mail.
//   - A client with Options.AutoWhitelist successes, at most one an hour counted, is known, and its mail passes for MaxAge
//     after the last.
//
// Once a recipient of a transaction has passed, so do the others behind him (RFC 6647 §5 no. 1). While they have to wait each
// gets a triplet, so that it does not matter in which order, or in how many transactions, the client tries again.
//
// Of the sender only what stays the same from one message to the next counts: BATV's signature, hash and date of SRS, what is
// behind a "+", and numbers and other identifiers (VERP) are left out.
//
// The null reverse-path is treated at DATA: who asks with it whether an address exists, as sender verification does, ends
// before that and is not disturbed (RFC 6647 §4.2). A bounce passes when one of its recipients does, as DATA has one reply.
//
// Not greylisted are users who have logged in, this machine itself, clients and recipients that are listed, and what
// Options.Exempt says. What the standard recommends for several MX hosts, one list for all, is not in here.
//
// # What is kept
//
// All is in memory within the limits of Options: about 180 octets for a triplet that waits and 110 for what is known, 70 MB
// when all limits are reached by their defaults. Triplets that wait, triplets that came back, clients on their way and known
// clients have a limit each, so that a flood of new triplets drops others that wait and nothing that is known; a client that
// floods drops its own first. Keys are hashes: neither memory nor file tells who writes to whom, unless one guesses it.
//
// The file is appended to every two seconds by a goroutine of its own: a power cut costs the newest seconds, after which some
// mail waits once more, and never more than that; a torn or damaged file is mended at the next start. When the disk fails
// mail goes on, greylisted from memory; the log says so once, and all is written when the disk is back.
package greylist
