package sign

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The state file says what the keys of domains are for. Its first line is stateHeader. A line of a domain and selectors,
// separated by blanks, names the keys that sign; a domain without a selector behind it is not signed. A line that begins
// with one of the words below is about one key of a rotation. Blank lines and those that begin with "#" mean nothing and
// are kept.
//
//	mailbricks-dkim-selectors 2
//	# two keys, as some verifiers do not know Ed25519
//	example.com 2026a ed
//	next: example.com s20261124a type=rsa bits=2048 made=2026-11-24T20:00:00Z seen=2026-11-24T21:00:00Z
//	old: example.com 2025a since=2026-01-10T08:00:00Z
//	gone: example.com 2024a since=2026-01-17T08:00:00Z
//
// Version 1 had the lines of domains alone. It is read and becomes version 2 with the first change.
const (
	stateName    = "mailbricks-dkim-selectors"
	stateVersion = 2
)

// What a key of a rotation is. None of these words is a domain.
const (
	lineNext = "next:" // to be published, and to sign when the DNS shows it
	lineOld  = "old:"  // replaced; its record stays for mail on its way
	lineGone = "gone:" // its key is deleted; its record may go
)

var stateHeader = stateName + " " + strconv.Itoa(stateVersion)

// ErrNewerState says that the state file was written by a newer version of this package, which this one would misread.
var ErrNewerState = errors.New("written by a newer version")

// state is the state file, read.
type state struct {
	lines []stateLine // without the header
}

// stateLine is one line.
type stateLine struct {
	comment   string   // as it stands; the rest is empty then
	kind      string   // "" for the keys that sign
	domain    string   // empty in a comment
	selectors []string // one, where kind is not ""

	keyType string // of a next key
	bits    int
	// at is when a next key was named, and when another got what it is. seen is when the DNS was first seen to show a next
	// key, or zero.
	at, seen time.Time
}

func parseState(text string) (*state, error) {
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	name, number, _ := strings.Cut(lines[0], " ")
	version, err := strconv.Atoi(number)
	switch {
	case name != stateName:
		return nil, fmt.Errorf("its first line is not %q", stateHeader)
	case err != nil || version < 1:
		return nil, fmt.Errorf("its first line has %.20q as version", number)
	case version > stateVersion:
		return nil, fmt.Errorf("it has version %d, this program knows %d: %w", version, stateVersion, ErrNewerState)
	}
	s := &state{}
	for i, text := range lines[1:] {
		line, err := parseLine(text, version)
		if err == nil && line.domain != "" && s.find(line.kind, line.domain, line.selectors) >= 0 {
			err = fmt.Errorf("%s has a line before", line.domain)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		s.lines = append(s.lines, line)
	}
	return s, nil
}

func parseLine(text string, version int) (stateLine, error) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0][0] == '#' {
		return stateLine{comment: strings.TrimRight(text, "\r")}, nil
	}
	var line stateLine
	if version > 1 && slices.Contains([]string{lineNext, lineOld, lineGone}, words[0]) {
		line.kind, words = words[0], words[1:]
		if len(words) < 2 {
			return line, fmt.Errorf("%s needs a domain and a selector", line.kind)
		}
		for _, word := range words[2:] {
			if err := line.property(word); err != nil {
				return line, err
			}
		}
		words = words[:2]
	}
	for _, word := range words {
		if c, err := canonical(word); err != nil || c != word {
			return line, fmt.Errorf("%.80q is no name in lower case", word)
		}
	}
	line.domain, line.selectors = words[0], words[1:]
	switch {
	case line.kind == lineNext && line.keyType == "":
		return line, fmt.Errorf("the key %s has no type", line.selectors[0])
	case line.kind == lineNext && line.at.IsZero():
		return line, fmt.Errorf("the key %s has no made=", line.selectors[0])
	case line.kind != "" && line.at.IsZero(): // or the time that the key is kept for would be over
		return line, fmt.Errorf("the key %s has no since=", line.selectors[0])
	}
	return line, nil
}

// property reads one of the words behind the selector of a line of a rotation.
func (l *stateLine) property(word string) (err error) {
	name, value, _ := strings.Cut(word, "=")
	switch next := l.kind == lineNext; {
	case next && name == "type":
		l.keyType = value
	case next && name == "bits":
		l.bits, err = strconv.Atoi(value)
	case next && name == "seen":
		l.seen, err = parseStamp(value)
	case next && name == "made", !next && name == "since":
		l.at, err = parseStamp(value)
	default:
		err = errors.New("unknown")
	}
	if err != nil {
		return fmt.Errorf("%.80q: %w", word, err)
	}
	return nil
}

func (l stateLine) String() string {
	switch l.kind {
	case lineNext:
		text := fmt.Sprintf("%s %s %s type=%s bits=%d made=%s", l.kind, l.domain, l.selectors[0], l.keyType, l.bits, stamp(l.at))
		if !l.seen.IsZero() {
			text += " seen=" + stamp(l.seen)
		}
		return text
	case lineOld, lineGone:
		return fmt.Sprintf("%s %s %s since=%s", l.kind, l.domain, l.selectors[0], stamp(l.at))
	}
	if l.domain == "" {
		return l.comment
	}
	return strings.Join(append([]string{l.domain}, l.selectors...), " ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// parseStamp reads what stamp writes. The zero time, which stands for none here, is refused, and what stamp could not write.
func parseStamp(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, err
	}
	t = t.Truncate(time.Second).UTC()
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, errors.New("no time of this era")
	}
	return t, nil
}

// String is the text of the file.
func (s *state) String() string {
	text := stateHeader + "\n"
	for _, line := range s.lines {
		text += line.String() + "\n"
	}
	return text
}

// find gives the index of a line: of the domain's keys that sign, or of one key of its rotation; -1 if there is none.
func (s *state) find(kind, domain string, selectors []string) int {
	return slices.IndexFunc(s.lines, func(l stateLine) bool {
		return l.domain == domain && l.kind == kind && (kind == "" || l.selectors[0] == selectors[0])
	})
}

// signing are the selectors of a domain that sign; false when nothing is said of that.
func (s *state) signing(domain string) ([]string, bool) {
	if at := s.find("", domain, nil); at >= 0 {
		return s.lines[at].selectors, true
	}
	return nil, false
}

// signingOr is signing, and where nothing is said all of a domain's selectors but those of a rotation.
func (s *state) signingOr(domain string, all []string) []string {
	if named, ok := s.signing(domain); ok {
		return named
	}
	var rest []string
	for _, selector := range all {
		if s.use(domain, selector) == "" {
			rest = append(rest, selector)
		}
	}
	return rest
}

// rotating are a domain's lines of one kind, of all three for "".
func (s *state) rotating(kind, domain string) []stateLine {
	var lines []stateLine
	for _, line := range s.lines {
		if line.domain == domain && line.kind != "" && (kind == "" || line.kind == kind) {
			lines = append(lines, line)
		}
	}
	return lines
}

// use says what a rotation has a selector for: the kind of its line, or "".
func (s *state) use(domain, selector string) string {
	for _, line := range s.rotating("", domain) {
		if line.selectors[0] == selector {
			return line.kind
		}
	}
	return ""
}

// sign makes these the selectors of a domain that sign, each of which is nothing else any more.
func (s *state) sign(domain string, selectors []string) {
	s.lines = slices.DeleteFunc(s.lines, func(l stateLine) bool {
		return l.domain == domain && l.kind != "" && slices.Contains(selectors, l.selectors[0])
	})
	s.put(stateLine{domain: domain, selectors: selectors})
}

// put adds a line, or puts it in the place of the one about the same.
func (s *state) put(line stateLine) {
	if at := s.find(line.kind, line.domain, line.selectors); at >= 0 {
		s.lines[at] = line
		return
	}
	s.lines = append(s.lines, line)
}

// drop takes out all that a rotation has to say of a selector.
func (s *state) drop(domain, selector string) {
	s.lines = slices.DeleteFunc(s.lines, func(l stateLine) bool {
		return l.domain == domain && l.kind != "" && l.selectors[0] == selector
	})
}
