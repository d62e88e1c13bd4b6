// Package reporting sends the reports that a mail receiver owes to the domains whose mail it gets (RFC 9989 §5.3.8): it
// collects what DMARC found for each message, and each day sends every domain that asks for it an aggregate report (RFC
// 9990).
package reporting
