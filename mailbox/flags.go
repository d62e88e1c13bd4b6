package mailbox

import (
	"fmt"
	"slices"
	"strings"
)

// Flag is a system flag such as `\Seen` or a keyword (RFC 3501 §2.3.2). Case does not matter; stores keep the form in
// which a keyword first came.
type Flag string

// The system flags of RFC 3501 that a store keeps.
const (
	Seen     Flag = `\Seen`
	Answered Flag = `\Answered`
	Flagged  Flag = `\Flagged`
	Deleted  Flag = `\Deleted`
	Draft    Flag = `\Draft`
)

// Is says whether f and other are the same flag.
func (f Flag) Is(other Flag) bool { return strings.EqualFold(string(f), string(other)) }

// System says whether f is a system flag rather than a keyword.
func (f Flag) System() bool { return strings.HasPrefix(string(f), `\`) }

// HasFlag says whether f is among flags.
func HasFlag(flags []Flag, f Flag) bool { return slices.ContainsFunc(flags, f.Is) }

// FlagOp says what becomes of flags.
type FlagOp int

// What SetFlags does with the flags that a message has.
const (
	// ReplaceFlags takes all off and puts the given ones on.
	ReplaceFlags FlagOp = iota
	// AddFlags puts the given ones on.
	AddFlags
	// RemoveFlags takes the given ones off.
	RemoveFlags
)

// FlagChange is what SetFlags does.
type FlagChange struct {
	// Op is what becomes of the flags that a message has. Beware that its zero value replaces them.
	Op    FlagOp
	Flags []Flag
	// UnchangedSince, when not 0, leaves alone messages with a larger modseq (RFC 7162 §3.1.3). The store looks at the modseq
	// and changes the flags in one step. Refused says of which messages that was so.
	UnchangedSince ModSeq
}

// Refused says whether SetFlags has left a message alone because of UnchangedSince, by what it told of the message. One that
// has the flags as the change wants them, whoever set them, is not refused.
func (c FlagChange) Refused(m Meta) bool {
	return c.UnchangedSince != 0 && m.ModSeq > c.UnchangedSince && !sameFlags(c.Apply(m.Flags), m.Flags)
}

// sameFlags compares sets without doubles.
func sameFlags(a, b []Flag) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(f Flag) bool { return !HasFlag(b, f) })
}

// Apply gives the flags that a message with these flags has after the change; it does not change its argument. The
// result has no flag twice.
func (c FlagChange) Apply(flags []Flag) []Flag {
	var out []Flag
	add := func(fs []Flag) {
		for _, f := range fs {
			if !HasFlag(out, f) {
				out = append(out, f)
			}
		}
	}
	switch c.Op {
	case ReplaceFlags:
		add(c.Flags)
	case AddFlags:
		add(flags)
		add(c.Flags)
	case RemoveFlags:
		for _, f := range flags {
			if !HasFlag(c.Flags, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

// MaxKeyword is the longest keyword that CleanFlags lets through, in octets.
const MaxKeyword = 255

// CleanFlags gives flags as stores keep them: none twice, system flags written as in the constants above. It fails with
// [ErrFlags] for a system flag that is not one of them and for a keyword that is no atom (RFC 3501 §9, flag-keyword) or
// is longer than [MaxKeyword].
func CleanFlags(flags []Flag) ([]Flag, error) {
	out := make([]Flag, 0, len(flags))
	for _, f := range flags {
		if f.System() {
			i := slices.IndexFunc(systemFlags(), f.Is)
			if i < 0 {
				return nil, fmt.Errorf("%w: %.40q", ErrFlags, string(f))
			}
			f = systemFlags()[i]
		} else if !isAtom(string(f)) || len(f) > MaxKeyword {
			return nil, fmt.Errorf("%w: %.40q", ErrFlags, string(f))
		}
		if !HasFlag(out, f) {
			out = append(out, f)
		}
	}
	return out, nil
}

func systemFlags() []Flag { return []Flag{Answered, Flagged, Deleted, Seen, Draft} }

func isAtom(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`(){%*"\]`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
