package imapd

import (
	"cmp"
	"slices"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/mailbox"
)

// selected is the session's view of the selected mailbox: what the client has been told of it.
type selected struct {
	name     string
	box      mailbox.Mailbox
	readOnly bool

	// uids are the messages that the client knows; uids[n-1] has the sequence number n.
	uids []mailbox.UID
	// last is the largest UID that was ever in uids.
	last mailbox.UID
	// modseq is how far the view follows the store.
	modseq mailbox.ModSeq
	// gone are those of uids that are expunged and that the client has not been told of, ascending.
	gone []mailbox.UID
	// recent are the ranges in which messages are \Recent for this session, ascending.
	recent []uidRange
	// toldRecent is the number in the last RECENT response.
	toldRecent int
	// keywords are those in the last FLAGS response.
	keywords []mailbox.Flag
	// told are the flags that this command has shown or set itself, with ascending UIDs: no news to the client.
	told []toldFlags
	// last parsed message, for clients that fetch a message part by part
	parsed parsedMessage
}

// uidRange is an inclusive range of UIDs.
type uidRange struct{ first, last mailbox.UID }

// toldFlags says that the client knows a message's flags as of a modseq.
type toldFlags struct {
	uid    mailbox.UID
	modseq mailbox.ModSeq
}

// seq is the sequence number of a message, 0 if it has none.
func (s *selected) seq(uid mailbox.UID) int {
	i, found := slices.BinarySearch(s.uids, uid)
	if !found {
		return 0
	}
	return i + 1
}

// seqAfter is seq for who goes through the view: it looks at the message behind the one with the number prev first.
func (s *selected) seqAfter(prev int, uid mailbox.UID) int {
	if prev < len(s.uids) && s.uids[prev] == uid {
		return prev + 1
	}
	return s.seq(uid)
}

// isGone says whether a message is expunged without the client knowing it.
func (s *selected) isGone(uid mailbox.UID) bool {
	_, found := slices.BinarySearch(s.gone, uid)
	return found
}

// add puts new messages at the end.
func (s *selected) add(uids []mailbox.UID) {
	if len(uids) == 0 {
		return
	}
	s.uids = append(s.uids, uids...)
	s.last = uids[len(uids)-1]
}

// markGone notes expunged messages; those that the client never knew do not matter.
func (s *selected) markGone(uids []mailbox.UID) {
	n := len(s.gone)
	for _, uid := range uids {
		if s.seq(uid) > 0 && !s.isGoneAmong(n, uid) {
			s.gone = append(s.gone, uid)
		}
	}
	slices.Sort(s.gone)
	s.gone = slices.Compact(s.gone)
}

func (s *selected) isGoneAmong(n int, uid mailbox.UID) bool {
	_, found := slices.BinarySearch(s.gone[:n], uid)
	return found
}

// removeGone takes the gone messages out and calls tell with the sequence number of each, from the last to the first, so
// that each number is right at its time (RFC 3501 §7.4.1).
func (s *selected) removeGone(tell func(seq int)) {
	if len(s.gone) == 0 {
		return
	}
	for _, uid := range slices.Backward(s.gone) {
		tell(s.seq(uid))
	}
	s.uids = without(s.uids, s.gone)
	s.gone = nil
	if len(s.uids) < cap(s.uids)/4 {
		s.uids = slices.Clip(slices.Clone(s.uids))
	}
}

// without takes some of uids out, in place. Both are ascending. What stays is moved in runs: an end of a large mailbox for
// one message.
func without(uids, gone []mailbox.UID) []mailbox.UID {
	kept, from := 0, 0
	for _, uid := range gone {
		n, found := slices.BinarySearch(uids[from:], uid)
		if !found {
			continue
		}
		if kept == from {
			kept += n
		} else {
			kept += copy(uids[kept:], uids[from:from+n])
		}
		from += n + 1
	}
	if kept == from {
		return uids
	}
	return uids[:kept+copy(uids[kept:], uids[from:])]
}

// addRecent makes the messages from first on recent, as far as the view goes.
func (s *selected) addRecent(first mailbox.UID) {
	if first == 0 || first > s.last {
		return
	}
	if n := len(s.recent); n > 0 && first <= s.recent[n-1].last+1 {
		s.recent[n-1].last = max(s.recent[n-1].last, s.last)
		return
	}
	s.recent = append(s.recent, uidRange{first, s.last})
}

func (s *selected) isRecent(uid mailbox.UID) bool {
	i, _ := slices.BinarySearchFunc(s.recent, uid, func(r uidRange, uid mailbox.UID) int {
		switch {
		case r.last < uid:
			return -1
		case r.first > uid:
			return 1
		}
		return 0
	})
	return i < len(s.recent) && s.recent[i].first <= uid
}

// countRecent is the number of RECENT: as the client counts, messages that it does not know to be gone included.
func (s *selected) countRecent() int {
	n := 0
	for _, r := range s.recent {
		from, _ := slices.BinarySearch(s.uids, r.first)
		to, found := slices.BinarySearch(s.uids, r.last)
		if found {
			to++
		}
		n += to - from
	}
	return n
}

// tell notes that the client knows a message's flags as of its modseq. What the view has followed is not asked for again.
func (s *selected) tell(m mailbox.Meta) {
	if m.ModSeq > s.modseq {
		s.told = append(s.told, toldFlags{m.UID, m.ModSeq})
	}
}

// knows says whether this command has told the client of a message's flags already.
func (s *selected) knows(m mailbox.Meta) bool {
	i, found := slices.BinarySearchFunc(s.told, m.UID, func(t toldFlags, uid mailbox.UID) int {
		return cmp.Compare(t.uid, uid)
	})
	return found && s.told[i].modseq >= m.ModSeq
}

// span is a run of messages in a view: those with the indexes from, from+1, ..., to-1.
type span struct{ from, to int }

// bySeq finds the messages of a set of sequence numbers. ok is false when a number is larger than there are messages,
// "*" in an empty mailbox included (RFC 3501 §9: seq-number).
func (s *selected) bySeq(set wire.NumSet) (spans []span, ok bool) {
	largest, star := set.Max()
	n := uint32(len(s.uids))
	if largest > n || star && n == 0 {
		return nil, false
	}
	for _, r := range set.Resolve(n) {
		spans = append(spans, span{int(r.First) - 1, int(r.Last)})
	}
	return spans, true
}

// byUID finds the messages of a set of UIDs; what there is not is ignored (RFC 3501 §6.4.8).
func (s *selected) byUID(set wire.NumSet) []span {
	var largest uint32
	if n := len(s.uids); n > 0 {
		largest = uint32(s.uids[n-1])
	}
	var spans []span
	for _, r := range set.Resolve(largest) {
		from, _ := slices.BinarySearch(s.uids, mailbox.UID(r.First))
		to, found := slices.BinarySearch(s.uids, mailbox.UID(r.Last))
		if found {
			to++
		}
		if from < to {
			spans = append(spans, span{from, to})
		}
	}
	return spans
}

// size is the number of messages in spans.
func size(spans []span) int {
	n := 0
	for _, sp := range spans {
		n += sp.to - sp.from
	}
	return n
}

// collect gives the UIDs of spans, ascending.
func (s *selected) collect(spans []span) []mailbox.UID {
	if len(spans) == 1 { // the usual case needs no copy
		return s.uids[spans[0].from:spans[0].to:spans[0].to]
	}
	out := make([]mailbox.UID, 0, size(spans))
	for _, sp := range spans {
		out = append(out, s.uids[sp.from:sp.to]...)
	}
	return out
}

// goneIn says whether any message of spans is gone.
func (s *selected) goneIn(spans []span) bool {
	if len(s.gone) == 0 {
		return false
	}
	for _, sp := range spans {
		i, _ := slices.BinarySearch(s.gone, s.uids[sp.from])
		if i < len(s.gone) && s.gone[i] <= s.uids[sp.to-1] {
			return true
		}
	}
	return false
}
