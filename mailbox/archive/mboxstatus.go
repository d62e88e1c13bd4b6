package archive

import (
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// mboxFields are header fields that belong to the file rather than to the message, in lower case.
func mboxFields() [10]string {
	return [...]string{"status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase", "content-length",
		"x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys"}
}

// mboxField gives the lower-case name if a header line begins a field that belongs to the file.
func mboxField(line []byte) string {
	for _, name := range mboxFields() {
		if len(line) > len(name) && strings.EqualFold(string(line[:len(name)]), name) {
			rest := strings.TrimLeft(string(line[len(name):min(len(line), len(name)+8)]), " \t")
			if strings.HasPrefix(rest, ":") {
				return name
			}
		}
	}
	return ""
}

// statusLetter is a letter of the fields Status and X-Status, and the flag that it stands for.
type statusLetter struct {
	letter byte
	flag   mailbox.Flag
}

func xStatusLetters() [4]statusLetter {
	return [...]statusLetter{{'A', mailbox.Answered}, {'F', mailbox.Flagged}, {'T', mailbox.Draft}, {'D', mailbox.Deleted}}
}

// mozillaFlag is a bit of Thunderbird's field X-Mozilla-Status, and the flag that it stands for. A message that was deleted
// there is in the file until it is compacted.
type mozillaFlag struct {
	bit  uint64
	flag mailbox.Flag
}

func mozillaFlags() [5]mozillaFlag {
	return [...]mozillaFlag{{0x1, mailbox.Seen}, {0x2, mailbox.Answered}, {0x4, mailbox.Flagged}, {0x8, mailbox.Deleted}, {0x1000, "$Forwarded"}}
}

// foldKeywords is where a line of keywords is broken.
const foldKeywords = 800

// statusFields are the fields that keep flags, with LF behind each line.
func statusFields(flags []mailbox.Flag) string {
	var b strings.Builder
	if mailbox.HasFlag(flags, mailbox.Seen) {
		b.WriteString("Status: RO\n")
	} else {
		b.WriteString("Status: O\n")
	}
	letters := ""
	for _, x := range xStatusLetters() {
		if mailbox.HasFlag(flags, x.flag) {
			letters += string(x.letter)
		}
	}
	if letters != "" {
		b.WriteString("X-Status: " + letters + "\n")
	}
	line := ""
	for _, f := range flags {
		if f.System() {
			continue
		}
		if len(line)+len(f) > foldKeywords {
			b.WriteString(line + "\n")
			line = ""
		} else if line == "" {
			line = "X-Keywords:"
		}
		line += " " + string(f)
	}
	if line != "" {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// statusFlags adds to flags what a field of a message says.
func statusFlags(flags []mailbox.Flag, name, value string) []mailbox.Flag {
	add := func(f mailbox.Flag) {
		if clean, err := mailbox.CleanFlags([]mailbox.Flag{f}); err == nil && !mailbox.HasFlag(flags, f) {
			flags = append(flags, clean...)
		}
	}
	switch name {
	case "status":
		if strings.Contains(value, "R") {
			add(mailbox.Seen)
		}
	case "x-status":
		for _, x := range xStatusLetters() {
			if strings.IndexByte(value, x.letter) >= 0 {
				add(x.flag)
			}
		}
	case "x-mozilla-status":
		bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 32)
		for _, m := range mozillaFlags() {
			if err == nil && bits&m.bit != 0 {
				add(m.flag)
			}
		}
	case "x-keywords", "x-mozilla-keys":
		for word := range strings.FieldsSeq(value) {
			if f := mailbox.Flag(word); !f.System() {
				add(f)
			}
		}
	}
	return flags
}
