// Package reporting sends the reports that a mail receiver is asked for by the domains whose mail it gets (RFC 9989
// §5.3.8): it collects what DMARC found for each message and sends every domain that wants it an aggregate report a day
// (RFC 9990). Where that is switched on, it sends failure reports on single messages, too (RFC 9991).
//
//	reports := &reporting.Reporter{
//		Dir: "state/dmarc", Organization: "Example", Email: "dmarc-reports@example.com", Hostname: "mx.example.com",
//		Send: func(ctx context.Context, m reporting.Mail) error { return queue(ctx, m.From, m.To, m.Key, m.Content) },
//	}
//	if err := reports.Open(); err != nil { … }
//	defer reports.Close()
//	go reports.Run(ctx)
//	…
//	reports.Record(ctx, reporting.Evaluation{Verdict: verdict, Source: client, …}) // for each message
//
// # What is sent, and when
//
// A report is about one policy domain and one UTC day. It leaves in the hours after that day, at a time that depends on the
// domain, as a mail with the report in XML, compressed by gzip, to each mailto address in the record's rua that agrees to
// it (RFC 9990 §4): see dmarc.Evaluator.AggregateDestinations. Each address gets a mail of its own. URIs of other schemes
// are ignored (RFC 9989 §4.7), and so is an obsolete size limit behind an address (RFC 9989 §4.8).
//
// What Send or the DNS fails for is tried again, first after an hour and then less and less often, with the same report
// under the same ID, until the day is too old (Reporter.Keep). After a time in which the process did not run, what is left
// of the last days leaves at once. Addresses that bounce can be suppressed for a time; so can those that nobody wants
// mail to, and those that Send refuses for good are. The log says which addresses of a record got no report, and why.
//
// Messages that are reports themselves count, but do not lead to a report by themselves: Reporter.Record says which.
//
// # What is promised
//
// Record adds to a row in memory. Run appends what is new to a file of the day each few seconds (Reporter.Flush) and syncs
// it, once for all messages of that time; Close does so, too. What was recorded since is lost when the process is killed or
// the power fails: they are statistics. No more than that is lost, no message is counted twice, and no file becomes
// unreadable: a torn line is found by its checksum and left out.
//
// A day is closed, on disk, before its first report leaves, and takes nothing any more; if the clock is set back then, what
// comes counts for the next day. So a report is the same whenever it is made, and no two reports tell of the same message.
// That a report was sent is noted on disk after Send returned. If the process ends between the two, Send is called again
// with the same Mail.Key, by which the queue must know that it has it.
//
// Failure reports are not kept: those that wait when the process ends are not sent.
//
// # Limits
//
// Only domains that ask for reports take room. In a day there are at most MaxDomains of them, MaxRows different rows for
// each, and rows for MaxBytes in all; messages that are alike share a row. No more than an eighth of the domains and bytes
// is for one party: the mail from one network (an IPv4 /24 or IPv6 /48) and that under the domains of one organization, as far
// as a name tells. So neither who sends much nor who has a record for each of his subdomains crowds the others out.
//
// What goes beyond is left out, and reports and the log say so: a flood of made-up domains from many networks costs the
// statistics of domains that are new on that day, and nothing else. In memory are the rows of the current day, the names and
// policies of those days whose reports are not sent, and, while reports are made, the rows of one such day. On disk a day
// takes at most about twice MaxBytes, and there are at most 16
// days. The rows of a day are removed once all its reports are sent.
package reporting
