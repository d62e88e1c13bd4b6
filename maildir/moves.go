package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The file mailbricks-moves of an account says which messages are being moved, so that a message is never in two mailboxes for
// good, nor in none, wherever a move is cut (RFC 6851 §3.3). Behind its first line, its name and version, it has a line for each:
//
//	<folder>/<name before>/<name after>/<CRC-32C of what is before this slash in hexadecimal>
//
// The folder is that of the mailbox that the message is moved from, "." for INBOX, as it is called on disk; the names are those
// of files, without flags. The second is given once only. The first may be in another mailbox as well, if that is a copy that
// was made by hand. A line is on disk before its message has the second name in a mailbox. If both names are there when nobody
// is moving, the first is removed. The file is emptied when nobody moves anything. A line that is torn was never acted upon.
const (
	movesFile    = "mailbricks-moves"
	movesHead    = movesFile + " 1"
	movesLock    = movesFile + ".lock" // held by the process that writes the file
	maxMovesFile = 1 << 20             // octets; then new moves wait until all others are over
	maxMoves     = 256 << 20           // octets of a file that is read: at least 300,000 messages moved at once
)

var errManyMoves = errors.New("maildir: more messages than can be moved at once")

// moving is what this process moves in an account.
type moving struct {
	mu     sync.Mutex
	idle   *sync.Cond // active is 0
	active int        // moves that are going on
	lock   io.Closer
	file   durable.File
	size   int64
	syncs  *durable.Group
	broken bool // the file cannot be written to: it is made anew
	left   bool // a move has failed: both names may be there
}

// moved is a message that gets another name.
type moved struct{ folder, from, to string }

func (m moved) line() string {
	names := m.folder + "/" + m.from + "/" + m.to
	return fmt.Sprintf("%s/%08x\n", names, checksum([]byte(names)))
}

// parseMoves reads the file. What is no line is left out.
func parseMoves(data []byte) ([]moved, error) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	if string(head) != movesHead {
		if bytes.HasPrefix(head, []byte(movesFile+" ")) && len(rest) > 0 {
			return nil, fmt.Errorf("%w: moves %.40q", errNewer, head)
		}
		return nil, nil // torn, or none of ours
	}
	var out []moved
	for line := range strings.Lines(string(rest)) {
		fields := strings.Split(line, "/")
		if len(fields) != 4 || !isFolderName(fields[0]) || !validBase(fields[1]) || !validBase(fields[2]) {
			continue
		}
		if m := (moved{fields[0], fields[1], fields[2]}); m.line() == line {
			out = append(out, m)
		}
	}
	return out, nil
}

// beginMove notes that messages are being moved; that is on disk when it returns. Who has called it calls end, and says
// whether the first names are gone. If they may not be, end removes those that are to go, and fails if it cannot.
func (a *account) beginMove(list []moved) (end func(gone bool) error, err error) {
	m := &a.moving
	var text bytes.Buffer
	for _, one := range list {
		text.WriteString(one.line())
	}
	if text.Len() > maxMoves-maxMovesFile-len(movesHead)-1 {
		return nil, errManyMoves
	}
	m.mu.Lock()
	if m.idle == nil {
		m.idle = sync.NewCond(&m.mu)
	}
	for m.active > 0 && (m.size > maxMovesFile || m.broken) {
		m.idle.Wait()
	}
	if m.active == 0 {
		if err := a.openMoves(); err != nil {
			m.mu.Unlock()
			return nil, err
		}
	}
	m.active++
	end = func(gone bool) error { return a.endMove(gone) }
	n, err := m.file.Write(text.Bytes())
	m.size += int64(n)
	m.broken = m.broken || err != nil
	syncs := m.syncs
	m.mu.Unlock()
	if err == nil {
		err = syncs.Do()
	}
	if err != nil {
		m.mu.Lock()
		m.broken = true
		m.mu.Unlock()
		return nil, errors.Join(err, end(true))
	}
	return end, nil
}

// openMoves begins an empty file, when what is left of earlier moves is done. a.moving.mu is held.
func (a *account) openMoves() error {
	m := &a.moving
	lock, err := a.lockFile(movesLock)
	if err != nil {
		return err
	}
	err = a.replayMoves()
	if err == nil {
		err = a.makeMoves()
	}
	if err != nil {
		_ = lock.Close() // nothing was written to it
		return err
	}
	m.lock, m.left, m.broken = lock, false, false
	file := m.file
	m.syncs = durable.NewGroup(func() error { return durable.SyncData(file) })
	return nil
}

// makeMoves opens the file, which is empty, or makes it.
func (a *account) makeMoves() error {
	m, path := &a.moving, filepath.Join(a.dir, movesFile)
	info, err := statOrNil(a.fs(), path)
	if err != nil {
		return err
	}
	file, err := a.fs().OpenFile(path, os.O_RDWR|os.O_CREATE, messagePerm)
	if err != nil {
		return err
	}
	if info != nil && info.Size() > 0 {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.Write([]byte(movesHead + "\n"))
	}
	if err == nil && info == nil {
		err = a.syncDir(a.dir)
	}
	if err != nil {
		_ = file.Close() // it is begun anew next time
		return errors.Join(err, ignoreNotExist(a.fs().Remove(path)))
	}
	m.file, m.size = file, int64(len(movesHead)+1)
	return nil
}

// endMove is the end that beginMove gives.
func (a *account) endMove(gone bool) error {
	m := &a.moving
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = m.left || !gone
	if m.active--; m.active > 0 {
		if !gone {
			return errMoveLeft
		}
		return nil
	}
	defer m.idle.Broadcast()
	var err error
	if m.left {
		err = a.replayMoves()
	}
	_ = m.file.Close() // it was synced, or is removed
	switch {
	case err != nil: // the file stays, and who uses the account next goes on
		a.maildir.unready(a.dir)
	case m.broken:
		err = ignoreNotExist(a.fs().Remove(filepath.Join(a.dir, movesFile)))
	default:
		a.clearMoves()
	}
	m.file, m.left = nil, false
	return errors.Join(err, m.lock.Close())
}

// errMoveLeft: the messages are in both mailboxes until the moves that go on at the same time are over.
var errMoveLeft = errors.New("maildir: move is not over")

// unready has the next one who uses an account look for what is left to do.
func (m *Maildir) unready(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.ready, dir)
}

// clearMoves empties the file. That need not be on disk: its lines do nothing any more.
func (a *account) clearMoves() {
	if err := truncate(a.fs(), filepath.Join(a.dir, movesFile), 0); err != nil {
		a.maildir.logger().Debug("maildir: list of moves is not emptied", "folder", a.dir, "error", err)
	}
}

// finishMoves does moves that were interrupted to the end, unless another process is moving something.
func (a *account) finishMoves() error {
	info, err := statOrNil(a.fs(), filepath.Join(a.dir, movesFile))
	if err != nil || info == nil || info.Size() == 0 {
		return err
	}
	lock, err := a.fs().TryLock(filepath.Join(a.dir, movesLock))
	if errors.Is(err, durable.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := a.replayMoves(); err != nil {
		return fmt.Errorf("maildir: interrupted move: %w", err)
	}
	a.clearMoves()
	return nil
}

// replayMoves removes the first names of messages that have both. The lock of the file is held.
func (a *account) replayMoves() error {
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, movesFile), maxMoves)
	if err != nil {
		return ignoreNotExist(err)
	}
	list, err := parseMoves(data)
	if err != nil || len(list) == 0 {
		return err
	}
	next := make(map[string]string, len(list)) // the name after each
	files := make(map[string]string, len(list))
	sources := map[string]map[string]string{} // of each folder
	for _, m := range list {
		next[m.from] = m.to
		files[m.to] = ""
		if sources[m.folder] == nil {
			sources[m.folder] = map[string]string{}
		}
		sources[m.folder][m.from] = ""
	}
	folders, err := rawFolders(a.fs(), a.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := a.findFiles(folder, files); err != nil {
			return err
		}
	}
	for folder, names := range sources {
		if err := a.findFiles(folder, names); err != nil && !errors.Is(err, mailbox.ErrLocked) {
			return err
		} // of a folder that has another name on disk now, and can only be found with the keys, nothing is removed
	}
	var remove []string
	homes := map[string]bool{} // folders of the last names
	for _, m := range list {
		last := m.to
		for n := 0; files[last] == "" && next[last] != "" && n < len(list); n++ {
			last = next[last] // it was moved on
		}
		if from := sources[m.folder][m.from]; from != "" && files[last] != "" {
			remove = append(remove, from)
			homes[filepath.Dir(files[last])] = true
		}
	}
	return a.removeFirst(remove, homes)
}

// removeFirst removes files whose messages have another name, in folders to be synced before.
func (a *account) removeFirst(files []string, before map[string]bool) error {
	after := map[string]bool{}
	for dir := range before {
		if err := a.syncDir(dir); err != nil {
			return err
		}
	}
	for _, path := range files {
		if err := ignoreNotExist(a.fs().Remove(path)); err != nil {
			return err
		}
		after[filepath.Dir(path)] = true
	}
	for dir := range after {
		if err := a.syncDir(dir); err != nil {
			return err
		}
	}
	if len(files) == 0 {
		return nil
	}
	return ignoreNotExist(a.fs().Remove(filepath.Join(a.dir, sizeFile))) // it is counted anew
}

// findFiles sets the paths of messages in a folder by their names.
func (a *account) findFiles(folder string, files map[string]string) error {
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(a.path(folder), sub)
		names, err := a.fs().ReadNames(dir)
		if err != nil && !isNotExist(err) {
			return err
		}
		for _, name := range names {
			base, _ := splitName(name)
			if _, wanted := files[base]; wanted {
				files[base] = filepath.Join(dir, name)
			}
		}
	}
	return nil
}

// diskName is what the folder of a mailbox is called on disk, "." for INBOX.
func (a *account) diskName(folder string) (string, error) {
	if folder == "" {
		return ".", nil
	}
	if layer := a.vault.layer.Load(); layer != nil {
		if hidden, err := layer.Hidden(folder); hidden != "" || err != nil {
			return hidden, err
		}
	}
	return folder, nil
}
