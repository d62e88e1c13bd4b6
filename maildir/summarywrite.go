package maildir

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

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
	usable := l.head.data != ""
	l.mu.Unlock()
	if err != nil {
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
		if err := truncate(f.fs(), path, read); err != nil {
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

func truncate(fsys durable.FS, path string, size int64) error {
	file, err := fsys.OpenFile(path, os.O_RDWR, 0)
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
	if at < int64(len(summariesData)) { // no file of ours any more
		return nil, &fs.PathError{Op: "append", Path: path, Err: fs.ErrNotExist}
	}
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
