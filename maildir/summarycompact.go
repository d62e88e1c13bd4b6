package maildir

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

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
