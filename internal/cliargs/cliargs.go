// Package cliargs lets command lines be written as for Go's package flag, with one dash or two in front of an option,
// while a parser reads them that knows long options with two dashes only.
package cliargs

import (
	"slices"
	"strings"
)

// Long gives args with two dashes in front of every option, up to an argument "--". A dash with a single letter is left
// alone, as it is an option of its own kind, unless takesValue knows the letter.
//
// takesValue says whether an option, given without dashes, has a value. Where that is not joined with "=" it is the
// next argument, whatever that looks like, and is joined here. nil: nothing is joined.
func Long(args []string, takesValue func(name string) bool) []string {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
		if name == arg || name == "" {
			out = append(out, arg)
			continue
		}
		valued := takesValue != nil && takesValue(name)
		if valued && i+1 < len(args) {
			i++
			out = append(out, "--"+name+"="+args[i])
			continue
		}
		before, _, _ := strings.Cut(name, "=")
		if len(name) > 1 || valued || takesValue != nil && takesValue(before) {
			arg = "--" + name
		}
		out = append(out, arg)
	}
	return out
}

// Unknown gives the first option of args up to an argument "--" whose name, without dashes, is not known; empty: none.
// A parser that is not told would take for a value what follows, or complain of that. Values must be joined, as by [Long].
func Unknown(args []string, known func(name string) bool) string {
	for _, arg := range args {
		if arg == "--" {
			break
		}
		option, _, _ := strings.Cut(arg, "=")
		if name := strings.TrimPrefix(strings.TrimPrefix(option, "-"), "-"); name != option && name != "" && !known(name) {
			return option
		}
	}
	return ""
}

// OptionsLast gives args with the options, in their order, behind all others but still in front of an argument "--". It
// is for parsers that know an option only behind the command to which it belongs; values must be joined, as by [Long].
func OptionsLast(args []string) []string {
	var words, options []string
	for i, arg := range args {
		if arg == "--" {
			return slices.Concat(words, options, args[i:])
		}
		if len(arg) > 1 && arg[0] == '-' {
			options = append(options, arg)
		} else {
			words = append(words, arg)
		}
	}
	return append(words, options...)
}
