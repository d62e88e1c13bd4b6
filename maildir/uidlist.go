package maildir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
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
//	A  when it was put into this mailbox, in Unix seconds, where that is not its date (RFC 8514)
//
// and W, which is Dovecot's: the size with CRLF line ends, where the file's name does not have it or is wrong. In the first
// line M is a modseq that was used, so that the next one is larger even if the index is lost.
const uidlistFile = "dovecot-uidlist"

// maxListSize bounds what is read of an index file: enough for four million messages.
const maxListSize = 512 << 20

// maxLine bounds a line of it.
const maxLine = 64 << 10

// errNewer refuses files of a later version.
var errNewer = errors.New("maildir: written by a newer version")

// errNoList refuses what is no uidlist.
var errNoList = errors.New("maildir: not a uidlist")

// maxModSeq is the largest modseq that is believed. Above lastModSeq, where only damage leads, a mailbox gets another UIDVALIDITY
// and begins anew: whatever is given until then is believed when it is read again.
const (
	maxModSeq  = 1 << 54
	lastModSeq = 1 << 53
)

// uidlist is what is in a uidlist file.
type uidlist struct {
	validity uint32
	next     uint32 // larger than every UID in it
	guid     string
	modseq   uint64 // in the first line; 0: none
	other    string // what others have in the first line, each with a space in front
	lines    []uidLine
	// damaged says that something could not be read: the file must be written anew before anything is appended.
	damaged bool
	// broken says that whole lines are damaged, which may have been read before.
	broken bool
}

// uidLine is one message of it.
type uidLine struct {
	uid    uint32
	base   string
	modseq uint64 // 0: unknown
	date   int64  // noDate: unknown
	saved  uint32 // 0: as date
	size   int64  // -1: unknown
	flags  flags  // valid if modseq is known
	other  string // extensions of others, each with a space behind it
}

const noDate = -1 << 63

// uidReader reads a uidlist line by line. A file that is none gives an error; a bad or torn line is left out.
type uidReader struct {
	list  *uidlist
	in    *bufio.Reader
	named bool // file names have a colon in front
	names nameArena
	last  uint32
	bad   uint32 // lines behind it that cannot be read: each may have been that of a UID that somebody was told
	end   bool
	err   error
}

func newUIDReader(r io.Reader) (*uidReader, error) {
	u := &uidReader{in: bufio.NewReaderSize(r, maxLine)}
	header, err := u.in.ReadSlice('\n')
	if err == io.EOF || err == bufio.ErrBufferFull {
		return nil, fmt.Errorf("%w: without a first line", errNoList)
	}
	if err != nil {
		return nil, err
	}
	if u.list, u.named, err = parseUIDHeader(string(header[:len(header)-1])); err != nil {
		return nil, err
	}
	return u, nil
}

// next reads the next message.
func (u *uidReader) next(l *uidLine) bool {
	for !u.end {
		line, err := u.in.ReadSlice('\n')
		if err != nil {
			u.skip(line, err)
			continue
		}
		if !u.parse(line[:len(line)-1], l) || l.uid <= u.last {
			u.list.damaged, u.list.broken = true, true
			u.bad++
			continue
		}
		u.last, u.bad = l.uid, 0
		return true
	}
	return false
}

// skip deals with what is no line: the end, one that is torn (in a power cut: nobody was told of it), or one too long.
func (u *uidReader) skip(line []byte, err error) {
	for err == bufio.ErrBufferFull {
		line, err = u.in.ReadSlice('\n')
		u.list.damaged, u.list.broken = true, true
	}
	if err == nil {
		return
	}
	u.end = true
	if err != io.EOF {
		u.err = err
	} else if len(line) > 0 {
		u.list.damaged = true
	}
}

// finish gives what the list says of itself, once all lines are read.
func (u *uidReader) finish() (*uidlist, error) {
	if u.err != nil {
		return nil, u.err
	}
	next := uint64(u.last) + 1 + uint64(u.bad)
	if next > math.MaxUint32 {
		return nil, errNoUID
	}
	u.list.next = max(u.list.next, uint32(next))
	return u.list, nil
}

// parseUIDList reads a uidlist that is in memory.
func parseUIDList(data []byte) (*uidlist, error) {
	u, err := newUIDReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var l uidLine
	for u.next(&l) {
		u.list.lines = append(u.list.lines, l)
	}
	return u.finish()
}

// parseUIDHeader reads the first line; named says that file names have a colon in front.
func parseUIDHeader(line string) (list *uidlist, named bool, err error) {
	fields := strings.Fields(line)
	bad := fmt.Errorf("%w: bad first line %.60q", errNoList, line)
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
		n, err := strconv.ParseUint(f[1:], 10, 63)
		switch {
		case f[0] == 'V' && err == nil && n <= math.MaxUint32:
			list.validity = uint32(n)
		case f[0] == 'N' && err == nil && n <= math.MaxUint32:
			list.next = max(uint32(n), 1)
		case f[0] == 'G':
			list.guid = f[1:]
		case f[0] == 'M' && err == nil && n <= maxModSeq:
			list.modseq = n
		case !strings.ContainsRune("VNM", rune(f[0])):
			list.other += " " + f
		}
	}
	if list.validity == 0 {
		return nil, false, bad
	}
	return list, named, nil
}

// parse reads one line.
func (u *uidReader) parse(line []byte, l *uidLine) bool {
	*l = uidLine{date: noDate, size: -1}
	digits, rest, ok := bytes.Cut(line, []byte(" "))
	uid, valid := parseNumber(digits, math.MaxUint32)
	if !ok || !valid || uid == 0 {
		return false
	}
	l.uid = uint32(uid)
	if u.named {
		for len(rest) > 0 && rest[0] != ':' {
			at := bytes.IndexByte(rest, ' ')
			if at <= 0 {
				return false
			}
			l.extension(rest[:at])
			rest = rest[at+1:]
		}
		if len(rest) == 0 {
			return false
		}
		rest = rest[1:]
	}
	rest = bytes.TrimSuffix(rest, []byte("\r")) // somebody has edited the file
	if at := infoIndex(rest); at > 0 {
		rest = rest[:at]
	}
	if !validBase(rest) {
		return false
	}
	l.base = u.names.keep(rest)
	return true
}

// parseNumber reads a decimal number that is at most limit.
func parseNumber(digits []byte, limit uint64) (uint64, bool) {
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= limit
}

// validBase keeps names that lead elsewhere from being opened or removed.
func validBase[T string | []byte](base T) bool {
	if len(base) == 0 || base[0] == '.' {
		return false
	}
	for i := range len(base) {
		if c := base[i]; c == '/' || c == '\\' || c == 0 || c == '\n' {
			return false
		}
	}
	return true
}

func (l *uidLine) extension(ext []byte) {
	value := ext[1:]
	switch ext[0] {
	case 'M':
		if n, ok := parseNumber(value, lastModSeq); ok {
			l.modseq = n
		}
		return
	case 'D':
		digits, negative := bytes.CutPrefix(value, []byte("-"))
		if n, ok := parseNumber(digits, math.MaxInt64); ok {
			l.date = int64(n)
			if negative {
				l.date = -l.date
			}
			return
		}
	case 'A':
		if n, ok := parseNumber(value, math.MaxUint32); ok {
			l.saved = uint32(n)
			return
		}
	case 'L':
		l.flags = parseFlags(string(value))
		return
	case 'W':
		if n, ok := parseNumber(value, maxSize); ok {
			l.size = int64(n)
			return
		}
	}
	l.other += string(ext) + " "
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
	if l.saved != 0 {
		b = append(b, 'A')
		b = strconv.AppendUint(b, uint64(l.saved), 10)
		b = append(b, ' ')
	}
	if l.modseq != 0 && l.flags != 0 {
		b = append(b, 'L')
		b = l.flags.appendTo(b)
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
	b := fmt.Appendf(nil, "3 V%d N%d", u.validity, u.next)
	if u.guid != "" {
		b = fmt.Appendf(b, " G%s", u.guid)
	}
	if u.modseq != 0 {
		b = fmt.Appendf(b, " M%d", u.modseq)
	}
	b = append(b, u.other...)
	return append(b, '\n')
}
