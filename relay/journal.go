package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// The journal says what became of the recipients of the messages:
//
//	mailbricks-queue-journal 1
//	CRC JSON                    a change, see change
//
// Its file is journal.N. It is written anew as journal.N+1, with one change for each message that is not fresh, when it
// has grown too large, after a fault, and at each start, so that nothing is ever appended to a torn line. Lines that
// cannot be read are left out: what is lost with them is knowledge, and the message is tried again.

const (
	journalFormat  = "mailbricks-queue-journal"
	journalVersion = 1
	journalPrefix  = "journal."
	// maxChange is the most octets that one line has: all recipients of a message, each with its texts at their longest.
	maxChange = 64 << 20
	// minRewrite is the size in octets below which the journal is not written anew. It bounds the memory for the contents
	// that are in it, too.
	minRewrite = 8 << 20
)

// change is the new state of some recipients of a message, or its end.
type change struct {
	ID string `json:"id"`
	// File is the message file of a small message that is new, see loose.
	File  []byte         `json:"file,omitempty"`
	Rcpts map[int]status `json:"r,omitempty"`
	Held  *bool          `json:"held,omitempty"`
	End   *end           `json:"end,omitempty"`
}

// end says that a message has left the queue; its file may be removed. What is remembered of it is there only where
// somebody may ask.
type end struct {
	At    time.Time `json:"at"`
	Key   string    `json:"key,omitempty"`
	From  string    `json:"from,omitempty"`
	Rcpts []string  `json:"to,omitempty"`
}

// journal appends changes; many that wait at the same time share one sync.
type journal struct {
	fs    durable.FS
	dir   string
	group *durable.Group
	// rewrite gives the lines of a journal that begins now. It is called with neither mu nor Queue.mu held and calls
	// take(nil), under Queue.mu, in the moment that they describe.
	rewrite func() ([]byte, error)

	broken atomic.Bool // the last run has failed and left no file to append to

	mu  sync.Mutex
	buf []byte // appended, not written yet

	// The rest belongs to the one run of group.
	file   durable.File // nil: must be written anew first
	number int
	size   int64
	limit  int64 // the size at which it is written anew
	min    int64 // below it, never
}

func newJournal(fsys durable.FS, dir string, rewrite func() ([]byte, error)) *journal {
	j := &journal{fs: fsys, dir: dir, rewrite: rewrite, min: minRewrite}
	j.group = durable.NewGroup(j.flush)
	return j
}

// add appends a change in memory; commit brings it to the disk. The caller holds Queue.mu, so that the order of changes
// is that of the states in memory.
func (j *journal) add(c change) {
	line, err := durable.AppendRecord(nil, c)
	if err != nil {
		return // cannot be: these types always have a JSON form
	}
	j.addLine(line)
}

func (j *journal) addLine(line []byte) {
	j.mu.Lock()
	j.buf = append(j.buf, line...)
	j.mu.Unlock()
}

// commit returns when all that was added before is on disk.
func (j *journal) commit() error {
	if err := j.group.Do(); err != nil {
		return fmt.Errorf("relay: journal: %w", err)
	}
	return nil
}

// take empties the buffer and gives what was in it.
func (j *journal) take() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	buf := j.buf
	j.buf = nil
	return buf
}

func (j *journal) flush() error {
	err := j.write()
	if j.broken.Store(err != nil && j.file == nil); j.broken.Load() {
		j.take() // the next run begins with all that is in memory, of which this was a part
	}
	return err
}

func (j *journal) write() error {
	if j.file == nil || j.size >= j.limit {
		err := j.begin()
		if err == nil || j.file == nil {
			return err
		}
		j.limit = j.size + j.min // this one can still be added to; the next try comes later
	}
	buf := j.take()
	if len(buf) == 0 {
		return nil
	}
	_, err := j.file.Write(buf)
	if err == nil {
		err = durable.SyncData(j.file)
	}
	if err != nil { // nobody knows what is on disk now: all is written anew, by the next run or this one
		j.drop()
		if j.begin() == nil {
			return nil
		}
		return err
	}
	j.size += int64(len(buf))
	return nil
}

// begin writes the journal anew. If it fails, there is still a file only where nothing was taken from the buffer.
func (j *journal) begin() error {
	lines, err := j.rewrite()
	if err != nil {
		return err
	}
	j.drop()
	number := j.number + 1
	name := filepath.Join(j.dir, journalPrefix+strconv.Itoa(number))
	f, err := j.create(name, lines)
	if err != nil {
		return err
	}
	j.number = number // also when the name may be lost: it is not used again
	if err := j.fs.SyncDir(j.dir); err != nil {
		_ = f.Close()
		return err
	}
	j.file, j.size = f, int64(len(lines))
	j.limit = max(j.min, 2*j.size)
	j.removeOld()
	return nil
}

// create writes a journal under a name of its own before it gets its real one, and gives it open for appending.
func (j *journal) create(name string, lines []byte) (durable.File, error) {
	data := fmt.Appendf(nil, "%s %d\n%s", journalFormat, journalVersion, lines)
	if err := durable.ReplaceFile(j.fs, name, data, fileMode); err != nil {
		return nil, err
	}
	return j.fs.OpenFile(name, os.O_WRONLY|os.O_APPEND, fileMode)
}

// drop gives up the file.
func (j *journal) drop() {
	if j.file != nil {
		_ = j.file.Close() // what counts has been synced
		j.file = nil
	}
}

// removeOld removes the journals before this one. One that stays is removed the next time.
func (j *journal) removeOld() {
	numbers, err := journalNumbers(j.fs, j.dir)
	if err != nil {
		return
	}
	for _, n := range numbers {
		if n < j.number {
			_ = j.fs.Remove(filepath.Join(j.dir, journalPrefix+strconv.Itoa(n)))
		}
	}
}

// journalNumbers lists the journals in a folder, in order.
func journalNumbers(fsys durable.FS, dir string) ([]int, error) {
	names, err := fsys.ReadNames(dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		number, ok := strings.CutPrefix(name, journalPrefix)
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// readJournal calls apply for each change of the newest journal and gives its number; skipped counts the lines that
// could not be read.
func readJournal(fsys durable.FS, dir string, apply func(change)) (number, skipped int, err error) {
	numbers, err := journalNumbers(fsys, dir)
	if err != nil || len(numbers) == 0 {
		return 0, 0, err
	}
	number = numbers[len(numbers)-1]
	f, err := fsys.OpenFile(filepath.Join(dir, journalPrefix+strconv.Itoa(number)), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return number, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	skipped, err = scanJournal(f, apply)
	return number, skipped, err
}

func scanJournal(f io.Reader, apply func(change)) (skipped int, err error) {
	r := bufio.NewReaderSize(f, 64<<10)
	first, err := readLine(r, 64)
	if errors.Is(err, durable.ErrCorrupt) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	if err := durable.CheckFormat(first, journalFormat, journalVersion); errors.Is(err, ErrVersion) {
		return 0, err
	} else if err != nil {
		skipped++ // the lines below have checksums of their own
	}
	for {
		line, err := readLine(r, maxChange)
		switch {
		case errors.Is(err, durable.ErrCorrupt) && len(line) == 0 && atEnd(r):
			return skipped, nil
		case errors.Is(err, durable.ErrCorrupt):
			skipped++
			continue
		case err != nil:
			return skipped, err
		}
		var c change
		if err := durable.ParseRecord(bytes.TrimRight(line, "\r"), &c); err != nil {
			skipped++
			continue
		}
		apply(c)
	}
}

func atEnd(r *bufio.Reader) bool {
	_, err := r.Peek(1)
	return errors.Is(err, io.EOF)
}
