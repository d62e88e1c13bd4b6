package smtpd

import (
	"strings"
	"unicode"
)

// maxAsked is how many octets of a command an Outcome has.
const maxAsked = 100

// asked is the command under way, for the record of its refusal.
type asked struct {
	verb, arg string
	afterAuth bool // no command that is known has come since AUTH
}

// note notes a command. The verb is in upper case.
func (a *asked) note(verb, arg string) {
	a.verb, a.arg = verb, arg
	if isKnown(verb) {
		a.afterAuth = verb == "AUTH"
	}
}

// noteLine notes a line that is no command.
func (a *asked) noteLine(line []byte) {
	text := strings.TrimSpace(string(line[:min(len(line), 2*maxAsked)]))
	verb, arg, _ := strings.Cut(text, " ")
	a.note(strings.ToUpper(verb), arg)
}

// forget notes that what follows is about no command.
func (a *asked) forget() { a.verb, a.arg = "", "" }

// String is what a record may have of the command: printable, at most maxAsked octets, and nothing that may be a password. That
// is what follows AUTH, on its line or on further ones by a client that does not wait for replies, and what follows a verb of
// another protocol.
func (a *asked) String() string {
	switch {
	case a.verb == "AUTH":
		return a.verb
	case isKnown(a.verb):
		return cleaned(strings.TrimSpace(a.verb+" "+a.arg), maxAsked)
	case a.afterAuth:
		return ""
	}
	other := strings.IndexFunc(a.verb, func(r rune) bool { return r != '-' && (r < 'A' || r > 'Z') })
	if other < 0 {
		other = len(a.verb)
	}
	return a.verb[:min(other, maxAsked)]
}

// cleaned is text in printable characters, and no more of it than most octets.
func cleaned(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), most)], "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}
