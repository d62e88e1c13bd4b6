package maildir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
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
	newer   bool // the log is of a newer version and is left alone
	head    summaryHeader
	start   int64       // where the records begin
	info    fs.FileInfo // of the first file when it was read; nil: there is none
	read    int64       // how far it was read
	uids    []uint32    // ascending
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

// refresh reads what has been written to the log since the last time. l.mu is held.
func (l *summaryLog) refresh() error {
	path := filepath.Join(l.f.dir(), summariesFile)
	info, err := statOrNil(l.f.fs(), path)
	if err != nil {
		return err
	}
	if info == nil {
		l.forget()
		return nil
	}
	if l.info != nil && durable.SameFile(info, l.info) && info.Size() == l.read+l.torn(info) {
		return nil
	}
	file, err := l.f.fs().OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		l.forget()
		return ignoreNotExist(err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return err
	}
	if l.info == nil || !durable.SameFile(info, l.info) || info.Size() < l.read {
		l.forget()
		if err := l.readHeader(file); err != nil {
			return err
		}
	}
	if l.head.data == "" {
		l.info, l.read = info, info.Size()
		return nil
	}
	if err := l.readRecords(file, info.Size()); err != nil {
		l.forget()
		return err
	}
	l.info = info
	return nil
}

// torn is what is behind the last whole record.
func (l *summaryLog) torn(info fs.FileInfo) int64 {
	if l.head.data == "" || info.Size() < l.start {
		return 0
	}
	return (info.Size() - l.start) % summaryRecordSize
}

// forget begins with nothing.
func (l *summaryLog) forget() {
	l.newer, l.head, l.start, l.info, l.read, l.uids, l.places, l.records = false, summaryHeader{}, 0, nil, 0, nil, nil, 0
}

// readHeader reads the first line. A log of another kind leaves l.head empty.
func (l *summaryLog) readHeader(file durable.File) error {
	buf := make([]byte, maxSummaryHeader)
	n, err := file.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return err
	}
	head, length, err := parseSummaryHeader(buf[:n])
	if errors.Is(err, errNewer) {
		l.newer = true
		l.f.account.maildir.logger().Warn("maildir: log of summaries is left alone", "folder", l.f.dir(), "error", err)
		return nil
	}
	if err != nil {
		return nil
	}
	validity := uint32(0)
	if err := l.f.read(func(st *state) { validity = st.validity }); err != nil {
		return err
	}
	if kind := summaryKind(); head.validity != validity || head.summary < kind {
		return nil
	} else if head.summary > kind {
		l.newer = true
		return nil
	}
	l.head, l.start, l.read = head, int64(length), int64(length)
	return nil
}

// readRecords reads the records up to size.
func (l *summaryLog) readRecords(file durable.File, size int64) error {
	buf := make([]byte, min(size-l.read, summaryRead/summaryRecordSize*summaryRecordSize))
	for size-l.read >= summaryRecordSize {
		piece := buf[:min(int64(len(buf)), size-l.read)/summaryRecordSize*summaryRecordSize]
		if _, err := file.ReadAt(piece, l.read); err != nil && err != io.EOF {
			return err
		}
		l.read += int64(len(piece))
		var records []summaryRecord
		for ; len(piece) > 0; piece = piece[summaryRecordSize:] {
			l.records++
			if r, ok := parseSummaryRecord(piece); ok {
				records = append(records, r)
			}
		}
		if err := l.take(records); err != nil {
			return err
		}
	}
	return nil
}

// take believes records that are of messages that there are. l.mu is held.
func (l *summaryLog) take(records []summaryRecord) error {
	placed := make([]summaryRecord, 0, len(records))
	if err := l.f.read(func(st *state) {
		for _, r := range records {
			e := st.entries.find(r.uid)
			if e == nil || nameSum(e.base) != r.file {
				continue
			}
			if r.kind == recordSummary {
				placed = append(placed, r)
				continue
			}
			now := l.f.learnedOf(*e)
			if news := (learned{size: now.size, date: now.date, kept: true}); news.fill(r.a, r.b) {
				l.f.learned[r.uid] = news
			}
		}
	}); err != nil {
		return err
	}
	l.put(placed)
	return nil
}

// recall reads what was found out about messages before, if it was not read yet.
func (l *summaryLog) recall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refresh(); err != nil {
		l.f.account.maildir.logger().Debug("maildir: log of summaries cannot be read", "folder", l.f.dir(), "error", err)
	}
}

// fill takes a size and a date where there is none. It says whether it did.
func (l *learned) fill(size, date int64) bool {
	did := false
	if l.size < 0 && size >= 0 {
		l.size, did = size, true
	}
	if l.date == noDate && date != noDate {
		l.date, did = date, true
	}
	return did
}

// put notes where summaries are; later ones count. l.mu is held.
func (l *summaryLog) put(records []summaryRecord) {
	if len(records) == 0 {
		return
	}
	slices.SortStableFunc(records, func(a, b summaryRecord) int { return int(int64(a.uid) - int64(b.uid)) })
	placeOf := func(r summaryRecord) uint64 { return uint64(r.a)<<placeBits | uint64(r.b+summaryHeadSize) }
	if n := len(l.uids); n == 0 || records[0].uid >= l.uids[n-1] { // as is common
		for _, r := range records {
			if n := len(l.uids); n > 0 && l.uids[n-1] == r.uid {
				l.places[n-1] = placeOf(r)
				continue
			}
			l.uids, l.places = append(l.uids, r.uid), append(l.places, placeOf(r))
		}
		return
	}
	uids := make([]uint32, 0, len(l.uids)+len(records))
	places := make([]uint64, 0, len(l.uids)+len(records))
	at := 0
	for i, r := range records {
		if i+1 < len(records) && records[i+1].uid == r.uid {
			continue
		}
		for at < len(l.uids) && l.uids[at] < r.uid {
			uids, places = append(uids, l.uids[at]), append(places, l.places[at])
			at++
		}
		if at < len(l.uids) && l.uids[at] == r.uid {
			at++
		}
		uids, places = append(uids, r.uid), append(places, placeOf(r))
	}
	l.uids, l.places = append(uids, l.uids[at:]...), append(places, l.places[at:]...)
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
	slices.SortFunc(spots, func(a, b spot) int { return int(a.offset - b.offset) })
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

// summary is one to be written.
type summary struct {
	entry *entry
	data  []byte
}

// keep writes summaries and facts to the log. What goes wrong only has them made again.
func (l *summaryLog) keep(list []summary, facts []summaryRecord) {
	if len(list)+len(facts) == 0 {
		return
	}
	if err := l.tryKeep(list, facts); err != nil {
		l.f.account.maildir.logger().Debug("maildir: summaries are not kept", "folder", l.f.dir(), "error", err)
	}
}

func (l *summaryLog) tryKeep(list []summary, facts []summaryRecord) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	l.mu.Lock()
	err = l.refresh()
	newer, usable := l.newer, l.head.data != ""
	l.mu.Unlock()
	if err != nil || newer {
		return err
	}
	if !usable {
		if err := l.begin(); err != nil {
			return err
		}
	}
	err = l.append(list, facts)
	if isNotExist(err) { // someone has removed the second file
		if err = l.begin(); err == nil {
			err = l.append(list, facts)
		}
	}
	if err == nil {
		l.compactLater()
	}
	return err
}

// lock keeps others from writing.
func (l *summaryLog) lock() (unlock func(), err error) {
	l.writing.Lock()
	ctx, cancel := context.WithTimeout(context.Background(), summaryPatience)
	defer cancel()
	lock, err := durable.Lock(ctx, l.f.fs(), filepath.Join(l.f.dir(), summariesLock))
	if err != nil {
		l.writing.Unlock()
		return nil, err
	}
	return func() {
		_ = lock.Close()
		l.writing.Unlock()
	}, nil
}

// begin puts an empty log in place of what there is.
func (l *summaryLog) begin() error {
	log, err := l.newLog()
	if err != nil {
		return err
	}
	return log.finish()
}

// append writes behind what there is.
func (l *summaryLog) append(list []summary, facts []summaryRecord) error {
	f := l.f
	l.mu.Lock()
	path, torn, read := filepath.Join(f.dir(), summariesFile), l.torn(l.info), l.read
	dataPath := path + "." + l.head.data
	l.mu.Unlock()
	if torn > 0 { // in a power cut, or by a full disk
		if err := f.truncate(path, read); err != nil {
			return err
		}
	}
	records, err := f.appendSummaries(dataPath, list)
	if err != nil {
		return err
	}
	records = append(records, facts...)
	var buf []byte
	for i := range records {
		buf = records[i].appendTo(buf)
	}
	log, err := f.appendTo(path, buf)
	if err != nil {
		return err
	}
	log.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refresh()
}

func (f *folder) truncate(path string, size int64) error {
	file, err := f.fs().OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = file.Truncate(size)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// appendSummaries writes summaries to the second file and gives the records that tell of them.
func (f *folder) appendSummaries(path string, list []summary) ([]summaryRecord, error) {
	if len(list) == 0 {
		return nil, nil
	}
	info, err := f.fs().Stat(path)
	if err != nil {
		return nil, err
	}
	at := info.Size()
	var records []summaryRecord
	var buf []byte
	for _, s := range list {
		if len(s.data) == 0 || len(s.data) > mailbox.MaxSummary {
			continue
		}
		records = append(records, summaryRecord{s.entry.uid, nameSum(s.entry.base), at + int64(len(buf)), int64(len(s.data)), recordSummary})
		buf = appendSummary(buf, s.entry.uid, s.data)
	}
	if at+int64(len(buf)) >= maxSummaryOffset {
		return nil, fmt.Errorf("maildir: %s is full", path)
	}
	file, err := f.appendTo(path, buf)
	file.close()
	return records, err
}

// compactLater writes the log anew, in the background, when most of it is dead.
func (l *summaryLog) compactLater() {
	live := 0
	if err := l.f.read(func(st *state) { live = st.entries.len() }); err != nil {
		return
	}
	l.mu.Lock()
	start := l.records > 2*live+minRewrite && !l.busy
	l.busy = l.busy || start
	l.mu.Unlock()
	if !start {
		return
	}
	l.f.account.maildir.background(func() {
		err := l.compact()
		l.mu.Lock()
		l.busy = false
		l.mu.Unlock()
		if err != nil {
			l.f.account.maildir.logger().Debug("maildir: log of summaries is not shortened", "folder", l.f.dir(), "error", err)
		}
	})
}

// newLog is a log that is not in its place yet.
type newLog struct {
	l    *summaryLog
	head summaryHeader
	path string // of the first file
	temp durable.File
}

// newLog makes both files.
func (l *summaryLog) newLog() (*newLog, error) {
	n := &newLog{l: l, path: filepath.Join(l.f.dir(), summariesFile)}
	n.head = summaryHeader{summary: summaryKind(), data: rand.Text()}
	if err := l.f.read(func(st *state) { n.head.validity = st.validity }); err != nil {
		return nil, err
	}
	data, err := l.f.fs().OpenFile(n.dataPath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, messagePerm)
	if err != nil {
		return nil, err
	}
	_, err = data.Write([]byte(summariesData))
	if closeErr := data.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		n.temp, err = l.f.fs().OpenFile(n.dataPath()+".tmp", os.O_WRONLY|os.O_CREATE|os.O_EXCL, messagePerm)
	}
	if err == nil {
		_, err = n.temp.Write(n.head.line())
	}
	if err != nil {
		n.abandon()
		return nil, err
	}
	return n, nil
}

func (n *newLog) dataPath() string { return n.path + "." + n.head.data }

func (n *newLog) abandon() {
	if n.temp != nil {
		_ = n.temp.Close()
		_ = n.l.f.fs().Remove(n.dataPath() + ".tmp")
	}
	_ = n.l.f.fs().Remove(n.dataPath())
}

// finish puts it in its place and removes what was there.
func (n *newLog) finish() error {
	err := n.temp.Close()
	if err == nil {
		err = n.l.f.fs().Rename(n.dataPath()+".tmp", n.path)
	}
	if err != nil {
		n.abandon()
		return err
	}
	n.l.f.removeSummaries(n.head.data)
	n.l.mu.Lock()
	defer n.l.mu.Unlock()
	n.l.forget()
	return n.l.refresh()
}

// removeSummaries removes second files that belong to no first one. What stays is removed next time.
func (f *folder) removeSummaries(keep string) {
	dir := f.dir()
	names, err := f.fs().ReadNames(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		end, ok := strings.CutPrefix(name, summariesFile+".")
		if ok && end != keep && name != summariesLock {
			_ = f.fs().Remove(filepath.Join(dir, name))
		}
	}
}

// compact writes the log anew with what counts.
func (l *summaryLog) compact() error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	l.mu.Lock()
	err = l.refresh()
	usable := l.head.data != ""
	path := filepath.Join(l.f.dir(), summariesFile)
	l.mu.Unlock()
	if err != nil || !usable {
		return err
	}
	n, err := l.newLog()
	if err != nil {
		return err
	}
	if err = n.copyFacts(path); err == nil {
		err = n.copySummaries()
	}
	if err != nil {
		n.abandon()
		return err
	}
	return n.finish()
}

// copyFacts takes over the facts that count.
func (n *newLog) copyFacts(path string) error {
	data, err := durable.ReadFile(n.l.f.fs(), path, maxListSize)
	if err != nil {
		return err
	}
	_, length, err := parseSummaryHeader(data)
	if err != nil {
		return err
	}
	facts := map[uint32]summaryRecord{}
	for data = data[length:]; len(data) >= summaryRecordSize; data = data[summaryRecordSize:] {
		if r, ok := parseSummaryRecord(data); ok && r.kind == recordFacts {
			facts[r.uid] = r
		}
	}
	var buf []byte
	if err := n.l.f.read(func(st *state) {
		for uid, r := range facts {
			if e := st.entries.find(uid); e != nil && nameSum(e.base) == r.file {
				buf = r.appendTo(buf)
			}
		}
	}); err != nil {
		return err
	}
	_, err = n.temp.Write(buf)
	return err
}

// copySummaries takes over the summaries that count, some at a time.
func (n *newLog) copySummaries() error {
	l, f := n.l, n.l.f
	for next := uint32(0); ; {
		var some []entry
		if err := f.read(func(st *state) { some = st.entries.some(next, summaryBatch) }); err != nil {
			return err
		}
		if len(some) == 0 {
			return nil
		}
		next = some[len(some)-1].uid + 1
		have := l.have(some)
		var list []summary
		for i := range some {
			if data, ok := have[some[i].uid]; ok {
				list = append(list, summary{&some[i], data})
			}
		}
		records, err := f.appendSummaries(n.dataPath(), list)
		if err != nil {
			return err
		}
		var buf []byte
		for i := range records {
			buf = records[i].appendTo(buf)
		}
		if _, err := n.temp.Write(buf); err != nil {
			return err
		}
	}
}
