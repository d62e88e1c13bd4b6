// Package ratelimit is the check that limits how much comes from whom: connections, messages and recipients by address,
// network, login, sender or recipient, with token buckets.
//
//	limits, err := ratelimit.New(ratelimit.Options{Rules: ratelimit.Outbound()})
//	srv := &smtpd.Server{Checks: []smtpd.Check{limits.Check(), …}, …}
//
// A [Rule] names what it counts, by which [Key], and how much there may be: Count in each Per in the long run, and Burst at
// once after a rest. All rules hold at once. What one of them refuses is charged to none, so that a client which goes on
// trying gets what the rule allows and is not shut out for ever.
//
// What is let through is charged when it is asked about: attempts count, whatever becomes of them in the checks behind this
// one. What the checks in front of it refuse does not. So behind the check of recipients only those that exist count, and in
// front of it guessing counts, too. A rule with Refund charges what was accepted: the user whose message is refused for its
// size has not used up anything.
//
// Two rules with networks of different sizes make a hierarchy, which matters with IPv6, where anybody has a /64 and many a
// /48; [Inbound] has it.
//
// # Bounds
//
// A bucket takes about 140 octets, and each rule has Options.MaxBuckets of them at most. One that is full again is as good as
// none, and goes. When there are too many the one that is full first makes room: a flood of new keys, with a token or two
// taken from each, pushes out its own buckets and never that of somebody who has to wait longer. All is in memory, and a
// restart fills all buckets.
package ratelimit
