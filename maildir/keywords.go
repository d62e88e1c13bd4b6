package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The file dovecot-keywords of each folder gives the letters a to z in file names their keywords: a line "<0 to 25> <keyword>"
// each. It is Dovecot's. A keyword keeps its letter for ever.
const keywordsFile = "dovecot-keywords"

// maxKeywords is how many keywords a folder may have, with and without letters.
const maxKeywords = 1000

// maxKeywordsFile bounds what is read of the file.
const maxKeywordsFile = 1 << 20

// keywords are those of a folder. It is replaced, never changed, once others may see it.
type keywords struct {
	letters [maxLetters]mailbox.Flag // empty: free
	rest    []mailbox.Flag           // those without a letter, in no order
}

// keywordSet are the keywords without a letter that a message has, sorted. It is never changed; nil is the empty set.
type keywordSet struct{ names []string }

func (k *keywordSet) list() []string {
	if k == nil {
		return nil
	}
	return k.names
}

func newKeywordSet(names []string) *keywordSet {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return &keywordSet{slices.Compact(names)}
}

// with are the keywords of both.
func (k *keywordSet) with(more *keywordSet) *keywordSet {
	if more == nil {
		return k
	}
	return newKeywordSet(slices.Concat(k.list(), more.list()))
}

// without are the keywords that are not in less.
func (k *keywordSet) without(less *keywordSet) *keywordSet {
	if k == nil || less == nil {
		return k
	}
	return newKeywordSet(slices.DeleteFunc(slices.Clone(k.names), func(name string) bool {
		return slices.Contains(less.names, name)
	}))
}

// keywordSets are the sets that the messages of a folder have, each once, and how many have it. The zero value has none.
type keywordSets struct {
	byNames map[string]*keywordSet
	uses    map[*keywordSet]int
}

// same gives the set with these names that messages have already, or else k.
func (s *keywordSets) same(k *keywordSet) *keywordSet {
	if k == nil || s.uses[k] > 0 {
		return k
	}
	if have := s.byNames[k.key()]; have != nil {
		return have
	}
	return k
}

// note counts a message with a set that same gave, or with n = -1 no longer.
func (s *keywordSets) note(k *keywordSet, n int) {
	if s.uses == nil {
		s.byNames, s.uses = map[string]*keywordSet{}, map[*keywordSet]int{}
	}
	before := s.uses[k]
	switch {
	case before == 0:
		s.byNames[k.key()] = k
	case before+n == 0:
		delete(s.byNames, k.key())
		delete(s.uses, k)
		return
	}
	s.uses[k] = before + n
}

// key is different for different sets: no keyword has a space.
func (k *keywordSet) key() string { return strings.Join(k.names, " ") }

func sameKeywords(a, b *keywordSet) bool { return slices.Equal(a.list(), b.list()) }

// parseKeywords reads the file. Lines that are none are left out: their letters stay in the file names.
func parseKeywords(data []byte) *keywords {
	k := &keywords{}
	for line := range strings.SplitSeq(string(data), "\n") {
		digits, name, ok := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n < 0 || n >= maxLetters {
			continue
		}
		if flags, err := mailbox.CleanFlags([]mailbox.Flag{mailbox.Flag(name)}); err == nil && !flags[0].System() {
			k.letters[n] = mailbox.Flag(strings.Clone(name))
		}
	}
	return k
}

func (k *keywords) format() []byte {
	var b bytes.Buffer
	for i, name := range k.letters {
		if name != "" {
			fmt.Fprintf(&b, "%d %s\n", i, name)
		}
	}
	return b.Bytes()
}

func loadKeywords(fsys durable.FS, dir string) (*keywords, fs.FileInfo, error) {
	path := filepath.Join(dir, keywordsFile)
	info, err := fsys.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &keywords{}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := durable.ReadFile(fsys, path, maxKeywordsFile)
	if err != nil {
		return nil, nil, err
	}
	return parseKeywords(data), info, nil
}

// find gives the place of a keyword: a letter, or its form among the rest.
func (k *keywords) find(f mailbox.Flag) (letter int, rest string) {
	if i := slices.IndexFunc(k.letters[:], f.Is); i >= 0 {
		return i, ""
	}
	if i := slices.IndexFunc(k.rest, f.Is); i >= 0 {
		return -1, string(k.rest[i])
	}
	return -1, ""
}

// with gives keywords that have all these as well; the same if they do already. Letters that messages have and whose names
// were lost are left alone: they would stand for something else.
func (k *keywords) with(list []mailbox.Flag, inUse func() flags) (*keywords, error) {
	out := k
	for _, f := range list {
		if f.System() {
			continue
		}
		if letter, rest := out.find(f); letter >= 0 || rest != "" {
			continue
		}
		if out == k {
			c := *k
			c.rest = slices.Clone(k.rest)
			out = &c
		}
		if i := out.freeLetter(inUse()); i >= 0 {
			out.letters[i] = f
			continue
		}
		if len(out.rest) >= maxKeywords-maxLetters {
			return nil, fmt.Errorf("%w: more than %d keywords", mailbox.ErrFlags, maxKeywords)
		}
		out.rest = append(out.rest, f)
	}
	return out, nil
}

// freeLetter is a letter that stands for nothing; -1: none does.
func (k *keywords) freeLetter(inUse flags) int {
	for i, name := range k.letters {
		if name == "" && inUse&keywordFlag(i) == 0 {
			return i
		}
	}
	return -1
}

// encode gives flags the form that a message keeps. Keywords that are unknown are left out.
func (k *keywords) encode(list []mailbox.Flag) (flags, *keywordSet) {
	var f flags
	var names []string
	for _, flag := range list {
		if flag.System() {
			f |= systemFlag(flag)
			continue
		}
		letter, rest := k.find(flag)
		if letter >= 0 {
			f |= keywordFlag(letter)
		} else if rest != "" {
			names = append(names, rest)
		}
	}
	return f, newKeywordSet(names)
}

func systemFlag(flag mailbox.Flag) flags {
	for i, f := range systemFlags() {
		if f.Is(flag) {
			return 1 << i
		}
	}
	return 0
}

// systemFlags are in the order of the bits of flags.
func systemFlags() [5]mailbox.Flag {
	return [5]mailbox.Flag{mailbox.Draft, mailbox.Flagged, mailbox.Answered, mailbox.Seen, mailbox.Deleted}
}

// decode is the reverse of encode. A letter that nobody gave a keyword is left out.
func (k *keywords) decode(f flags, rest *keywordSet) []mailbox.Flag {
	out := make([]mailbox.Flag, 0, 4)
	for i, flag := range systemFlags() {
		if f&(1<<i) != 0 {
			out = append(out, flag)
		}
	}
	for i, name := range k.letters {
		if name != "" && f&keywordFlag(i) != 0 {
			out = append(out, name)
		}
	}
	for _, name := range rest.list() {
		out = append(out, mailbox.Flag(name))
	}
	return out
}

// unnamed are the letters of f that have no keyword, and what else no IMAP flag stands for: a change of the flags leaves
// them as they are.
func (k *keywords) unnamed(f flags) flags {
	known := flags(flagDraft | flagFlagged | flagReplied | flagSeen | flagTrashed)
	for i, name := range k.letters {
		if name != "" {
			known |= keywordFlag(i)
		}
	}
	return f &^ known
}
