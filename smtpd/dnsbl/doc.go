// Package dnsbl asks block and allow lists in the DNS (RFC 5782) about clients and what they call themselves, as a check for
// an smtpd server. Lists have weights, and what happens depends on the sum:
//
//	lists, err := dnsbl.ParseLists(`
//		zen.spamhaus.org=127.0.0.[2..11]*3
//		bl.mailspike.net=127.0.0.[2;10..14]
//		list.dnswl.org=127.0.[0..255].[1..3]*-2
//		helo+sender:dbl.spamhaus.org=127.0.1.[2..99]*3`)
//	checker, err := dnsbl.New(dnsbl.Options{Lists: lists, Resolver: resolver, RefuseAt: 3, QuarantineAt: 1})
//	srv := &smtpd.Server{Checks: []smtpd.Check{users, checker.Check()}, …}
//
// The text of a list is that of Postfix's postscreen_dnsbl_sites; see [ParseList]. Package resolver has a cache, which
// matters as nothing is cached here.
//
// # When it does what
//
// All lists are asked at the same time: about the client's address as soon as it connects, about names (of EHLO, of the
// address, of the sender) at MAIL. The session goes on meanwhile. At its first recipient it waits for what is missing, and
// the refusal comes there, so that the log has sender and recipient. Mail to a postmaster is let through, so that who is
// listed by mistake can say so. [From] gives later checks the result: greylisting may leave a client alone that is
// [Result].Good.
//
// Private and loopback addresses, users who have logged in and what Options.Skip names are never asked about.
//
// # When lists fail
//
// A list that does not answer in time does not count, and mail is never refused for a fault of the DNS. Lists come to worse
// ends: they list the whole world when they are given up, or answer all queries with a code that means "you ask too much" or
// "not through this resolver". So no list is believed before it has passed the self-test of RFC 5782 §5: it must list its
// test entry, and must not list what no list may. The test is made with the first question and costs nobody any time, but for
// clients that are listed. It is made again before the hour is over; at once when the list gives an odd code or calls many in
// a row listed; and when it leaves some queries in a row unanswered. A list that fails it is switched off, for that class of
// questions, and is not asked any more. It is tested again after half a minute and then less and less often, and is back when
// it passes. Changes are logged, and [Checker.Status] shows how the lists do.
//
// # What it costs
//
// Goroutines: one for each list and subject, which end with the session and no later than Options.MaxTime. There is none
// besides. Options.MaxLookups bounds the queries under way over all sessions; what is above is not asked. Memory: a few
// hundred octets for each list and session.
package dnsbl
