package maildir

import (
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// summaryLog is what this process knows of a folder's log of summaries: where each is, 12 octets a message, and nothing
// until somebody asks. Its locks come before folder.mu; writing comes before mu.
type summaryLog struct {
	f       *folder
	making  chan struct{} // taken by who makes summaries: one at a time, who waits finds them made
	writing sync.Mutex    // held by who writes to the log

	mu      sync.Mutex
	used    bool // somebody lists this mailbox
	asked   bool // it was found out whether somebody did before
	head    summaryHeader
	start   int64       // where the records begin
	info    fs.FileInfo // of the first file when it was read; nil: there is none
	read    int64       // how far it was read
	uids    []uint32    // ascending
	ahead   uint32      // the least UID of records that were of no message yet; 0: there were none
	places  []uint64    // of uids: offset in the second file and length, 24 bits
	records int         // in the first file
	busy    bool        // newcomers are being summarized
	upTo    uint32      // newcomers before this UID were
}

const (
	placeBits = 24
	// summaryBatch is how many summaries are made before they are written.
	summaryBatch = 256
	// summaryGap is how much that nobody asked for is read along rather than read around, and summaryRead how much is read at
	// once, in octets.
	summaryGap  = 16 << 10
	summaryRead = 1 << 20
	// summaryPatience is how long writing waits for another process. What is not written is made again some day.
	summaryPatience = time.Second
	// maxNewcomers is how many messages that came are summarized before somebody asks.
	maxNewcomers = 1000
)

func newSummaryLog(f *folder) *summaryLog { return &summaryLog{f: f, making: make(chan struct{}, 1)} }

// summaryKind is the version of what mailbox.Summarize gives: its first octet.
func summaryKind() byte {
	data, err := mailbox.Summarize(strings.NewReader(""))
	if err != nil || len(data) == 0 {
		return 0
	}
	return data[0]
}

// spot is where a summary is.
type spot struct {
	uid    uint32
	offset int64
	length int
}

// find gives where the summaries of messages (UIDs ascending) are, in the order of the second file, and its path.
func (l *summaryLog) find(entries []entry) ([]spot, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = true
	if err := l.refresh(); err != nil || l.head.data == "" || len(l.uids) == 0 {
		return nil, ""
	}
	spots := make([]spot, 0, len(entries))
	at := 0
	for i := range entries {
		uid := entries[i].uid
		if at < len(l.uids) && l.uids[at] != uid {
			n, _ := slices.BinarySearch(l.uids[at:], uid)
			at += n
		}
		if at == len(l.uids) {
			break
		}
		if p := l.places[at]; l.uids[at] == uid && p != 0 {
			spots = append(spots, spot{uid, int64(p >> placeBits), int(p & (1<<placeBits - 1))})
		}
	}
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Compare(a.offset, b.offset) })
	return spots, filepath.Join(l.f.dir(), summariesFile+"."+l.head.data)
}

// drop forgets a summary that is not what it should be.
func (l *summaryLog) drop(s spot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := slices.BinarySearch(l.uids, s.uid); ok && l.places[at]>>placeBits == uint64(s.offset) {
		l.places[at] = 0
	}
}

// have gives the summaries of these messages that there are, by UID.
func (l *summaryLog) have(entries []entry) map[uint32][]byte {
	out := make(map[uint32][]byte, len(entries))
	for try := 0; try < 2 && len(entries) > 0; try++ {
		spots, path := l.find(entries)
		if len(spots) == 0 {
			break
		}
		err := l.f.readSpots(path, spots, func(s spot, data []byte) {
			if data != nil {
				out[s.uid] = data
			} else {
				l.drop(s)
			}
		})
		if !isNotExist(err) {
			break
		}
		l.mu.Lock()
		l.forget() // another process has written it anew, or someone has removed it
		l.mu.Unlock()
	}
	return out
}

// readSpots reads summaries, many at once. What is damaged or not there is nil.
func (f *folder) readSpots(path string, spots []spot, each func(spot, []byte)) error {
	file, err := f.fs().OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for len(spots) > 0 {
		first := spots[0].offset
		end, n := first, 0
		for n < len(spots) && spots[n].offset <= end+summaryGap && (n == 0 || spots[n].offset+int64(spots[n].length)-first <= summaryRead) {
			end = max(end, spots[n].offset+int64(spots[n].length))
			n++
		}
		buf := make([]byte, end-first)
		got, err := file.ReadAt(buf, first)
		if err != nil && err != io.EOF {
			return err
		}
		for _, s := range spots[:n] {
			var data []byte
			if from := int(s.offset - first); from+s.length <= got {
				data, _ = parseSummary(buf[from:from+s.length:from+s.length], s.uid)
			}
			each(s, data)
		}
		spots = spots[n:]
	}
	return nil
}
