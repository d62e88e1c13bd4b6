// Package senderdomain refuses mail whose sender's domain cannot take a reply or a bounce. It is a check for an smtpd server:
//
//	srv := &smtpd.Server{
//		Checks:  []smtpd.Check{senderdomain.Check(senderdomain.Options{Resolver: dns})},
//		Handler: local,
//	}
//
// At MAIL it asks the DNS for the domain of the reverse-path: its MX records or, where there are none, its addresses (RFC 5321
// §5.1). By default a domain that has neither is refused for now, as what is not there may be a mistake that is mended
// soon; so is a domain for which the DNS has no answer; and one that says itself that it takes no mail (RFC 7505) is refused
// for good. [Options] has an [Action] for each [Finding]. [Of] tells later checks what was found.
//
// The null reverse-path, of bounces, passes. Clients that have logged in, that Options.Skip names or that have no IP address
// are left alone.
//
// # What it costs
//
// At most two questions to the DNS for a message, one more where Options.Nonexistent wants it, and MaxHosts more with
// Options.Unroutable, all within MaxTime. A resolver with a cache saves most of them.
package senderdomain
