package mimeindex_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

func TestParseDate(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		// RFC 5322 appendix A
		"Fri, 21 Nov 1997 09:55:06 -0600":                              "1997-11-21T09:55:06-06:00",
		"Tue, 1 Jul 2003 10:52:37 +0200":                               "2003-07-01T10:52:37+02:00",
		"Thu,\t13\t  Feb\t    1969\t23:32\t -0330 (Newfoundland Time)": "1969-02-13T23:32:00-03:30",
		"21 Nov 97 09:55:06 GMT":                                       "1997-11-21T09:55:06Z",
		"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600":              "1997-11-21T09:55:06-06:00",
		// obsolete years and zones
		"1 Jan 49 00:00 UT":      "2049-01-01T00:00:00Z",
		"1 Jan 50 00:00 Z":       "1950-01-01T00:00:00Z",
		"1 Jan 101 00:00 A":      "2001-01-01T00:00:00Z",
		"1 Jan 2001 12:00 EST":   "2001-01-01T12:00:00-05:00",
		"1 Jan 2001 12:00 pdt":   "2001-01-01T12:00:00-07:00",
		"1 Jan 2001 12:00 -0000": "2001-01-01T12:00:00Z",
		"1 Jan 2001 12:00 XYZ":   "2001-01-01T12:00:00Z",
		// the wild
		"1 Jan 2001":                      "2001-01-01T00:00:00Z",
		"Mon Jan  1 12:00:00 2001":        "2001-01-01T12:00:00Z",
		"Mon Jan  1 12:00:00 EST 2001":    "2001-01-01T12:00:00-05:00",
		"01-Jan-2001 12:00:00 +0100":      "2001-01-01T12:00:00+01:00",
		"2001-01-31 12:00:00 +0100":       "2001-01-31T12:00:00+01:00",
		"2001-01-31T12:00:00.5+01:00":     "2001-01-31T12:00:00+01:00",
		"2001-01-31T12:00:00Z":            "2001-01-31T12:00:00Z",
		"Monday, 1 January 2001 12:00:00": "2001-01-01T12:00:00Z",
		"1 Jan 2001 12:00:00 +01:00":      "2001-01-01T12:00:00+01:00",
		"1 Jan 2001 12:00:00 +1":          "2001-01-01T12:00:00+01:00",
		"1 Jan 2001 12:00:00 GMT+0100":    "2001-01-01T12:00:00Z",
		"Mon, 1 Jan 2001 23:59:60 +0000":  "2001-01-02T00:00:00Z",
		"Mon,1 Jan 2001,12:00":            "2001-01-01T12:00:00Z",
		// none
		"": "", "soon": "", "Mon": "", "1 Jan": "", "32 Jan 2001": "", "31 Feb 2001": "", "1 Jan 2001 25:00": "",
		"1 Jan 2001 12:61": "", "0 Jan 2001": "", "1 Foo 2001": "", "99999999999999999999": "", "1-2": "", "(1 Jan 2001": "",
	} {
		got, ok := mimeindex.ParseDate(value)
		require.Equal(t, want != "", ok, "%q: %v", value, got)
		if ok {
			require.Equal(t, want, got.Format(time.RFC3339), "%q", value)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct {
		base  string
		reply bool
	}{
		"":                            {"", false},
		"a":                           {"a", false},
		" a \t b ":                    {"a b", false},
		"Re: a":                       {"a", true},
		"RE : a":                      {"a", true},
		"fw: a":                       {"a", true},
		"FWD: a":                      {"a", true},
		"Re[2]: a":                    {"a", true},
		"re [x] : re: Fwd: a":         {"a", true},
		"[list] a":                    {"a", false},
		"[list] [more] Re: a":         {"a", true},
		"Re: [list] a":                {"a", true},
		"Re: [list] Re: a":            {"a", true},
		"a (fwd)":                     {"a", true},
		"a (FWD) (fwd) ":              {"a", true},
		"[Fwd: a]":                    {"a", true},
		"[fwd: [fwd: re: a (fwd)]]":   {"a", true},
		"[list] [fwd: a]":             {"a", true},
		"[a][b]":                      {"[b]", false},
		"[a]":                         {"[a]", false},
		"[]":                          {"[]", false},
		"[a [b] c":                    {"[a [b] c", false},
		"re":                          {"re", false},
		"rea: b":                      {"rea: b", false},
		"Re:":                         {"", true},
		"(fwd)":                       {"", true},
		"=?utf-8?q?Re=3A_=C3=A4?=  b": {"ä b", true},
		"[fwd:":                       {"[fwd:", false},
		"[fwd:]":                      {"", true},
	} {
		base, reply := mimeindex.BaseSubject(subject)
		require.Equal(t, want.base, base, "%q", subject)
		require.Equal(t, want.reply, reply, "%q", subject)
	}
}
