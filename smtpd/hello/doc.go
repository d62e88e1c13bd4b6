// Package hello looks at the names that clients give themselves with EHLO and HELO. It is a check for an smtpd server:
//
//	srv := &smtpd.Server{
//		Checks:  []smtpd.Check{hello.Check(hello.Options{Names: []string{"example.com"}})},
//		Handler: local,
//	}
//
// # The rules
//
// A name breaks one [Rule] or none; where it could be several, the first in their order that is not Off counts. Many honest
// servers have a bad name, so by default a client is refused only for what no honest one does: to give itself a name or an
// address of this server ([OwnName], [OwnAddress]). The other rules are there for [Of], which tells later checks what was
// found, and each can have a stricter [Action]. Only [Unknown] asks the DNS, and is off. These are what Postfix calls reject_invalid_helo_hostname,
// reject_non_fqdn_helo_hostname and reject_unknown_helo_hostname:
//
//	hello.Options{Malformed: hello.Refuse, NotQualified: hello.Refuse, Unknown: hello.Defer}
//
// A server may verify that the name or the address which a client gives is that of the client, but must not refuse mail because
// it is not (RFC 5321 §4.1.4): a host with several addresses, or behind a NAT, may give another than the one it is seen with.
// So that a name belongs to another address is no rule, and [ForeignAddress] and [PrivateAddress] are Mark; to have them refuse
// is a choice of one's own against the standard. What is no name by its syntax is refused by the server itself.
//
// # When a client is refused
//
// Names are looked at when MAIL comes, and the client is refused at each RCPT, as then the log has sender and recipients,
// and it is known who has logged in: users' programs give any names. With Options.AtHello the refusal is the answer to EHLO.
// Clients that have logged in, that Options.Skip names or that have no IP address are left alone.
//
// # What it costs
//
// With Unknown at most two questions to the DNS for each name, within MaxTime; otherwise nearly nothing. One result is kept a
// session.
package hello
