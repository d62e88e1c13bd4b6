package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The file maildirsize of an account with a quota has how much mail there is, as Maildir++ describes it: the quota in the
// first line ("<octets>S,<messages>C", with what is limited of it), then lines "<octets> <messages>" whose sum it is. It is
// counted anew when it is old or long or says that there is no room, and once in each process, when nobody has written to it for
// settleTime: the one before may have ended between a message and its line.
const sizeFile = "maildirsize"

const (
	// maxSizeFile is how long it may become; the specification has this number.
	maxSizeFile = 5120
	// maxSizeAge is how long it is believed while nothing changes.
	maxSizeAge = 24 * time.Hour
)

// usage counts mail.
type usage struct{ bytes, messages int64 }

// plus adds up, to the largest number at most: names say what they want.
func (u usage) plus(v usage) usage {
	return usage{addUp(u.bytes, v.bytes), addUp(u.messages, v.messages)}
}

func addUp(a, b int64) int64 {
	switch {
	case a > 0 && b > math.MaxInt64-a:
		return math.MaxInt64
	case a < 0 && b < math.MinInt64-a:
		return math.MinInt64
	}
	return a + b
}

// setQuota says how much mail the account may have. It waits for nobody.
func (a *account) setQuota(quota mailbox.Limit) {
	quota = mailbox.Limit{Octets: max(quota.Octets, 0), Messages: max(quota.Messages, 0)}
	if a.limit() != quota {
		a.quota.Store(&quota)
	}
}

// limit is the most mail that the account may have; 0 octets or messages: any number.
func (a *account) limit() mailbox.Limit {
	if l := a.quota.Load(); l != nil {
		return *l
	}
	return mailbox.Limit{}
}

// limited says whether the account has a quota.
func (a *account) limited() bool { return a.limit() != mailbox.Limit{} }

// reserve makes room for more mail until release, or fails with mailbox.ErrQuota.
func (a *account) reserve(more usage) (release func(), err error) {
	a.quotaMu.Lock()
	defer a.quotaMu.Unlock()
	if !a.limited() {
		return func() {}, nil
	}
	if !a.fits(more) {
		return nil, mailbox.ErrQuota
	}
	used, counted, err := a.readSize()
	if err != nil {
		return nil, err
	}
	if !a.fits(used.plus(a.reserved).plus(more)) && !counted {
		if used, err = a.count(); err != nil {
			return nil, err
		}
	}
	if !a.fits(used.plus(a.reserved).plus(more)) {
		return nil, mailbox.ErrQuota
	}
	a.reserved = a.reserved.plus(more)
	return func() {
		a.quotaMu.Lock()
		defer a.quotaMu.Unlock()
		a.reserved = a.reserved.plus(usage{-more.bytes, -more.messages})
	}, nil
}

// fits says whether the account may have so much mail.
func (a *account) fits(u usage) bool {
	return a.limit().Allows(mailbox.Usage{Octets: u.bytes, Messages: u.messages})
}

// used is how much mail there is.
func (a *account) used() (usage, error) {
	a.quotaMu.Lock()
	defer a.quotaMu.Unlock()
	if !a.limited() {
		return a.countFiles()
	}
	u, _, err := a.readSize()
	return u, err
}

// Quota implements mailbox.QuotaKeeper.
func (s *store) Quota(ctx context.Context) (mailbox.Quota, error) {
	if err := ctx.Err(); err != nil {
		return mailbox.Quota{}, err
	}
	u, err := s.used()
	if err != nil {
		return mailbox.Quota{}, fmt.Errorf("maildir: quota: %w", err)
	}
	return mailbox.Quota{Used: mailbox.Usage{Octets: u.bytes, Messages: u.messages}, Limit: s.limit()}, nil
}

// addUsage notes a change.
func (a *account) addUsage(u usage) {
	if u == (usage{}) {
		return
	}
	a.quotaMu.Lock()
	defer a.quotaMu.Unlock()
	if !a.limited() {
		return
	}
	path := filepath.Join(a.dir, sizeFile)
	f, err := a.fs().OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if isNotExist(err) {
		return // counted when someone asks
	}
	if err == nil {
		_, err = f.Write(fmt.Appendf(nil, "%d %d\n", u.bytes, u.messages))
		_ = f.Close() // not synced: it can be counted anew
	}
	if err != nil {
		a.maildir.logger().Warn("maildir: quota is not counted", "file", path, "error", err)
		_ = a.fs().Remove(path)
		a.recount()
	}
}

// recount has the mail counted anew when someone asks.
func (a *account) recount() { a.maildir.sized.Delete(a.dir) }

// readSize gives what maildirsize says, or counts. counted says that the number is right for certain.
func (a *account) readSize() (u usage, counted bool, err error) {
	path := filepath.Join(a.dir, sizeFile)
	info, err := statOrNil(a.fs(), path)
	if err != nil {
		return usage{}, false, err
	}
	now := a.maildir.now()
	if info != nil && info.Size() <= maxSizeFile && now.Sub(info.ModTime()) <= maxSizeAge &&
		(a.maildir.hasSized(a.dir) || now.Sub(info.ModTime()) <= settleTime) {
		data, err := durable.ReadFile(a.fs(), path, 2*maxSizeFile)
		if err != nil {
			return usage{}, false, err
		}
		if u, ok := parseSize(string(data), a.limit()); ok {
			return u, false, nil
		}
	}
	u, err = a.count()
	return u, true, err
}

// hasSized says whether this process has counted the mail of an account.
func (m *Maildir) hasSized(dir string) bool {
	_, ok := m.sized.Load(dir)
	return ok
}

// parseSize adds up the lines. The file is not believed if it was made for another quota.
func parseSize(data string, quota mailbox.Limit) (usage, bool) {
	header, rest, ok := strings.Cut(data, "\n")
	if !ok || header != sizeHeader(quota) || rest == "" {
		return usage{}, false
	}
	var sum usage
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) != 2 || !strings.HasSuffix(line, "\n") {
			return usage{}, false
		}
		bytes, err := strconv.ParseInt(fields[0], 10, 64)
		messages, err2 := strconv.ParseInt(fields[1], 10, 64)
		if err != nil || err2 != nil {
			return usage{}, false
		}
		sum = sum.plus(usage{bytes, messages})
	}
	return sum, sum.bytes >= 0 && sum.messages >= 0
}

func sizeHeader(quota mailbox.Limit) string {
	var parts []string
	if quota.Octets > 0 {
		parts = append(parts, strconv.FormatInt(quota.Octets, 10)+"S")
	}
	if quota.Messages > 0 {
		parts = append(parts, strconv.FormatInt(quota.Messages, 10)+"C")
	}
	return strings.Join(parts, ",")
}

// count counts anew and writes the file.
func (a *account) count() (usage, error) {
	u, err := a.countFiles()
	if err != nil {
		return usage{}, err
	}
	text := fmt.Sprintf("%s\n%d %d\n", sizeHeader(a.limit()), u.bytes, u.messages)
	path := filepath.Join(a.dir, sizeFile)
	if err := durable.WriteFile(a.fs(), path, []byte(text), messagePerm); err != nil {
		return usage{}, err
	}
	a.maildir.sized.Store(a.dir, struct{}{})
	return u, nil
}

// dropSize removes the count of another program where there is no quota here: nobody goes on with it, so that it would be wrong
// when the tree goes back. Dovecot counts anew then.
func (a *account) dropSize() {
	a.quotaMu.Lock()
	defer a.quotaMu.Unlock()
	if path := filepath.Join(a.dir, sizeFile); !a.limited() {
		if err := a.fs().Remove(path); err != nil && !isNotExist(err) {
			a.maildir.logger().Warn("maildir: count of the mail is out of date", "file", path, "error", err)
		}
	}
}

// countFiles adds up the sizes of all messages; names that have none cost a look at the file.
func (a *account) countFiles() (usage, error) {
	folders, err := a.mailFolders()
	if err != nil {
		return usage{}, err
	}
	var u usage
	for _, folder := range append(folders, "") {
		for _, sub := range []string{"new", "cur"} {
			dir := filepath.Join(a.path(folder), sub)
			more, err := a.countFolder(dir)
			if folder != "" && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ELOOP)) { // until somebody mends it
				a.maildir.logger().Warn("maildir: mail in a folder that cannot be read is not counted", "folder", dir, "error", err)
				continue
			}
			if err != nil {
				return usage{}, err
			}
			u = u.plus(more)
		}
	}
	return u, nil
}

func (a *account) countFolder(dir string) (usage, error) {
	names, err := a.fs().ReadNames(dir)
	if isNotExist(err) {
		return usage{}, nil
	}
	if err != nil {
		return usage{}, err
	}
	var u usage
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		base, _ := splitName(name)
		size, ok := nameSize(base, 'S')
		if !ok {
			info, err := a.fs().Lstat(filepath.Join(dir, name))
			if err != nil || !info.Mode().IsRegular() {
				continue // gone meanwhile, or no message
			}
			size = info.Size()
		}
		u = u.plus(usage{size, 1})
	}
	return u, nil
}
