package maildir

import (
	"io/fs"
	"path/filepath"
	"time"
)

// dirMark is a folder as it was when its names were read, or as this process has left it since.
type dirMark struct {
	mtime time.Time
	// settled: all that has happened with this mtime and before was there when the names were read.
	settled bool
	// at is when the mark was made, since when that was last certain, if it is not.
	at, since time.Time
}

const (
	// settleTime is how long two changes of a folder may have the same mtime (two seconds on FAT).
	settleTime = 2 * time.Second
	// maxUnsettled is how long changes of this process, each within settleTime of the last, may put off that the names are read
	// again: another program's change can hide behind them.
	maxUnsettled = 30 * time.Second
)

// markOf is the mark of a folder whose names are read after info was.
func markOf(info fs.FileInfo, now time.Time) dirMark {
	return dirMark{mtime: info.ModTime(), settled: now.Sub(info.ModTime()) > settleTime, at: now, since: now}
}

// again is the mark of a folder that has this one, and whose names are read once more.
func (m dirMark) again(info fs.FileInfo, now time.Time) dirMark {
	next := markOf(info, now)
	if !next.settled && m.mtime.Equal(next.mtime) { // the file system's clock may be ahead of ours
		next.settled = now.Sub(m.at) > settleTime
	}
	return next
}

// current says whether the folder is still as it was.
func (m dirMark) current(info fs.FileInfo, now time.Time) bool {
	return m.mtime.Equal(info.ModTime()) && (m.settled || now.Sub(m.at) <= settleTime && !m.overdue(now))
}

// overdue says that the names have to be read again, whoever has changed the folder since.
func (m dirMark) overdue(now time.Time) bool { return !m.settled && now.Sub(m.since) > maxUnsettled }

// changed is the mark after a change of this process. Another program may have changed the folder just before, which is
// certain only when the names are read again.
func (m dirMark) changed(info fs.FileInfo, now time.Time) dirMark {
	if m.settled {
		m.since = now
	}
	m.mtime, m.settled, m.at = info.ModTime(), false, now
	return m
}

// markFor is the mark of new or cur.
func (m *fileMarks) markFor(sub string) *dirMark {
	if sub == "new" {
		return &m.fresh
	}
	return &m.cur
}

// looking remembers how new or cur is just before its names are read.
func (tx *tx) looking(sub string) error {
	info, err := tx.f.fs().Stat(filepath.Join(tx.dir, sub))
	if err != nil {
		return err
	}
	mark := tx.files.markFor(sub)
	*mark = mark.again(info, tx.f.account.maildir.now())
	delete(tx.touched, sub)
	return nil
}

// touch notes that this run changes new or cur, whose names it has read or need not read.
func (tx *tx) touch(sub string) {
	if tx.touched == nil {
		tx.touched = map[string]bool{}
	}
	tx.touched[sub] = true
}

// mark remembers how the folder is now, so that changes of others are noticed: of new and cur only this run's own are left
// out. All is committed: what goes wrong here only has the files looked at once more.
func (tx *tx) mark() {
	f := tx.f
	for sub := range tx.touched {
		info, err := f.fs().Stat(filepath.Join(tx.dir, sub))
		if err != nil {
			f.rescan = true
			continue
		}
		mark := tx.files.markFor(sub)
		*mark = mark.changed(info, f.account.maildir.now())
	}
	tx.files.unfinished = f.rescan
	f.files, f.lines = tx.files, tx.lines
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = f.files
}
