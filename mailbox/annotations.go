package mailbox

import (
	"bytes"
	"fmt"
	"strings"
)

// Annotation is a value that belongs to a mailbox or an account.
type Annotation struct {
	// Entry is its name in lower case, such as "/private/comment" (RFC 5464 §3.2).
	Entry string
	// Value is any sequence of octets; nil: none.
	Value []byte
}

// Limits of annotations. Stores may have wider ones, not narrower ones.
const (
	// MaxAnnotation is the longest value in octets.
	MaxAnnotation = 64 << 10
	// MaxAnnotations is how many a mailbox or an account may have.
	MaxAnnotations = 100
	// MaxEntry is the longest name of an annotation in octets.
	MaxEntry = 255
)

// CleanEntry gives the form of an annotation's name that stores use: in lower case. It fails with [ErrAnnotation] for one
// that RFC 5464 §3.2 does not allow: it does not begin with "/private/" or "/shared/", ends with a slash or has two in a row,
// holds "*", "%", control characters or octets above 127, or is longer than [MaxEntry].
func CleanEntry(entry string) (string, error) {
	clean := strings.ToLower(entry)
	if len(entry) > MaxEntry || !strings.HasPrefix(clean, "/private/") && !strings.HasPrefix(clean, "/shared/") ||
		strings.HasSuffix(clean, "/") || strings.Contains(clean, "//") {
		return "", fmt.Errorf("%w: name %.100q", ErrAnnotation, entry)
	}
	for i := range len(entry) {
		if c := entry[i]; c < ' ' || c >= 0x7f || c == '*' || c == '%' {
			return "", fmt.Errorf("%w: name %.100q", ErrAnnotation, entry)
		}
	}
	return clean, nil
}

// ChangeAnnotations makes the changes of an [Annotator] in what a mailbox or the account has, by the names that CleanEntry gives,
// within the limits above. It fails with [ErrAnnotation], and then may have made some of them: the caller keeps values only
// where there is no error. What the changes hold is copied.
func ChangeAnnotations(values map[string][]byte, changes []Annotation) error {
	for _, c := range changes {
		entry, err := CleanEntry(c.Entry)
		if err != nil {
			return err
		}
		if len(c.Value) > MaxAnnotation {
			return fmt.Errorf("%w: %.100q is longer than %d octets", ErrAnnotation, entry, MaxAnnotation)
		}
		if c.Value == nil {
			delete(values, entry)
		} else {
			values[entry] = bytes.Clone(c.Value)
		}
	}
	if len(values) > MaxAnnotations {
		return fmt.Errorf("%w: more than %d", ErrAnnotation, MaxAnnotations)
	}
	return nil
}
