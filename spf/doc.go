// Package spf says whether a host may send mail for a domain, as the domain's Sender Policy Framework record has it
// (RFC 7208; RFC 8616 for internationalized addresses).
//
//	checker := &spf.Checker{Hostname: "mx.example.com"}
//	verdict := checker.Check(ctx, spf.Client{IP: ip, Helo: "mail.example.org", From: "ann@example.org"})
//	if verdict.Result == spf.Fail {
//		…
//	}
//
// All mechanisms, modifiers and macros are there, with the limits of RFC 7208 §4.6.4 and §11.1: ten terms that ask the
// DNS, two that find nothing, ten MX and PTR names each, twenty seconds. Memory is bounded by the answers of the DNS,
// of which one record is held at a time for each level of include and redirect.
//
// [Verdict.ReceivedSPF] and [Verdict.Resinfo] write a verdict for a message's header.
//
// The package only judges; what to do about a verdict is the caller's affair (RFC 7208 §8).
package spf
