package spf

import (
	"errors"
	"slices"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

// Resinfo is the verdict's part of an Authentication-Results field, the resinfo of RFC 8601 §2.2 for the method spf
// (§2.7.2), folded with CRLF and TAB where it is long. What goes in front of it is an authserv-id and a semicolon:
//
//	msg.Prepend("Authentication-Results", "mx.example.com;\r\n\t"+verdict.Resinfo())
//
// The property is smtp.mailfrom or smtp.helo with the domain alone, as SPF says nothing about local parts; a verdict
// without a Domain has none. The reason of a TempError or PermError is one of fixed texts, so that neither the record's
// owner nor the client puts words into it.
func (v Verdict) Resinfo() string {
	f := folder{col: 8}
	f.token("spf=" + v.Result.String())
	if reason := v.reason(); reason != "" {
		f.token(`reason="` + reason + `"`)
	}
	if v.Domain != "" {
		domain := fieldtext.Clean(v.Domain, maxValue)
		if !isToken(domain) {
			domain = fieldtext.Quote(domain)
		}
		f.token("smtp." + v.Identity.String() + "=" + domain)
	}
	return f.String()
}

// reason is the text of the sentinel that v.Err is.
func (v Verdict) reason() string {
	if v.Result != TempError && v.Result != PermError {
		return ""
	}
	for _, known := range []error{
		ErrNoRecord, ErrMultipleRecords, ErrSyntax, ErrTooManyLookups, ErrTooManyVoidLookups, ErrTooManyMX, ErrTarget,
	} {
		if errors.Is(v.Err, known) {
			return known.Error()
		}
	}
	if v.Result == TempError {
		return "DNS look-up failed"
	}
	return ""
}

// isToken is token of RFC 2045 §5.1, which a value may be without quotes.
func isToken(s string) bool {
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return c <= ' ' || c >= 0x7f || slices.Contains([]byte(`()<>@,;:\"/[]?=`), c)
	})
}
