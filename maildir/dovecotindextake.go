package maildir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
)

// maxDovecotMembers and maxDovecotNamesSize bound what of Dovecot's keywords is taken over: how many there are in all sets
// that differ, and how many octets they have in the index.
const (
	maxDovecotMembers   = 1 << 22
	maxDovecotNamesSize = maxListSize / 4
)

// takeDovecotKeywords gives the messages of a folder that has no index of ours yet the keywords without a letter that
// Dovecot's index has. Nothing is staged: the first commit writes the index with all that st has. Of what has a letter, and
// of flags, only the names of the files count.
func (tx *tx) takeDovecotKeywords() error {
	st := tx.st
	if slices.Contains(st.keywords.letters[:], "") || st.entries.len() == 0 { // Dovecot gives letters as long as there are any
		return nil
	}
	x, err := tx.readDovecotIndex()
	if err != nil && !errors.Is(err, errDovecot) {
		return err
	}
	if err == nil && x.validity != st.validity {
		x, err = nil, dovecotError("it is for another UIDVALIDITY")
	}
	if x != nil {
		if takeErr := tx.takeKeywordsOf(x); takeErr != nil {
			err = takeErr
		}
	}
	if err != nil {
		tx.f.account.maildir.logger().Warn("maildir: keywords beyond 26 that only Dovecot's index has may be lost", "folder", tx.dir, "error", err)
	}
	return nil
}

// takeKeywordsOf brings what was read into st.
func (tx *tx) takeKeywordsOf(x *dovecotIndex) error {
	if x.size() > maxDovecotNamesSize {
		return dovecotError("too many keywords")
	}
	sets, members := map[string]*keywordSet{}, 0
	for uid, bits := range x.sets {
		if sets[bits] == nil {
			sets[bits] = newKeywordSet(x.keywords(uid))
			if members += len(sets[bits].names); members > maxDovecotMembers {
				return dovecotError("too many keywords")
			}
		}
	}
	for uid, bits := range x.sets {
		e := *tx.st.entries.find(uid)
		e.extra = sets[bits]
		tx.st.replace(e)
	}
	used := map[string]bool{}
	for _, set := range sets {
		for _, name := range set.names {
			used[name] = true
		}
	}
	for _, name := range x.names {
		if used[name] {
			tx.st.keywords.rest = append(tx.st.keywords.rest, mailbox.Flag(name))
		}
	}
	return nil
}

// readDovecotIndex reads what Dovecot has in the folder. With errDovecot it may give what was understood.
func (tx *tx) readDovecotIndex() (*dovecotIndex, error) {
	uids := make([]uint32, 0, tx.st.entries.len())
	for e := range tx.st.entries.all() {
		uids = append(uids, e.uid)
	}
	x := newDovecotIndex(uids, func(f mailbox.Flag) bool {
		letter, _ := tx.st.keywords.find(f)
		return letter < 0
	})
	var logs [2]*dovecotLog
	if err := tx.readDovecotFile(x); err != nil {
		return nil, err
	}
	for i, name := range []string{dovecotOldLogFile, dovecotLogFile} {
		log, err := tx.readDovecotLog(name)
		switch {
		case errors.Is(err, errDovecot) && x.hasIndex && i == 1:
			return x, err
		case err != nil && !(errors.Is(err, errDovecot) && i == 0): // it tells where the old one is missed
			return nil, err
		}
		logs[i] = log
	}
	if !x.hasIndex && logs[1] == nil {
		return nil, dovecotError("it is missing")
	}
	return x, x.readLogs(logs[0], logs[1])
}

// readDovecotFile reads dovecot.index, if there is one.
func (tx *tx) readDovecotFile(x *dovecotIndex) error {
	file, err := tx.openDovecot(dovecotIndexFile)
	if file == nil {
		return err
	}
	defer file.Close()
	return dovecotSealed(x.readIndex(bufio.NewReaderSize(file, 64<<10)))
}

// readDovecotLog reads a log; nil: there is none.
func (tx *tx) readDovecotLog(name string) (*dovecotLog, error) {
	file, err := tx.openDovecot(name)
	if file == nil {
		return nil, err
	}
	_ = file.Close()
	data, err := durable.ReadFile(tx.f.fs(), filepath.Join(tx.dir, name), maxDovecotLog)
	if isNotExist(err) {
		return nil, nil
	}
	if errors.Is(err, durable.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", errDovecot, err)
	}
	if err != nil {
		return nil, dovecotSealed(err)
	}
	return parseDovecotLog(data)
}

// openDovecot opens a file of Dovecot's; nil: there is none.
func (tx *tx) openDovecot(name string) (durable.File, error) {
	path := filepath.Join(tx.dir, name)
	info, err := statOrNil(tx.f.fs(), path)
	if err != nil || info == nil {
		return nil, dovecotSealed(err)
	}
	if !info.Mode().IsRegular() {
		return nil, dovecotError(name + " is no file")
	}
	file, err := tx.f.fs().OpenFile(path, os.O_RDONLY, 0)
	if isNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, dovecotSealed(err)
	}
	return file, nil
}

// dovecotSealed is err, which does not come from the disk if the file must not be read or is none of an encrypted account.
func dovecotSealed(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, sealed.ErrDamaged) || errors.Is(err, sealed.ErrNoKey) {
		return fmt.Errorf("%w: %w", errDovecot, err)
	}
	return err
}

// takeDovecotKeywords opens those of these folders that were never opened and may have keywords only in Dovecot's index, which
// is in no backup. If one cannot be, it is not for the backup to say.
func (a *account) takeDovecotKeywords(ctx context.Context, folders []string) {
	for _, folder := range folders {
		dir := a.path(folder)
		info, err := statOrNil(a.fs(), filepath.Join(dir, indexFile))
		if err != nil || info != nil || ctx.Err() != nil {
			continue
		}
		kw, _, err := loadKeywords(a.fs(), dir)
		if err != nil || slices.Contains(kw.letters[:], "") {
			continue
		}
		f := a.folder(folder)
		if err := f.submit(nil); err != nil {
			a.maildir.logger().Warn("maildir: keywords beyond 26 that only Dovecot's index has may not be in the backup", "folder", dir, "error", err)
		}
		a.leave(f)
	}
}
