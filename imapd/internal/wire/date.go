package wire

import (
	"strings"
	"time"
)

// The layouts of RFC 3501 §9: date-time, and date with a one-digit day allowed.
const (
	dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"
	dateLayout     = "2-Jan-2006"
)

// Date is a date, with quotes or without, at 00:00 UTC.
func (d *Decoder) Date(t *time.Time) bool {
	var s string
	if d.Has('"') {
		if !d.quoted(&s) {
			return false
		}
	} else if !d.Atom(&s) {
		return false
	}
	parsed, err := time.Parse(dateLayout, monthCase(s))
	if err != nil {
		return d.Fail("expected a date such as 1-Feb-1994")
	}
	*t = parsed
	return true
}

// DateTime is a date with time and zone, in quotes.
func (d *Decoder) DateTime(t *time.Time) bool {
	var s string
	if !d.Has('"') {
		return d.Fail("expected a quoted date and time")
	}
	if !d.quoted(&s) {
		return false
	}
	parsed, err := time.Parse(dateTimeLayout, monthCase(s))
	if err != nil {
		return d.Fail("expected a date and time such as \"17-Jul-1996 02:44:25 -0700\"")
	}
	*t = parsed
	return true
}

// monthCase brings the month, whose case does not matter, into the form that package time knows.
func monthCase(s string) string {
	before, rest, ok := strings.Cut(s, "-")
	if !ok || len(rest) < 3 {
		return s
	}
	return before + "-" + strings.ToUpper(rest[:1]) + strings.ToLower(rest[1:3]) + rest[3:]
}
