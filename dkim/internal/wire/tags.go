package wire

import (
	"errors"
	"fmt"
	"strings"
)

// Tag is one tag=value of a tag-list.
type Tag struct {
	Name string
	// Value is without the white space around it; white space within it stands as it was, folds included.
	Value string
	// At is where Value begins in the list.
	At int

	begin, end int // of the value with the white space around it
}

// Tags is a tag-list (RFC 6376 §3.2).
type Tags []Tag

// TagError says where a list breaks the rules. It wraps ErrDuplicateTag or ErrTagSyntax.
type TagError struct {
	// Name is the tag's, as far as there is one.
	Name string
	// At is where in the list the tag begins.
	At int
	// Err says what is wrong.
	Err error
}

func (e *TagError) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong.
func (e *TagError) Unwrap() error { return e.Err }

// What a TagError wraps.
var (
	ErrDuplicateTag = errors.New("duplicate tag")
	ErrTagSyntax    = errors.New("malformed tag-list")
)

// MaxTags is how many tags a list may have; the standard knows 13 for a signature.
const MaxTags = 64

// ParseTags reads a tag-list strictly: a duplicate makes all of it invalid. UTF-8 is taken in values (RFC 8616 §5).
func ParseTags(list string) (Tags, error) {
	var tags Tags
	for pos := 0; pos <= len(list); {
		end := strings.IndexByte(list[pos:], ';')
		if end < 0 {
			end = len(list)
		} else {
			end += pos
		}
		spec := list[pos:end]
		if end == len(list) && len(tags) > 0 && trimFWS(spec) == "" {
			break // the semicolon that may end the list
		}
		tag, err := tags.next(spec)
		if err != nil {
			return nil, &TagError{Name: tag.Name, At: pos + len(spec) - len(strings.TrimLeft(spec, fws)), Err: err}
		}
		tag.begin, tag.end, tag.At = pos+tag.begin, end, pos+tag.At
		tags = append(tags, tag)
		pos = end + 1
	}
	return tags, nil
}

// next reads one tag; its places are those within spec.
func (t Tags) next(spec string) (Tag, error) {
	name, value, ok := strings.Cut(spec, "=")
	name = trimFWS(name)
	if !ok || !isTagName(name) {
		return Tag{}, fmt.Errorf("%w: %.40q is no tag", ErrTagSyntax, spec)
	}
	begin := len(spec) - len(value)
	at := len(spec) - len(strings.TrimLeft(value, fws))
	tag := Tag{Name: name, Value: trimFWS(value), At: at, begin: begin}
	if _, seen := t.Get(name); seen {
		return tag, fmt.Errorf("%w %.40s=", ErrDuplicateTag, name)
	}
	if len(t) == MaxTags {
		return tag, fmt.Errorf("%w: more than %d tags", ErrTagSyntax, MaxTags)
	}
	if !isTagValue(tag.Value) {
		return tag, fmt.Errorf("%w: the value of %.40s= holds control characters", ErrTagSyntax, name)
	}
	return tag, nil
}

// Get is the value of a tag and whether there is one: an empty value is not an absent one (RFC 6376 §3.2).
func (t Tags) Get(name string) (string, bool) {
	for _, tag := range t {
		if tag.Name == name {
			return tag.Value, true
		}
	}
	return "", false
}

// Without is the list from which t was parsed with the value of one tag deleted, including all surrounding white space
// (RFC 6376 §3.7). Only that tag is touched, whatever other values look like.
func (t Tags) Without(list, name string) string {
	for _, tag := range t {
		if tag.Name == name {
			return list[:tag.begin] + list[tag.end:]
		}
	}
	return list
}

// StripFWS removes all white space, as base64 and lists ask for.
func StripFWS(s string) string {
	if !strings.ContainsAny(s, fws) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

// SplitList cuts a colon-separated list into its items, without white space around them.
func SplitList(s string) []string {
	items := strings.Split(s, ":")
	for i := range items {
		items[i] = trimFWS(items[i])
	}
	return items
}

// fws is what white space is made of (RFC 6376 §2.8).
const fws = " \t\r\n"

func trimFWS(s string) string { return strings.Trim(s, fws) }

func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

func isTagValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == 0x7f || c < ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}
