package dmarc

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// SuffixList is a public suffix list that was read from a file. It does not change, and any number of goroutines may use it.
type SuffixList struct {
	rules map[string]suffixRule // by domain, without "*." and "!"
}

// suffixRule has the kinds of rules that there are for a domain.
type suffixRule uint8

const (
	suffixItself   suffixRule = 1 << iota // example
	suffixBelow                           // *.example
	suffixExcepted                        // !www.example
)

// maxSuffixLine is how many octets a line of a list may have.
const maxSuffixLine = 64 << 10

// ParsePublicSuffixes reads a public suffix list as https://publicsuffix.org/list/ publishes it: a rule a line, which ends at
// white space, and comments behind "//". What is behind private domains counts too, as DMARC has always had it. Memory
// grows with the number of rules. The error is the reader's, names the line that is no rule, or is
// bufio.ErrTooLong for one of 64 KiB.
func ParsePublicSuffixes(r io.Reader) (*SuffixList, error) {
	list := &SuffixList{rules: map[string]suffixRule{}}
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxSuffixLine)
	for n := 1; scanner.Scan(); n++ {
		rule := strings.TrimLeft(scanner.Text(), " \t\ufeff")
		if end := strings.IndexAny(rule, " \t"); end >= 0 {
			rule = rule[:end]
		}
		if rule == "" || strings.HasPrefix(rule, "//") || rule == "*" { // "*" is what holds without a rule
			continue
		}
		if !list.add(rule) {
			return nil, fmt.Errorf("dmarc: public suffix list, line %d: %.80q is no rule", n, rule)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("dmarc: public suffix list: %w", err)
	}
	return list, nil
}

func (l *SuffixList) add(rule string) bool {
	kind := suffixItself
	if name, ok := strings.CutPrefix(rule, "*."); ok {
		kind, rule = suffixBelow, name
	} else if name, ok := strings.CutPrefix(rule, "!"); ok {
		kind, rule = suffixExcepted, name
	}
	name, ok := domainname.Identity(rule)
	if !ok || kind == suffixExcepted && domainname.Parent(name) == "" {
		return false
	}
	l.rules[name] |= kind
	return true
}

// PublicSuffix gives the public suffix of a domain; see [PublicSuffixList].
func (l *SuffixList) PublicSuffix(domain string) string {
	for name := domain; name != ""; name = domainname.Parent(name) { // an exception goes before all else
		if l.rules[name]&suffixExcepted != 0 {
			return domainname.Parent(name)
		}
	}
	for name := domain; name != ""; name = domainname.Parent(name) {
		if l.rules[name]&suffixItself != 0 || l.rules[domainname.Parent(name)]&suffixBelow != 0 {
			return name
		}
	}
	return domainname.TopLabel(domain)
}
