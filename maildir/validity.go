package maildir

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// maxTimedValidity is the latest time that is taken for a UIDVALIDITY, in Unix seconds: in 2100. A clock that is further
// ahead must not use up the numbers.
const maxTimedValidity = 4_102_444_800

// errNoValidity is for an account that has given every UIDVALIDITY there is.
var errNoValidity = errors.New("maildir: account has no UIDVALIDITY left")

// nextValidity gives a UIDVALIDITY that no mailbox of the account had before: RFC 3501 §2.3.1.1 wants it to grow when a
// mailbox is made again under a name.
func (a *account) nextValidity() (uint32, error) { return a.validityAbove(0) }

// validityAbove is nextValidity for a mailbox that is known to have had this one. Neither depends on the clock: it only
// keeps numbers apart where nothing else is left that tells of earlier ones.
func (a *account) validityAbove(had uint32) (uint32, error) {
	lock, err := a.lockFile(validityLock)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	path := filepath.Join(a.dir, validityFile)
	data, err := durable.ReadFile(a.fs(), path, 64)
	if err != nil && !isNotExist(err) {
		return 0, err
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(data)), 16, 32)
	if err != nil { // none yet, or damaged
		last = uint64(a.validityInUse())
	}
	last = max(last, uint64(had))
	next := last + 1
	if now := a.maildir.now().Unix(); now > int64(last) && now <= maxTimedValidity {
		next = uint64(now)
	}
	if next > math.MaxUint32 {
		return 0, errNoValidity
	}
	text := fmt.Sprintf("%0*x", validityDigits, next)
	if err := durable.WriteFile(a.fs(), path, []byte(text), messagePerm); err != nil {
		return 0, err
	}
	a.renameValidity(text)
	return uint32(next), nil
}

// validityInUse is the largest UIDVALIDITY that anything in the account tells of. What cannot be read tells nothing.
func (a *account) validityInUse() uint32 {
	names, err := a.fs().ReadNames(a.dir)
	if err != nil {
		return 0
	}
	last := a.validityOf(a.dir)
	for _, name := range names {
		if number, ok := strings.CutPrefix(name, validityFile+"."); ok && len(number) == validityDigits {
			if n, err := strconv.ParseUint(number, 16, 32); err == nil {
				last = max(last, uint32(n))
			}
		} else if strings.HasPrefix(name, ".") {
			last = max(last, a.validityOf(filepath.Join(a.dir, name)))
		}
	}
	return last
}

// validityOf is the largest UIDVALIDITY that the index files of a folder tell of, or else its times where it has messages:
// UIDVALIDITYs are times, and the clock was not behind these.
func (a *account) validityOf(dir string) uint32 {
	last := a.validityOfIndex(dir)
	if list, _, err := parseUIDHeader(a.firstLine(filepath.Join(dir, uidlistFile))); err == nil {
		last = max(last, list.validity)
	}
	for _, sub := range []string{"cur", "new"} {
		sub = filepath.Join(dir, sub)
		info, err := a.fs().Stat(sub)
		if err != nil {
			continue
		}
		at := info.ModTime().Unix() + validityMargin
		if at <= int64(last) || at > maxTimedValidity {
			continue
		}
		if names, err := a.fs().ReadNames(sub); err == nil && len(names) > 0 {
			last = uint32(at)
		}
	}
	return last
}

// validityMargin is how far ahead of the time a UIDVALIDITY may be that was given before: that many mailboxes may have been
// made in a second, and more only where the file that tells of the last one is lost again and again.
const validityMargin = 60

// validityOfIndex is the UIDVALIDITY that a folder's index is for, 0 if there is none.
func (a *account) validityOfIndex(dir string) uint32 {
	if x, err := parseIndexHeader(a.firstLine(filepath.Join(dir, indexFile))); err == nil {
		return x.validity
	}
	return 0
}

// firstLine is a file's, without its end; empty if it cannot be read.
func (a *account) firstLine(path string) string {
	file, err := a.fs().OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	defer file.Close()
	buf := make([]byte, maxFirstLine)
	n, err := io.ReadFull(file, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return ""
	}
	line, _, ok := strings.Cut(string(buf[:n]), "\n")
	if !ok {
		return ""
	}
	return line
}

// maxFirstLine bounds what is read of a file for its first line.
const maxFirstLine = 1 << 10

// renameValidity gives the empty file that Dovecot looks at first, if there is one, the new number: its name is the number.
// Where that fails Dovecot takes the larger of its own and the time.
func (a *account) renameValidity(number string) {
	names, err := a.fs().ReadNames(a.dir)
	if err != nil {
		return
	}
	for _, name := range names {
		old, ok := strings.CutPrefix(name, validityFile+".")
		if _, err := strconv.ParseUint(old, 16, 32); ok && err == nil && len(old) == len(number) {
			_ = a.fs().Rename(filepath.Join(a.dir, name), filepath.Join(a.dir, validityFile+"."+number))
			return
		}
	}
}
