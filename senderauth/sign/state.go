package sign

import (
	"fmt"
	"slices"
	"strings"
)

// The state file names the active selectors of domains. Its first line is stateHeader; then comes a line a domain: the
// domain and its active selectors, separated by blanks. A domain without a selector behind it is not signed. Blank lines
// and those that begin with "#" mean nothing and are kept.
//
//	mailbricks-dkim-selectors 1
//	# from April on the new key alone
//	example.com 2026a ed
const (
	stateName    = "mailbricks-dkim-selectors"
	stateVersion = "1"
	stateHeader  = stateName + " " + stateVersion
)

// state is the state file, read.
type state struct {
	lines []string // without the header
}

func parseState(text string) (*state, error) {
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	name, version, _ := strings.Cut(lines[0], " ")
	switch {
	case name != stateName:
		return nil, fmt.Errorf("its first line is not %q", stateHeader)
	case version != stateVersion:
		return nil, fmt.Errorf("it has version %.20q, this program knows %s", version, stateVersion)
	}
	s := &state{lines: lines[1:]}
	seen := make(map[string]bool)
	for i, line := range s.lines {
		words := stateWords(line)
		if len(words) == 0 {
			continue
		}
		for _, word := range words {
			if c, err := canonical(word); err != nil || c != word {
				return nil, fmt.Errorf("line %d: %.80q is no name in lower case", i+2, word)
			}
		}
		if seen[words[0]] {
			return nil, fmt.Errorf("line %d: %s has a line before", i+2, words[0])
		}
		seen[words[0]] = true
	}
	return s, nil
}

// stateWords are the domain and the selectors of a line; none for a comment.
func stateWords(line string) []string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return nil
	}
	return strings.Fields(line)
}

// selectors are the active ones of a domain; false when nothing is said of it.
func (s *state) selectors(domain string) ([]string, bool) {
	for _, line := range s.lines {
		if words := stateWords(line); len(words) > 0 && words[0] == domain {
			return words[1:], true
		}
	}
	return nil, false
}

// with is the text of the file with other selectors for a domain.
func (s *state) with(domain string, selectors []string) string {
	line := strings.Join(append([]string{domain}, selectors...), " ")
	at := slices.IndexFunc(s.lines, func(l string) bool {
		words := stateWords(l)
		return len(words) > 0 && words[0] == domain
	})
	lines := slices.Clone(s.lines)
	if at >= 0 {
		lines[at] = line
	} else {
		lines = append(lines, line)
	}
	return stateHeader + "\n" + strings.Join(lines, "\n") + "\n"
}
