package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The file mailbricks-index of each folder has what a Maildir has no place for: modseqs, keywords beyond the 26 that have
// a letter, and which messages went when. It is a log of lines, each appended and synced before anyone hears of it:
//
//	mailbricks-index 1 V<UIDVALIDITY> B<modseq>      nothing from before B is known
//	f <UID> <modseq> <letters or -> [keyword…]       the flags of a message now; the keywords are those without a letter
//	x <modseq> <UID>[-<UID>],…                       messages that were expunged
//	v <modseq> <UID>[-<UID>],…                       messages whose files are gone
//	d                                                so are the files of all before
//	r <UID>                                          messages before UID are no longer recent
//	m <modseq>                                       this modseq was used
//	s <cur> <new> <count> <octets> <time>            all is as the files say; see scanMark
//
// An "x" is what removes a message: if its file is still there after a power cut, and no "d" says that it was gone, it is
// removed then. (One that someone puts there later, from a backup, is a new message.) Without the file
// all messages have the modseq of the time of its loss (in microseconds, which is more than any modseq before), so that
// clients look at all of them again. (If the clock was set back since, M in the first line of the uidlist and in its other
// lines is what the new modseqs are far above; likewise where a line is damaged, since those behind it are not believed.) An
// "s" counts only as the last line, but for its octets: the uidlist is no shorter, unless another program has written it anew.
// Version 1 had none; such a file is written anew.
const indexFile = "mailbricks-index"

const indexVersion = 2

// maxRangeSize bounds what is read of one range, maxGone how many messages that went are read of a file: as many as a uidlist
// has. What says more is damaged.
const (
	maxRangeSize = 1 << 20
	maxGone      = 1 << 22
)

// index is what is in an index file.
type index struct {
	validity uint32
	base     uint64
	modseq   uint64 // the largest in it
	recent   uint32
	flags    map[uint32]indexFlags
	expunged []expunged      // modseqs ascending
	doomed   map[uint32]bool // those whose files may still be there
	mark     *scanMark       // nil: the last line is none
	listed   int64           // the uidlist had this length and has only become longer since
	lines    int
	largest  uint32 // the largest UID in it
	damaged  bool   // see uidlist
	broken   bool   // a whole line is damaged: those behind it, which are left out, may have been read before
	old      bool   // of an earlier version
}

type indexFlags struct {
	modseq   uint64
	flags    flags
	keywords []string
}

type expunged struct {
	modseq uint64
	uid    uint32
}

// scanMark says that all files were looked at and were as the uidlist and the index say, which were on disk: when the
// folders cur and new and the uidlist had these times (in nanoseconds) and that length. Who finds them so again need not
// look. Files in new are not told from those in cur by the two files; that there were none is noted, since then nothing but
// arrivals can have changed new.
type scanMark struct {
	cur, fresh int64
	inNew      int
	listSize   int64
	listTime   int64
}

// parseIndex reads an index. A file that is none gives an error; reading ends at the first line that is damaged, since
// those behind it may rest on it.
func parseIndex(data []byte) (*index, error) {
	header, rest, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return nil, errNoIndex
	}
	x, err := parseIndexHeader(string(header))
	if err != nil {
		return nil, err
	}
	x.modseq, x.flags, x.doomed = x.base, map[uint32]indexFlags{}, map[uint32]bool{}
	for len(rest) > 0 {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		x.mark = nil
		if !ok || !x.parseLine(line) {
			x.damaged, x.broken = true, ok
			break
		}
		rest = after
		x.lines++
	}
	return x, nil
}

// errNoIndex refuses what is no index.
var errNoIndex = errors.New("maildir: not an index")

// parseIndexHeader reads the first line.
func parseIndexHeader(line string) (*index, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != indexFile {
		return nil, errNoIndex
	}
	version, err := strconv.Atoi(fields[1])
	if err != nil || version < 1 || version > indexVersion {
		return nil, fmt.Errorf("%w: index of version %.20q", errNewer, fields[1])
	}
	if len(fields) != 4 || fields[2][0] != 'V' || fields[3][0] != 'B' {
		return nil, fmt.Errorf("%w: bad first line", errNoIndex)
	}
	validity, ok := parseNumber([]byte(fields[2][1:]), math.MaxUint32)
	base, ok2 := parseNumber([]byte(fields[3][1:]), maxModSeq)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%w: bad first line", errNoIndex)
	}
	return &index{validity: uint32(validity), base: base, old: version < indexVersion}, nil
}

// cutField gives what is in front of the first space, and what is behind.
func cutField(line []byte) (field, rest []byte) {
	field, rest, _ = bytes.Cut(line, []byte(" "))
	return field, rest
}

// cutNumbers reads so many numbers off the front of a line.
func cutNumbers(line []byte, into ...*uint64) (rest []byte, ok bool) {
	for _, n := range into {
		var field []byte
		field, line = cutField(line)
		if *n, ok = parseNumber(field, math.MaxInt64); !ok {
			return nil, false
		}
	}
	return line, true
}

func (x *index) parseLine(line []byte) bool {
	if len(line) == 1 && line[0] == 'd' {
		clear(x.doomed)
		return true
	}
	if len(line) < 2 || line[1] != ' ' {
		return false
	}
	kind, line := line[0], line[2:]
	var a, b uint64
	switch kind {
	case 'f':
		rest, ok := cutNumbers(line, &a, &b)
		if !ok || a > math.MaxUint32 || len(rest) == 0 {
			return false
		}
		letters, rest := cutField(rest)
		f := indexFlags{modseq: b, flags: parseFlags(string(letters))}
		for len(rest) > 0 {
			var name []byte
			if name, rest = cutField(rest); len(name) > 0 {
				f.keywords = append(f.keywords, string(name))
			}
		}
		x.flags[uint32(a)] = f
		return x.used(b, uint32(a))
	case 'x', 'v':
		rest, ok := cutNumbers(line, &a)
		if !ok {
			return false
		}
		return x.used(a, 0) && x.parseRanges(a, rest, kind == 'x')
	case 'r':
		rest, ok := cutNumbers(line, &a)
		if !ok || len(rest) > 0 || a > math.MaxUint32 {
			return false
		}
		x.recent = max(x.recent, uint32(a))
	case 'm':
		rest, ok := cutNumbers(line, &a)
		if !ok || len(rest) > 0 {
			return false
		}
		return x.used(a, 0)
	case 's':
		var count, size, time uint64
		rest, ok := cutNumbers(line, &a, &b, &count, &size, &time)
		if !ok || len(rest) > 0 || count > math.MaxUint32 {
			return false
		}
		x.listed = max(x.listed, int64(size))
		x.mark = &scanMark{cur: int64(a), fresh: int64(b), inNew: int(count), listSize: int64(size), listTime: int64(time)}
	default:
		return false
	}
	return true
}

// used notes that a modseq and a UID were given. It says no to a modseq that cannot be.
func (x *index) used(seq uint64, uid uint32) bool {
	if seq > maxModSeq {
		return false
	}
	x.modseq, x.largest = max(x.modseq, seq), max(x.largest, uid)
	return true
}

func (x *index) parseRanges(seq uint64, ranges []byte, doomed bool) bool {
	for more := true; more; {
		var r []byte
		r, ranges, more = bytes.Cut(ranges, []byte(","))
		from, to, isRange := bytes.Cut(r, []byte("-"))
		if !isRange {
			to = from
		}
		first, ok := parseNumber(from, math.MaxUint32)
		last, ok2 := parseNumber(to, math.MaxUint32)
		if !ok || !ok2 || last < first || last-first > maxRangeSize || uint64(len(x.expunged))+last-first >= maxGone {
			return false
		}
		x.used(seq, uint32(last))
		for uid := first; uid <= last; uid++ {
			x.expunged = append(x.expunged, expunged{seq, uint32(uid)})
			delete(x.flags, uint32(uid))
			if doomed {
				x.doomed[uint32(uid)] = true
			}
		}
	}
	return true
}

func appendIndexHeader(b []byte, validity uint32, base uint64) []byte {
	return fmt.Appendf(b, "%s %d V%d B%d\n", indexFile, indexVersion, validity, base)
}

func appendFlagsLine(b []byte, uid uint32, seq uint64, f flags, keywords []string) []byte {
	b = append(b, "f "...)
	b = strconv.AppendUint(b, uint64(uid), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, ' ')
	if f == 0 {
		b = append(b, '-')
	}
	b = f.appendTo(b)
	for _, kw := range keywords {
		b = append(b, ' ')
		b = append(b, kw...)
	}
	return append(b, '\n')
}

// line writes an "s".
func (m *scanMark) line() string {
	return fmt.Sprintf("s %d %d %d %d %d\n", m.cur, m.fresh, m.inNew, m.listSize, m.listTime)
}

// appendExpungeLine writes one "x" or "v" for UIDs in ascending order.
func appendExpungeLine(b []byte, kind byte, seq uint64, uids []uint32) []byte {
	b = fmt.Appendf(b, "%c %d ", kind, seq)
	for i := 0; i < len(uids); {
		first := uids[i]
		last := first
		for i++; i < len(uids) && uids[i] == last+1 && last-first < maxRangeSize; i++ {
			last = uids[i]
		}
		b = strconv.AppendUint(b, uint64(first), 10)
		if last > first {
			b = append(b, '-')
			b = strconv.AppendUint(b, uint64(last), 10)
		}
		if i < len(uids) {
			b = append(b, ',')
		}
	}
	return append(b, '\n')
}

// appendNumberLine writes an "r" or "m".
func appendNumberLine(b []byte, kind byte, n uint64) []byte {
	return fmt.Appendf(b, "%c %d\n", kind, n)
}
