package mimetext

import "strings"

// BaseSubject is the base subject of RFC 5256 §2.1, which SORT and THREAD compare: decoded, without the marks that
// replies, forwards and mailing lists add. reply says that a mark of a reply or forward was there (§3, REFERENCES
// step 5).
func BaseSubject(subject string) (base string, reply bool) {
	s := strings.Join(strings.FieldsFunc(DecodeHeader(subject), func(r rune) bool { // step 1
		return r == ' ' || r == '\t' || r == '\r' || r == '\n'
	}), " ")
	for {
		if trimmed := trimTrailers(s); trimmed != s { // step 2
			reply = reply || len(strings.TrimRight(s, " ")) > len(trimmed)
			s = trimmed
		}
		for { // steps 3 to 5
			rest, ok := cutLeader(s)
			if !ok {
				break
			}
			s, reply = rest, true
		}
		s = cutBlobs(s)
		if len(s) < len("[fwd:]") || !strings.EqualFold(s[:5], "[fwd:") || s[len(s)-1] != ']' { // step 6
			return s, reply
		}
		s, reply = strings.TrimLeft(s[5:len(s)-1], " "), true
	}
}

// trimTrailers removes subj-trailer: blanks and "(fwd)".
func trimTrailers(s string) string {
	for {
		s = strings.TrimRight(s, " ")
		if n := len(s) - len("(fwd)"); n >= 0 && strings.EqualFold(s[n:], "(fwd)") {
			s = s[:n]
			continue
		}
		return s
	}
}

// cutLeader removes subj-leader if s starts with one: blobs and then re, fw or fwd, perhaps another blob, and a colon.
func cutLeader(s string) (rest string, ok bool) {
	s = cutBlobs(s)
	n := 0
	switch {
	case hasPrefixFold(s, "re"), hasPrefixFold(s, "fw"):
		n = 2
		if hasPrefixFold(s, "fwd") {
			n = 3
		}
	default:
		return "", false
	}
	s = strings.TrimLeft(s[n:], " ")
	if after := cutBlob(s); after != "" {
		s = after
	}
	rest, ok = strings.CutPrefix(s, ":")
	return strings.TrimLeft(rest, " "), ok
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// cutBlobs removes the blobs that s starts with, but for the last if nothing else is left: a base is never empty
// because of step 4.
func cutBlobs(s string) string {
	for {
		rest := cutBlob(s)
		if rest == "" {
			return s
		}
		s = rest
	}
}

// cutBlob removes one subj-blob, "[...]" and the blanks behind it, and returns what follows: empty if there is none or
// nothing follows.
func cutBlob(s string) string {
	if !strings.HasPrefix(s, "[") {
		return ""
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] != ']' {
		return ""
	}
	return strings.TrimLeft(s[end+2:], " ")
}
