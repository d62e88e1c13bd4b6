package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The file dovecot-uidlist of each folder says which UID a file has. It is Dovecot's, in its version 3, so that a tree
// can come from there and go back. The first line is
//
//	3 V<UIDVALIDITY> N<next UID> G<GUID of the mailbox>
//
// and each other one "<UID> [extensions] :<file name without flags>", UIDs ascending. New lines are appended (and synced
// before anyone hears of their UID), so N may be behind; lines of files that are gone stay until the file is written
// anew. Extensions are a letter and a value; Dovecot keeps those that it does not know. Ours are:
//
//	M  the modseq with which the message came
//	D  its date, in Unix seconds
//	L  the letters of the flags that it came with, if any
//
// and W, which is Dovecot's: the size with CRLF line ends, where the file's name does not have it or is wrong.
const uidlistFile = "dovecot-uidlist"

// maxListSize bounds what is read of an index file: enough for four million messages.
const maxListSize = 512 << 20

// errNewer refuses files of a later version.
var errNewer = errors.New("maildir: written by a newer version")

// uidlist is what is in a uidlist file.
type uidlist struct {
	validity uint32
	next     uint32 // larger than every UID in it
	guid     string
	lines    []uidLine
	// damaged says that something could not be read: the file must be written anew before anything is appended.
	damaged bool
}

// names has the file names of all lines in memory of their own, in one piece: those of the lines keep all that was read.
func (u *uidlist) names() []string {
	var all strings.Builder
	size := 0
	for i := range u.lines {
		size += len(u.lines[i].base)
	}
	all.Grow(size)
	for i := range u.lines {
		all.WriteString(u.lines[i].base)
	}
	rest, names := all.String(), make([]string, len(u.lines))
	for i := range u.lines {
		n := len(u.lines[i].base)
		names[i], rest = rest[:n], rest[n:]
	}
	return names
}

// uidLine is one message of it.
type uidLine struct {
	uid    uint32
	base   string
	modseq uint64 // 0: unknown
	date   int64  // noDate: unknown
	size   int64  // -1: unknown
	flags  flags  // valid if modseq is known
	other  string // extensions of others, each with a space behind it
}

const noDate = -1 << 63

// parseUIDList reads a uidlist. A file that is none gives an error; a bad or torn line is left out.
func parseUIDList(data []byte) (*uidlist, error) {
	text := string(data) // one string that all names are part of
	header, rest, ok := strings.Cut(text, "\n")
	if !ok {
		return nil, errors.New("maildir: uidlist without a first line")
	}
	list, named, err := parseUIDHeader(header)
	if err != nil {
		return nil, err
	}
	list.lines = make([]uidLine, 0, strings.Count(rest, "\n"))
	last := uint32(0)
	for rest != "" {
		line, after, ok := strings.Cut(rest, "\n")
		if !ok {
			list.damaged = true // torn in a power cut: nobody was told of it
			break
		}
		rest = after
		l, ok := parseUIDLine(line, named)
		if !ok || l.uid <= last {
			list.damaged = true
			continue
		}
		last = l.uid
		list.lines = append(list.lines, l)
	}
	if last == 1<<32-1 {
		return nil, errors.New("maildir: uidlist has no UID left")
	}
	list.next = max(list.next, last+1)
	return list, nil
}

// parseUIDHeader reads the first line; named says that file names have a colon in front.
func parseUIDHeader(line string) (list *uidlist, named bool, err error) {
	fields := strings.Fields(line)
	bad := fmt.Errorf("maildir: bad first line of uidlist: %.60q", line)
	if len(fields) < 2 {
		return nil, false, bad
	}
	version, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return nil, false, bad
	}
	list = &uidlist{next: 1}
	switch version {
	case 1: // "1 <UIDVALIDITY> <next UID>"
		if len(fields) != 3 {
			return nil, false, bad
		}
		fields = []string{"", "V" + fields[1], "N" + fields[2]}
	case 3:
		named = true
	default:
		return nil, false, fmt.Errorf("%w: uidlist of version %d", errNewer, version)
	}
	for _, f := range fields[1:] {
		n, err := strconv.ParseUint(f[1:], 10, 32)
		switch {
		case f[0] == 'V' && err == nil:
			list.validity = uint32(n)
		case f[0] == 'N' && err == nil:
			list.next = max(uint32(n), 1)
		case f[0] == 'G':
			list.guid = strings.Clone(f[1:])
		}
	}
	if list.validity == 0 {
		return nil, false, bad
	}
	return list, named, nil
}

func parseUIDLine(line string, named bool) (uidLine, bool) {
	l := uidLine{date: noDate, size: -1}
	digits, rest, ok := strings.Cut(line, " ")
	uid, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || uid == 0 {
		return l, false
	}
	l.uid = uint32(uid)
	if !named {
		l.base, _ = splitName(rest)
		return l, validBase(l.base)
	}
	for rest != "" && rest[0] != ':' {
		ext, after, ok := strings.Cut(rest, " ")
		if !ok || ext == "" {
			return l, false
		}
		rest = after
		l.extension(ext)
	}
	if rest == "" {
		return l, false
	}
	l.base, _ = splitName(rest[1:])
	return l, validBase(l.base)
}

// validBase keeps names that lead elsewhere from being opened or removed.
func validBase(base string) bool {
	return base != "" && base[0] != '.' && !strings.ContainsAny(base, "/\\\x00\n")
}

func (l *uidLine) extension(ext string) {
	value := ext[1:]
	switch ext[0] {
	case 'M':
		if n, err := strconv.ParseUint(value, 10, 63); err == nil {
			l.modseq = n
			return
		}
	case 'D':
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			l.date = n
			return
		}
	case 'L':
		l.flags = parseFlags(value)
		return
	case 'W':
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
			l.size = n
			return
		}
	}
	l.other += ext + " "
}

// appendTo writes the line.
func (l *uidLine) appendTo(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(l.uid), 10)
	b = append(b, ' ')
	if l.modseq != 0 {
		b = append(b, 'M')
		b = strconv.AppendUint(b, l.modseq, 10)
		b = append(b, ' ')
	}
	if l.date != noDate {
		b = append(b, 'D')
		b = strconv.AppendInt(b, l.date, 10)
		b = append(b, ' ')
	}
	if l.modseq != 0 && l.flags != 0 {
		b = append(b, 'L')
		b = append(b, l.flags.String()...)
		b = append(b, ' ')
	}
	if named, ok := nameSize(l.base, 'W'); l.size >= 0 && (!ok || named != l.size) {
		b = append(b, 'W')
		b = strconv.AppendInt(b, l.size, 10)
		b = append(b, ' ')
	}
	b = append(b, l.other...)
	b = append(b, ':')
	b = append(b, l.base...)
	return append(b, '\n')
}

// header writes the first line.
func (u *uidlist) header() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "3 V%d N%d", u.validity, u.next)
	if u.guid != "" {
		fmt.Fprintf(&b, " G%s", u.guid)
	}
	b.WriteByte('\n')
	return b.Bytes()
}
