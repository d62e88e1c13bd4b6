package maildir

import (
	"errors"
	"fmt"
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
//
// An "x" is what removes a message: if its file is still there after a power cut, and no "d" says that it was gone, it is
// removed then. (One that someone puts there later, from a backup, is a new message.) Without the file
// all messages have the modseq of the time of its loss (in microseconds, which is more than any modseq before), so that
// clients look at all of them again.
const indexFile = "mailbricks-index"

const indexVersion = 1

// maxRangeSize bounds what a damaged index can make of one line.
const maxRangeSize = 1 << 20

// index is what is in an index file.
type index struct {
	validity uint32
	base     uint64
	modseq   uint64 // the largest in it
	recent   uint32
	flags    map[uint32]indexFlags
	expunged []expunged      // modseqs ascending
	doomed   map[uint32]bool // those whose files may still be there
	lines    int
	damaged  bool // see uidlist
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

// parseIndex reads an index. A file that is none gives an error; reading ends at the first line that is damaged, since
// those behind it may rest on it.
func parseIndex(data []byte) (*index, error) {
	header, rest, ok := strings.Cut(string(data), "\n")
	fields := strings.Fields(header)
	if !ok || len(fields) < 2 || fields[0] != indexFile {
		return nil, errors.New("maildir: not an index")
	}
	if fields[1] != strconv.Itoa(indexVersion) {
		return nil, fmt.Errorf("%w: index of version %.20q", errNewer, fields[1])
	}
	if len(fields) != 4 || fields[2][0] != 'V' || fields[3][0] != 'B' {
		return nil, errors.New("maildir: bad first line of index")
	}
	validity, err := strconv.ParseUint(fields[2][1:], 10, 32)
	base, err2 := strconv.ParseUint(fields[3][1:], 10, 63)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("maildir: bad first line of index: %w", err)
	}
	x := &index{validity: uint32(validity), base: base, modseq: base, flags: map[uint32]indexFlags{}, doomed: map[uint32]bool{}}
	for rest != "" {
		line, after, ok := strings.Cut(rest, "\n")
		if !ok || !x.parseLine(line) {
			x.damaged = true
			break
		}
		rest = after
		x.lines++
	}
	return x, nil
}

func (x *index) parseLine(line string) bool {
	fields := strings.Fields(line)
	if line == "d" {
		clear(x.doomed)
		return true
	}
	if len(fields) < 2 {
		return false
	}
	switch {
	case fields[0] == "f" && len(fields) >= 4:
		uid, err := strconv.ParseUint(fields[1], 10, 32)
		seq, err2 := strconv.ParseUint(fields[2], 10, 63)
		if err != nil || err2 != nil {
			return false
		}
		f := indexFlags{modseq: seq, flags: parseFlags(fields[3])}
		for _, kw := range fields[4:] {
			f.keywords = append(f.keywords, strings.Clone(kw))
		}
		x.flags[uint32(uid)] = f
		x.modseq = max(x.modseq, seq)
	case (fields[0] == "x" || fields[0] == "v") && len(fields) == 3:
		seq, err := strconv.ParseUint(fields[1], 10, 63)
		if err != nil {
			return false
		}
		x.modseq = max(x.modseq, seq)
		return x.parseRanges(seq, fields[2], fields[0] == "x")
	case fields[0] == "r":
		uid, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			return false
		}
		x.recent = max(x.recent, uint32(uid))
	case fields[0] == "m":
		seq, err := strconv.ParseUint(fields[1], 10, 63)
		if err != nil {
			return false
		}
		x.modseq = max(x.modseq, seq)
	default:
		return false
	}
	return true
}

func (x *index) parseRanges(seq uint64, ranges string, doomed bool) bool {
	for r := range strings.SplitSeq(ranges, ",") {
		from, to, isRange := strings.Cut(r, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 32)
		last, err2 := strconv.ParseUint(to, 10, 32)
		if err != nil || err2 != nil || last < first || last-first > maxRangeSize {
			return false
		}
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
	letters := f.String()
	if letters == "" {
		letters = "-"
	}
	b = fmt.Appendf(b, "f %d %d %s", uid, seq, letters)
	for _, kw := range keywords {
		b = append(b, ' ')
		b = append(b, kw...)
	}
	return append(b, '\n')
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
