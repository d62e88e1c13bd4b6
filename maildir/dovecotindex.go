package maildir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Dovecot (2.3) has letters for 26 keywords of a folder. Those beyond it keeps only in its own index: dovecot.index has a
// bit for each keyword in the record of each message, and dovecot.index.log what was changed since that was last written.
// A log that has grown is renamed to dovecot.index.log.2. This file and dovecotlog.go read them, without any of Dovecot's
// code, as far as keywords go.
const (
	dovecotIndexFile   = "dovecot.index"
	dovecotOldLogFile  = "dovecot.index.log.2"
	dovecotIndexMajor  = 7
	dovecotHeaderMin   = 120
	dovecotRecordMin   = 5 // UID and flags
	dovecotExtHeader   = 16
	dovecotKeywordsExt = "keywords"

	dovecotLittleEndian = 1 // of the compatibility flags
	dovecotCorrupted    = 1 // of the flags of the index
)

// The limits on what is read of Dovecot's. Nothing that Dovecot writes comes near them.
const (
	maxDovecotHeader  = 4 << 20
	maxDovecotRecord  = 1 << 14
	maxDovecotLog     = 256 << 20
	maxDovecotNames   = 10 * maxKeywords // names, used or not
	maxDovecotChanges = 1 << 26          // keywords given to or taken from a message, counted once for each message
)

// errDovecot is why something of Dovecot's is not believed.
var errDovecot = errors.New("maildir: not understood")

func dovecotError(what string) error { return fmt.Errorf("%w: %s", errDovecot, what) }

// dovecotIndex is what Dovecot's index and its logs say of keywords.
type dovecotIndex struct {
	uids    []uint32                // the messages to read of, ascending; others are left out
	wanted  func(mailbox.Flag) bool // and the keywords
	ids     map[string]int          // keywords in lower case; -1: not wanted
	names   []string                // those that are wanted, by their numbers
	sets    map[uint32]string       // by UID, which has a bit for each of names; none is empty
	shared  map[string]string       // each set once
	changes int

	validity uint32
	last     uint32 // the largest UID that Dovecot knows of at this place
	indexID  uint32
	hasIndex bool
	seq      uint32 // of the log that goes on from here
	offset   uint32 // where in it
}

func newDovecotIndex(uids []uint32, wanted func(mailbox.Flag) bool) *dovecotIndex {
	return &dovecotIndex{uids: uids, wanted: wanted, ids: map[string]int{}, sets: map[uint32]string{}, shared: map[string]string{}}
}

// keywords gives the keywords of a message, sorted.
func (x *dovecotIndex) keywords(uid uint32) []string {
	set := x.sets[uid]
	var out []string
	for i, name := range x.names {
		if hasBit(set, i) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// id gives the number of a keyword: -1 if it is not wanted.
func (x *dovecotIndex) id(name string) (int, error) {
	key := strings.ToLower(name)
	if id, ok := x.ids[key]; ok {
		return id, nil
	}
	if len(x.ids) >= maxDovecotNames {
		return 0, dovecotError("too many keywords")
	}
	id := -1
	if flags, err := mailbox.CleanFlags([]mailbox.Flag{mailbox.Flag(name)}); err == nil && !flags[0].System() && x.wanted(flags[0]) {
		if len(x.names) >= maxKeywords-maxLetters {
			return 0, dovecotError("too many keywords")
		}
		id = len(x.names)
		name = strings.Clone(name)
		x.names = append(x.names, name)
	}
	x.ids[strings.Clone(key)] = id
	return id, nil
}

// set notes a change of the keywords of a message.
func (x *dovecotIndex) set(uid uint32, set []byte) {
	for len(set) > 0 && set[len(set)-1] == 0 {
		set = set[:len(set)-1]
	}
	if len(set) == 0 {
		delete(x.sets, uid)
		return
	}
	shared, ok := x.shared[string(set)]
	if !ok {
		x.forgetUnused()
		shared = string(set)
		x.shared[shared] = shared
	}
	x.sets[uid] = shared
}

// forgetUnused forgets sets that no message has any more, when they are most of all.
func (x *dovecotIndex) forgetUnused() {
	if len(x.shared) <= 2*len(x.sets)+maxKeywords {
		return
	}
	x.shared = map[string]string{}
	for _, set := range x.sets {
		x.shared[set] = set
	}
}

// size gives how many octets the names of the keywords of all messages have.
func (x *dovecotIndex) size() (n int64) {
	sizes := map[string]int64{}
	for _, set := range x.sets {
		size, ok := sizes[set]
		if !ok {
			for i, name := range x.names {
				if hasBit(set, i) {
					size += int64(len(name)) + 1
				}
			}
			sizes[set] = size
		}
		n += size
	}
	return n
}

func hasBit(set string, id int) bool { return id/8 < len(set) && set[id/8]&(1<<(id%8)) != 0 }

// count counts work done, for there is an end to it.
func (x *dovecotIndex) count(n int) error {
	if x.changes += n; x.changes > maxDovecotChanges {
		return dovecotError("too many changes")
	}
	return nil
}

// dovecotHeader is what counts of the header of an index.
type dovecotHeader struct {
	records      uint32
	recordSize   int
	keywords     []int // their numbers in dovecotIndex, in the order of the bits
	bits, octets int   // where in a record these begin, and how many there are
}

// readIndex reads a dovecot.index.
func (x *dovecotIndex) readIndex(in io.Reader) error {
	h, err := x.readHeader(in)
	if err != nil {
		return err
	}
	record, last := make([]byte, h.recordSize), uint32(0)
	for range h.records {
		if _, err := io.ReadFull(in, record); err != nil {
			return cutShort(err)
		}
		uid := binary.LittleEndian.Uint32(record)
		if uid <= last {
			return dovecotError("UIDs do not ascend")
		}
		last = uid
		if err := x.readRecord(uid, h, record[h.bits:h.bits+h.octets]); err != nil {
			return err
		}
	}
	x.hasIndex, x.last = true, max(x.last, last)
	return nil
}

// readRecord reads the keywords of a message.
func (x *dovecotIndex) readRecord(uid uint32, h *dovecotHeader, bits []byte) error {
	if _, ok := slices.BinarySearch(x.uids, uid); !ok {
		return nil
	}
	var set []byte
	for at, octet := range bits {
		for i := at * 8; octet != 0 && i < len(h.keywords); i, octet = i+1, octet>>1 {
			if id := h.keywords[i]; octet&1 != 0 && id >= 0 {
				set = withBit(set, id)
				if err := x.count(1); err != nil {
					return err
				}
			}
		}
	}
	x.set(uid, set)
	return nil
}

func withBit(set []byte, id int) []byte {
	for len(set) <= id/8 {
		set = append(set, 0)
	}
	set[id/8] |= 1 << (id % 8)
	return set
}

// cutShort is the error of a file that ends too early; others are those of the disk.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return dovecotError("cut short")
	}
	return err
}

// readHeader reads all that is before the records.
func (x *dovecotIndex) readHeader(in io.Reader) (*dovecotHeader, error) {
	base := make([]byte, dovecotHeaderMin)
	if _, err := io.ReadFull(in, base); err != nil {
		return nil, cutShort(err)
	}
	le := binary.LittleEndian
	switch {
	case base[0] != dovecotIndexMajor:
		return nil, dovecotError(fmt.Sprintf("index of version %d.%d", base[0], base[1]))
	case base[12]&dovecotLittleEndian == 0:
		return nil, dovecotError("index of a big-endian machine")
	case le.Uint32(base[20:])&dovecotCorrupted != 0:
		return nil, dovecotError("index that Dovecot itself says is corrupted")
	}
	baseSize, size, recordSize := int(le.Uint16(base[2:])), le.Uint32(base[4:]), le.Uint32(base[8:])
	if baseSize < dovecotHeaderMin || size > maxDovecotHeader || int(size) < baseSize ||
		recordSize < dovecotRecordMin || recordSize > maxDovecotRecord {
		return nil, dovecotError("bad sizes in the index")
	}
	h := &dovecotHeader{records: le.Uint32(base[32:]), recordSize: int(recordSize)}
	x.indexID, x.validity, x.last = le.Uint32(base[16:]), le.Uint32(base[24:]), le.Uint32(base[28:])
	x.last = max(x.last, 1) - 1 // it was the next
	x.seq, x.offset = le.Uint32(base[60:]), le.Uint32(base[68:])
	all := make([]byte, size)
	copy(all, base)
	if _, err := io.ReadFull(in, all[dovecotHeaderMin:]); err != nil {
		return nil, cutShort(err)
	}
	return h, x.readExtensions(h, all, align8(baseSize))
}

func align8(n int) int { return (n + 7) &^ 7 }

// readExtensions looks for keywords among what follows the base of the header.
func (x *dovecotIndex) readExtensions(h *dovecotHeader, all []byte, at int) error {
	le := binary.LittleEndian
	for at+dovecotExtHeader <= len(all) {
		ext := all[at:]
		dataSize, nameSize := le.Uint32(ext), int(le.Uint16(ext[14:]))
		data := align8(at + dovecotExtHeader + nameSize)
		if data > len(all) || int64(dataSize) > int64(len(all)-data) {
			return dovecotError("bad size of an extension")
		}
		if string(ext[dovecotExtHeader:][:nameSize]) == dovecotKeywordsExt {
			h.bits, h.octets = int(le.Uint16(ext[8:])), int(le.Uint16(ext[10:]))
			if h.octets > 0 && h.bits < dovecotRecordMin || h.bits+h.octets > h.recordSize {
				return dovecotError("bad place of keywords")
			}
			return x.readNames(h, all[data:data+int(dataSize)])
		}
		at = align8(data + int(dataSize))
	}
	return nil
}

// readNames reads the names of keywords: how many, where each begins, and the names with a NUL behind each.
func (x *dovecotIndex) readNames(h *dovecotHeader, data []byte) error {
	le := binary.LittleEndian
	if len(data) < 4 {
		return nil // no keyword was ever given
	}
	count := le.Uint32(data)
	if count > maxDovecotNames || int(count)*8 > len(data)-4 {
		return dovecotError("bad number of keywords")
	}
	where, names := data[4:4+count*8], data[4+count*8:]
	for i := range int(count) {
		from := le.Uint32(where[i*8+4:])
		if int64(from) >= int64(len(names)) {
			return dovecotError("bad name of a keyword")
		}
		name, _, ok := strings.Cut(string(names[from:min(int(from)+mailbox.MaxKeyword+2, len(names))]), "\x00")
		if !ok && len(name) <= mailbox.MaxKeyword || name == "" {
			return dovecotError("bad name of a keyword")
		}
		id, err := x.id(name)
		if err != nil {
			return err
		}
		h.keywords = append(h.keywords, id)
	}
	return nil
}
