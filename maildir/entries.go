package maildir

import (
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// entryList are the messages of a folder, UIDs ascending. It is in pieces, so that a message that comes or goes moves few
// others and a large folder never needs one large piece of memory. The zero value is empty.
type entryList struct {
	pieces [][]entry // none is empty
	count  int
}

// pieceSize is the most that a piece has.
const pieceSize = 1024

func (l *entryList) len() int { return l.count }

// all gives the messages in place.
func (l *entryList) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, p := range l.pieces {
			for i := range p {
				if !yield(&p[i]) {
					return
				}
			}
		}
	}
}

// backward gives the messages in place, the last one first.
func (l *entryList) backward() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, p := range slices.Backward(l.pieces) {
			for i := range p {
				if !yield(&p[len(p)-1-i]) {
					return
				}
			}
		}
	}
}

// uids gives the UIDs of all. Most pieces lack none between their first and last, so that the others are not looked at.
func (l *entryList) uids() []mailbox.UID {
	out := make([]mailbox.UID, 0, l.count)
	for _, p := range l.pieces {
		first, last := p[0].uid, p[len(p)-1].uid
		if int64(last)-int64(first) == int64(len(p)-1) {
			for i := range p {
				out = append(out, mailbox.UID(first+uint32(i)))
			}
			continue
		}
		for i := range p {
			out = append(out, mailbox.UID(p[i].uid))
		}
	}
	return out
}

// place finds the piece and the place in it where a UID is or would be.
func (l *entryList) place(uid uint32) (piece, at int) {
	lo, hi := 0, len(l.pieces)
	for lo < hi { // the first piece that ends with it or behind
		mid := int(uint(lo+hi) >> 1)
		if p := l.pieces[mid]; p[len(p)-1].uid < uid {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(l.pieces) {
		return lo, 0
	}
	p := l.pieces[lo]
	from, to := 0, len(p)
	if guess := int64(uid) - int64(p[0].uid); guess >= 0 && guess < int64(len(p)) && p[guess].uid == uid {
		return lo, int(guess) // no UID is missing before it, as is common
	}
	for from < to {
		mid := int(uint(from+to) >> 1)
		if p[mid].uid < uid {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return lo, from
}

// find gives a message in place, or nil.
func (l *entryList) find(uid uint32) *entry {
	piece, at := l.place(uid)
	if piece == len(l.pieces) || at == len(l.pieces[piece]) || l.pieces[piece][at].uid != uid {
		return nil
	}
	return &l.pieces[piece][at]
}

// from counts the messages with this UID and above.
func (l *entryList) from(uid uint32) int {
	piece, at := l.place(uid)
	if piece == len(l.pieces) {
		return 0
	}
	n := -at
	for _, p := range l.pieces[piece:] {
		n += len(p)
	}
	return n
}

// some gives copies of at most n messages with this UID and above.
func (l *entryList) some(uid uint32, n int) []entry {
	piece, at := l.place(uid)
	var out []entry
	for ; piece < len(l.pieces) && len(out) < n; piece, at = piece+1, 0 {
		p := l.pieces[piece][at:]
		out = append(out, p[:min(len(p), n-len(out))]...)
	}
	return out
}

// add puts a message behind all others.
func (l *entryList) add(e entry) {
	last := len(l.pieces) - 1
	if last < 0 || len(l.pieces[last]) >= pieceSize {
		var p []entry
		if last >= 0 {
			p = make([]entry, 0, pieceSize)
		}
		l.pieces = append(l.pieces, p)
		last++
	}
	l.pieces[last] = append(l.pieces[last], e)
	l.count++
}

// remove takes messages out. uids are ascending.
func (l *entryList) remove(uids []uint32) {
	piece := 0
	for i := 0; i < len(uids); {
		n, _ := (&entryList{pieces: l.pieces[piece:]}).place(uids[i])
		if piece += n; piece == len(l.pieces) {
			break
		}
		p := l.pieces[piece]
		last, j := p[len(p)-1].uid, i
		for j < len(uids) && uids[j] <= last {
			j++
		}
		l.pieces[piece] = without(p, uids[i:j])
		l.count -= len(p) - len(l.pieces[piece])
		i = j
		if len(l.pieces[piece]) == 0 {
			l.pieces = slices.Delete(l.pieces, piece, piece+1)
		}
	}
	l.join()
}

// without takes messages out of a piece. uids are ascending.
func without(p []entry, uids []uint32) []entry {
	from := len(p)
	for i := range p {
		if p[i].uid >= uids[0] {
			from = i
			break
		}
	}
	out := p[:from]
	for _, e := range p[from:] {
		for len(uids) > 0 && uids[0] < e.uid {
			uids = uids[1:]
		}
		if len(uids) == 0 || uids[0] != e.uid {
			out = append(out, e)
		}
	}
	clear(p[len(out):])
	return out
}

// join makes one of neighbours that have become small.
func (l *entryList) join() {
	out := l.pieces[:0]
	for _, p := range l.pieces {
		if n := len(out); n > 0 && len(p)+len(out[n-1]) <= pieceSize/2 {
			out[n-1] = slices.Concat(out[n-1], p)
			continue
		}
		out = append(out, p)
	}
	clear(l.pieces[len(out):])
	l.pieces = out
	for i, p := range l.pieces {
		if len(p) < cap(p)/4 && cap(p) > minPiece {
			l.pieces[i] = slices.Clone(p)
		}
	}
}

// minPiece is the room that a piece may keep however little it has.
const minPiece = 64

// nameIndex finds messages by their file names. It knows UIDs by the hashes of names, four octets for each, and is only
// there once somebody has asked.
type nameIndex struct {
	seed  maphash.Seed
	slots []uint32 // 0: free; UIDs of messages that went stay until the slots are laid out anew
	used  int
}

// placeOf finds a message by its file name without flags.
func (s *state) placeOf(base string) (piece, at int, ok bool) {
	if s.names == nil {
		s.indexNames()
	}
	n := s.names
	mask := uint64(len(n.slots) - 1)
	for slot := maphash.String(n.seed, base) & mask; n.slots[slot] != 0; slot = (slot + 1) & mask {
		uid := n.slots[slot]
		if piece, at = s.entries.place(uid); piece == len(s.entries.pieces) {
			continue
		}
		if e := &s.entries.pieces[piece][at]; e.uid == uid && e.base == base {
			return piece, at, true
		}
	}
	return 0, 0, false
}

// indexNames begins anew with all messages.
func (s *state) indexNames() {
	size := 64
	for size < 2*s.entries.len() {
		size *= 2
	}
	s.names = &nameIndex{seed: maphash.MakeSeed(), slots: make([]uint32, size)}
	for e := range s.entries.all() {
		s.names.add(e)
	}
}

// noteName tells the index, if there is one, of a message that has come.
func (s *state) noteName(e *entry) {
	if s.names == nil {
		return
	}
	if s.names.used >= len(s.names.slots)/4*3 {
		s.names, s.before = nil, math.MaxUint64 // laid out anew when it is needed
		return
	}
	s.names.add(e)
}

func (n *nameIndex) add(e *entry) {
	mask := uint64(len(n.slots) - 1)
	at := maphash.String(n.seed, e.base) & mask
	for n.slots[at] != 0 {
		at = (at + 1) & mask
	}
	n.slots[at] = e.uid
	n.used++
}

// nameArena keeps the file names of many messages in few pieces of memory.
type nameArena struct{ piece *strings.Builder }

// arenaPiece is the size of a piece: a name that is in use keeps its whole piece.
const arenaPiece = 16 << 10

func (a *nameArena) keep(name []byte) string {
	if a.piece == nil || a.piece.Cap()-a.piece.Len() < len(name) {
		a.piece = &strings.Builder{}
		a.piece.Grow(max(arenaPiece, len(name)))
	}
	at := a.piece.Len()
	a.piece.Write(name)
	return a.piece.String()[at:]
}
