package mimeindex

import (
	"strconv"
	"strings"
	"time"
)

// ParseDate reads a Date field (RFC 5322 §3.3) with the obsolete forms of §4.3 and what else is found in the wild: no
// weekday, no seconds, no zone, no time at all, the order of asctime, hyphens between day, month and year, ISO dates.
// The time is in the zone that the field names, so that Date() is the day that SENTON and its like compare
// (RFC 3501 §6.4.4), and UTC where it names none that is known.
func ParseDate(value string) (t time.Time, ok bool) {
	d := date{zone: time.UTC, day: -1, month: -1, year: -1}
	for _, token := range dateTokens(value) {
		d.token(token)
	}
	if d.day < 1 || d.month < 1 || d.year < 0 || d.hour > 23 || d.minute > 59 || d.second > 60 {
		return time.Time{}, false
	}
	t = time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.second, 0, d.zone)
	if d.second < 60 && t.Day() != d.day { // 31 February
		return time.Time{}, false
	}
	return t, true
}

// maxDateTokens is how many words of a date are looked at.
const maxDateTokens = 16

// maxDate is how many octets of a date are looked at.
const maxDate = 1000

// dateTokens cuts a date at blanks, commas and comments, but not around the colons of the time (RFC 5322 §4.3).
func dateTokens(value string) []string {
	var tokens []string
	l := lexer{s: value[:min(len(value), maxDate)]}
	for !l.done() && len(tokens) < maxDateTokens {
		l.skipCFWS()
		token := l.until(" \t\r\n,(")
		last := len(tokens) - 1
		switch {
		case token == "":
		case last >= 0 && (token[0] == ':' || strings.HasSuffix(tokens[last], ":")):
			tokens[last] += token
		default:
			tokens = append(tokens, token)
		}
		l.accept(',')
	}
	return tokens
}

// date is a date as far as it is known: day, month and year are -1 until they are.
type date struct {
	day, month, year     int
	hour, minute, second int
	timed                bool
	zone                 *time.Location
}

func (d *date) token(s string) {
	switch {
	case strings.Contains(s, ":") && d.clock(s):
	case s[0] == '+' || s[0] == '-' && d.timed:
		d.offset(s)
	case strings.Contains(s, "-"):
		d.hyphenated(s)
	case s[0] >= '0' && s[0] <= '9':
		d.number(s)
	case d.month < 0 && monthOf(s) > 0:
		d.month = monthOf(s)
	case d.timed:
		d.namedZone(s)
	}
}

// clock takes hh:mm or hh:mm:ss, perhaps with a fraction or with the zone right behind it.
func (d *date) clock(s string) bool {
	if date, clock, ok := strings.Cut(s, "T"); ok && strings.Count(date, "-") == 2 { // ISO 8601
		d.hyphenated(date)
		s = clock
	}
	if d.timed {
		return false
	}
	zone := strings.IndexAny(s, "+-Z")
	if zone > 0 {
		defer d.token(s[zone:])
		s = s[:zone]
	}
	s, _, _ = strings.Cut(s, ".")
	fields := []*int{&d.hour, &d.minute, &d.second}
	for i, part := range strings.SplitN(s, ":", len(fields)) {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return false
		}
		*fields[i] = n
	}
	d.timed = true
	return true
}

// offset takes +hhmm or +hh:mm.
func (d *date) offset(s string) {
	digits := strings.ReplaceAll(s[1:], ":", "")
	n, err := strconv.Atoi(digits)
	if err != nil || len(digits) > 4 || n < 0 {
		return
	}
	seconds := (n/100*60 + n%100) * 60
	if len(digits) <= 2 {
		seconds = n * 3600
	}
	if s[0] == '-' {
		seconds = -seconds
	}
	d.zone = time.FixedZone("", seconds)
}

// hyphenated takes 15-Feb-2007 or 2007-02-15.
func (d *date) hyphenated(s string) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return
	}
	if len(parts[0]) == 4 {
		parts[0], parts[2] = parts[2], parts[0]
	}
	d.month = monthOf(parts[1])
	if n, err := strconv.Atoi(parts[1]); err == nil && n <= 12 {
		d.month = n
	}
	d.number(parts[0])
	d.number(parts[2])
}

// number takes the day and then the year, whose century may be missing (RFC 5322 §4.3).
func (d *date) number(s string) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 9999 {
		return
	}
	switch {
	case d.day < 0 && n <= 31 && len(s) <= 2:
		d.day = n
	case d.year >= 0:
	case len(s) <= 2 && n < 50:
		d.year = n + 2000
	case len(s) <= 3:
		d.year = n + 1900
	default:
		d.year = n
	}
}

// namedZone takes the zones of RFC 5322 §4.3, of which all unknown ones mean UTC.
func (d *date) namedZone(s string) {
	hours, known := map[string]int{
		"EDT": -4, "EST": -5, "CDT": -5, "CST": -6, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8,
	}[strings.ToUpper(s)]
	if known {
		d.zone = time.FixedZone(strings.ToUpper(s), hours*3600)
	}
}

// monthOf is the number of a month, 0 if s names none; full names are as good as three letters.
func monthOf(s string) int {
	if len(s) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(s[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return i/3 + 1
}
