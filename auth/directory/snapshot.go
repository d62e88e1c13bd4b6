package directory

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks"
)

// snapshot is what the four files said at one time. It is never changed.
type snapshot struct {
	accounts []account
	byAddr   map[string]int // into accounts
	aliases  map[string]*alias
	order    []*alias // of aliases.cf
	patterns []pattern
	quotas   map[string]int64
	domains  map[string]bool
}

type account struct {
	address string
	hash    string
}

// alias is an exact alias or, with the key "@domain", a catch-all.
type alias struct {
	key     string
	targets []string
}

// pattern is a regular-expression alias.
type pattern struct {
	key     string // as written: /…/
	re      *regexp.Regexp
	targets []string // may hold $1
}

// tables are the four files.
type tables struct {
	accounts, aliases, regexps, quotas *table
}

func newSnapshot(t tables, hosted []string) (*snapshot, error) {
	s := &snapshot{byAddr: map[string]int{}, aliases: map[string]*alias{}, quotas: map[string]int64{}, domains: map[string]bool{}}
	for _, domain := range hosted {
		s.domains[domain] = true
	}
	for _, part := range []struct {
		t   *table
		add func(key, rest string) error
	}{
		{t.accounts, s.addAccount}, {t.aliases, s.addAlias}, {t.regexps, s.addPattern}, {t.quotas, s.addQuota},
	} {
		for _, e := range part.t.entries {
			if e.key == "" {
				continue
			}
			if err := part.add(e.key, e.rest); err != nil {
				return nil, part.t.errorAt(e.line, err)
			}
		}
	}
	return s, nil
}

func (s *snapshot) addAccount(key, rest string) error {
	address, err := newAddress(key)
	if err != nil {
		return err
	}
	if _, ok := s.byAddr[address]; ok {
		return fmt.Errorf("account %s stands here twice", address)
	}
	hash, _, _ := strings.Cut(rest, "|")
	s.byAddr[address] = len(s.accounts)
	s.accounts = append(s.accounts, account{address: address, hash: strings.TrimSpace(hash)})
	_, domain := mailbricks.SplitAddress(address)
	s.domains[domain] = true
	return nil
}

// aliasKey gives the form in which an exact alias or a catch-all is kept.
func aliasKey(key string) (string, error) {
	if domain, ok := strings.CutPrefix(key, "@"); ok {
		domain, err := CanonicalDomain(domain)
		if err != nil {
			return "", fmt.Errorf("catch-all %q: %w", key, err)
		}
		if err := newDomain(domain); err != nil {
			return "", err
		}
		return "@" + domain, nil
	}
	return newAddress(key)
}

func (s *snapshot) addAlias(key, rest string) error {
	key, err := aliasKey(key)
	if err != nil {
		return err
	}
	targets, err := parseTargets(rest, Canonical)
	if err != nil {
		return err
	}
	a := s.aliases[key]
	if a == nil {
		a = &alias{key: key}
		s.aliases[key] = a
		s.order = append(s.order, a)
	}
	a.targets = append(a.targets, targets...)
	_, domain := mailbricks.SplitAddress(key)
	s.domains[domain] = true
	return nil
}

// parseTargets reads a list of addresses with commas, blanks or both between them.
func parseTargets(list string, canonical func(string) (string, error)) ([]string, error) {
	var targets []string
	for _, t := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		target, err := canonical(t)
		if err != nil {
			return nil, fmt.Errorf("target %w", err)
		}
		if !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("no target in %q", list)
	}
	return targets, nil
}

func (s *snapshot) addPattern(key, rest string) error {
	re, err := compilePattern(key)
	if err != nil {
		return err
	}
	targets, err := parseTargets(rest, func(t string) (string, error) {
		if strings.Contains(t, "$") {
			return t, nil // an address only once it is filled in
		}
		return Canonical(t)
	})
	if err != nil {
		return err
	}
	s.patterns = append(s.patterns, pattern{key: key, re: re, targets: targets})
	return nil
}

// compilePattern compiles "/…/", which takes no account of case unless an "i" follows it, as in Postfix (regexp_table(5)).
func compilePattern(key string) (*regexp.Regexp, error) {
	end := strings.LastIndexByte(key, '/')
	if end < 2 || key[0] != '/' {
		return nil, fmt.Errorf("%q is not a regular expression between slashes", key)
	}
	flags := "(?i)"
	switch key[end+1:] {
	case "":
	case "i":
		flags = ""
	default:
		return nil, fmt.Errorf("unknown flags %q behind the regular expression", key[end+1:])
	}
	re, err := regexp.Compile(flags + strings.ReplaceAll(key[1:end], `\/`, "/"))
	if err != nil {
		return nil, fmt.Errorf("regular expression %s: %w", key, err)
	}
	return re, nil
}

func (s *snapshot) addQuota(key, rest string) error {
	address, err := Canonical(key)
	if err != nil {
		return err
	}
	s.quotas[address], err = ParseSize(rest)
	return err
}

// isAccount says whether a canonical address is an account.
func (s *snapshot) isAccount(address string) bool {
	_, ok := s.byAddr[address]
	return ok
}
