// Package interop tests fullserver as its users meet it: the built program, at its real ports on loopback addresses, with
// the mail clients and servers of a Debian system as peers; and what of smtpd fullserver does not offer, with a server of the
// tests' own. It is built only with the tag "interop"; CONTRIBUTING.md says what it needs and how it is run.
package interop
