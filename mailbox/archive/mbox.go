package archive

import (
	"strings"
	"time"
)

// Variant is how an mbox file is written.
type Variant int

// The variants of mbox.
const (
	// MboxAuto believes a Content-Length field where another message or the end follows behind that many octets, and then
	// takes no quoting off (mboxcl2, as mutt and Dovecot write it); all other messages are read as MboxRD.
	MboxAuto Variant = iota
	// MboxRD takes one ">" off lines that begin with any number of them and "From ".
	MboxRD
	// MboxO takes it off lines that begin with ">From " only.
	MboxO
	// MboxCL is MboxO with a Content-Length field that counts.
	MboxCL
	// MboxCL2 is without quoting, and with a Content-Length field that counts.
	MboxCL2
)

// usesLength says whether Content-Length is looked at.
func (v Variant) usesLength() bool { return v == MboxAuto || v == MboxCL || v == MboxCL2 }

// fromPrefix begins each message.
const fromPrefix = "From "

// asctime is the date of a From_ line.
const asctime = "Mon Jan _2 15:04:05 2006"

// quotedFrom counts the ">" before "From " at the beginning of a line; -1 if that is not how it begins.
func quotedFrom(line []byte) int {
	n := 0
	for n < len(line) && line[n] == '>' {
		n++
	}
	if !strings.HasPrefix(string(line[n:min(len(line), n+len(fromPrefix))]), fromPrefix) {
		return -1
	}
	return n
}

// parseFrom reads the date of a From_ line; ok is false for one without. A date without a zone is taken as UTC.
func parseFrom(line string) (date time.Time, ok bool) {
	rest, ok := strings.CutPrefix(line, fromPrefix)
	if !ok {
		return time.Time{}, false
	}
	words := strings.Fields(rest)
	for i := 0; i+4 < len(words); i++ {
		if date, ok := parseDate(words[i:]); ok {
			return date, true
		}
	}
	return time.Time{}, false
}

// parseDate reads "Wed Jan 02 15:04[:05] [zone] 2006 [zone]".
func parseDate(words []string) (time.Time, bool) {
	clock := words[3]
	if strings.Count(clock, ":") == 1 {
		clock += ":00"
	}
	year, zone := words[4], ""
	switch {
	case len(words) > 5 && len(year) != 4 && isYear(words[5]):
		year, zone = words[5], words[4]
	case len(words) > 5:
		zone = words[5]
	}
	if !isYear(year) {
		return time.Time{}, false
	}
	date, err := time.Parse("Mon Jan 2 15:04:05 2006", strings.Join([]string{words[0], words[1], words[2], clock, year}, " "))
	if err != nil {
		return time.Time{}, false
	}
	if at, err := time.Parse("-0700", zone); err == nil {
		_, offset := at.Zone()
		date = date.Add(-time.Duration(offset) * time.Second)
	}
	return date, true
}

func isYear(word string) bool {
	if len(word) != 4 {
		return false
	}
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return false
		}
	}
	return true
}
