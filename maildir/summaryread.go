package maildir

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/mailbricks/mailbricks/internal/durable"
)

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
	if l.ahead > 0 { // another process knew of messages before this one did: what it said of them is read now
		known := false
		if err := l.f.read(func(st *state) { known = l.ahead < st.next }); err != nil {
			return err
		}
		if known {
			l.forget()
		}
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
	l.head, l.start, l.info, l.read = summaryHeader{}, 0, nil, 0
	l.uids, l.places, l.ahead, l.records = nil, nil, 0, 0
}

// readHeader reads the first line. A log of another kind or version leaves l.head empty: it is begun anew with the first
// summary that is to be kept, also if it is of a newer one, since nothing is lost with it.
func (l *summaryLog) readHeader(file durable.File) error {
	buf := make([]byte, maxSummaryHeader)
	n, err := file.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return err
	}
	head, length, err := parseSummaryHeader(buf[:n])
	if err != nil {
		if errors.Is(err, errNewer) {
			l.f.account.maildir.logger().Info("maildir: log of summaries is made anew", "folder", l.f.dir(), "error", err)
		}
		return nil
	}
	validity := uint32(0)
	if err := l.f.read(func(st *state) { validity = st.validity }); err != nil {
		return err
	}
	if head.validity != validity || head.summary != summaryKind() {
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
			if r.uid >= st.next && (l.ahead == 0 || r.uid < l.ahead) {
				l.ahead = r.uid
			}
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

// put notes where summaries are; later ones count. l.mu is held.
func (l *summaryLog) put(records []summaryRecord) {
	if len(records) == 0 {
		return
	}
	slices.SortStableFunc(records, func(a, b summaryRecord) int { return cmp.Compare(a.uid, b.uid) })
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
