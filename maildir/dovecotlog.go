package maildir

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// The kinds of changes in Dovecot's log that tell of keywords or of which messages there are.
const (
	dovecotLogMajor  = 1
	dovecotLogHeader = 24
	dovecotLogRecord = 8 // size and kind
	dovecotAppend    = 0x2
	dovecotHeaderSet = 0x20
	dovecotKeyword   = 0x400
	dovecotReset     = 0x800
	dovecotExpunge   = 0xcd90  // bits that only the removal of messages has
	dovecotBoundary  = 0x80000 // how many octets belong together
	dovecotKinds     = 0x0fffffff
)

// dovecotLog is a dovecot.index.log.
type dovecotLog struct {
	data     []byte
	header   int
	indexID  uint32
	seq      uint32
	previous uint32 // the seq of the one before; 0: there was none
}

// parseDovecotLog reads the header.
func parseDovecotLog(data []byte) (*dovecotLog, error) {
	if len(data) < dovecotLogHeader {
		return nil, dovecotError("log cut short")
	}
	le := binary.LittleEndian
	l := &dovecotLog{data, int(le.Uint16(data[2:])), le.Uint32(data[4:]), le.Uint32(data[8:]), le.Uint32(data[12:])}
	switch {
	case data[0] != dovecotLogMajor:
		return nil, dovecotError("log of another version")
	case l.header < dovecotLogHeader || l.header > len(data):
		return nil, dovecotError("bad header of the log")
	case l.header > 32 && data[1] >= 2 && data[32]&dovecotLittleEndian == 0:
		return nil, dovecotError("log of a big-endian machine")
	}
	return l, nil
}

// readLogs makes the changes of the logs that are not in the index yet; one that is nil is not there. After an error what
// was read so far stands, as it does for Dovecot.
func (x *dovecotIndex) readLogs(older, newer *dovecotLog) error {
	done := false
	for _, l := range []*dovecotLog{older, newer} {
		switch {
		case l == nil:
			continue
		case x.hasIndex && l.indexID != x.indexID:
			if l == newer {
				return dovecotError("log of another index")
			}
			continue
		case !x.hasIndex && x.seq == 0 && l.previous == 0: // all is in the log
			x.seq, x.offset = l.seq, uint32(l.header)
		case done && l.previous == x.seq:
			x.seq, x.offset = l.seq, uint32(l.header)
		case l.seq != x.seq:
			continue
		}
		if done = true; int64(x.offset) > int64(len(l.data)) || int64(x.offset) < int64(l.header) {
			return dovecotError("log shorter than the index says")
		}
		if err := x.readLog(l.data[x.offset:]); err != nil {
			return err
		}
	}
	if !done || newer == nil || newer.seq != x.seq {
		return dovecotError("log that does not go on where the index ends")
	}
	return nil
}

// readLog makes the changes of a log. It ends where one is not written yet.
func (x *dovecotIndex) readLog(data []byte) error {
	for len(data) >= dovecotLogRecord {
		if binary.LittleEndian.Uint32(data) == 0 {
			return nil
		}
		size, ok := dovecotSize(data)
		if !ok || size < dovecotLogRecord {
			return dovecotError("bad size in the log")
		}
		if size > len(data) {
			return nil
		}
		kind := binary.LittleEndian.Uint32(data[4:]) & dovecotKinds
		if kind == dovecotBoundary && size >= 12 && int64(binary.LittleEndian.Uint32(data[8:])) > int64(len(data)) {
			return nil
		}
		if err := x.change(kind, data[dovecotLogRecord:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// dovecotSize reads the size of a change: a quarter of it, in four times seven bits behind a one each.
func dovecotSize(b []byte) (int, bool) {
	n := 0
	for _, octet := range b[:4] {
		if octet&0x80 == 0 {
			return 0, false
		}
		n = n<<7 | int(octet&0x7f)
	}
	return n * 4, true
}

// change makes one change.
func (x *dovecotIndex) change(kind uint32, body []byte) error {
	le := binary.LittleEndian
	switch {
	case kind&dovecotExpunge == dovecotExpunge: // which messages there are the uidlist says
	case kind == dovecotAppend:
		for ; len(body) >= 8; body = body[8:] {
			x.last = max(x.last, le.Uint32(body))
		}
	case kind == dovecotHeaderSet:
		x.changeHeader(body)
	case kind == dovecotReset:
		return x.eachRange(body, func(uid uint32) { delete(x.sets, uid) })
	case kind == dovecotKeyword:
		return x.changeKeyword(body)
	}
	return nil
}

// changeHeader notes the UIDVALIDITY that a change of the index's header gives: where, how many octets, and these.
func (x *dovecotIndex) changeHeader(body []byte) {
	le := binary.LittleEndian
	for len(body) >= 4 {
		at, n := int(le.Uint16(body)), int(le.Uint16(body[2:]))
		body = body[4:]
		if n > len(body) {
			return
		}
		if at <= 24 && at+n >= 28 {
			x.validity = le.Uint32(body[24-at:])
		}
		body = body[min((n+3)&^3, len(body)):]
	}
}

// changeKeyword gives a keyword to messages or takes it from them: what is to be done, the length of the name, the name,
// and ranges of UIDs.
func (x *dovecotIndex) changeKeyword(body []byte) error {
	if len(body) < 4 {
		return dovecotError("keyword cut short in the log")
	}
	remove, size := body[0], int(binary.LittleEndian.Uint16(body[2:]))
	ranges := 4 + (size+3)&^3
	if ranges > len(body) || size == 0 || remove > 1 {
		return dovecotError("bad keyword in the log")
	}
	name, _, _ := bytes.Cut(body[4:4+size], []byte{0})
	id, err := x.id(string(name))
	if err != nil || id < 0 {
		return err
	}
	var set []byte
	return x.eachRange(body[ranges:], func(uid uint32) {
		if set = append(set[:0], x.sets[uid]...); remove == 0 {
			set = withBit(set, id)
		} else if id/8 < len(set) {
			set[id/8] &^= 1 << (id % 8)
		}
		x.set(uid, set)
	})
}

// eachRange calls f for each message in ranges of UIDs. A UID that Dovecot did not know yet is in none.
func (x *dovecotIndex) eachRange(ranges []byte, f func(uid uint32)) error {
	le := binary.LittleEndian
	for ; len(ranges) >= 8; ranges = ranges[8:] {
		from, to := le.Uint32(ranges), min(le.Uint32(ranges[4:]), x.last)
		at, _ := slices.BinarySearch(x.uids, from)
		if err := x.count(1 + bits.Len(uint(len(x.uids)))); err != nil {
			return err
		}
		for ; at < len(x.uids) && x.uids[at] <= to; at++ {
			if err := x.count(1); err != nil {
				return err
			}
			f(x.uids[at])
		}
	}
	return nil
}
