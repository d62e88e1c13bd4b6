package reporting

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// The defaults of a Reporter's limits and times.
const (
	DefaultFlush      = 5 * time.Second
	DefaultSpread     = 8 * time.Hour
	DefaultKeep       = 4 * 24 * time.Hour
	DefaultMaxDomains = 10_000
	DefaultMaxRows    = 5_000
	DefaultMaxBytes   = 32 << 20
	DefaultMaxReport  = 10 << 20

	// RefusedTime is how long an address gets nothing for which Send said ErrUndeliverable.
	RefusedTime = 7 * 24 * time.Hour

	DefaultMaxFailures       = 100
	DefaultMaxDomainFailures = 10
)

var (
	// ErrClosed: the Reporter is not open.
	ErrClosed = errors.New("reporting: not open")
	// ErrLocked: another process, or another Reporter in this one, has the folder.
	ErrLocked = errors.New("the folder is in use by another process")
	// ErrVersion: a newer version of this package has written a file.
	ErrVersion = durable.ErrNewer
	// ErrUndeliverable is what Send's error has in its chain when an address is refused for good.
	ErrUndeliverable = errors.New("address is refused")
	// ErrRunning: Run runs already.
	ErrRunning = errors.New("reporting: Run was called twice")
)

// Reporter collects evaluations and sends reports; see the package comment. Its fields must not change once Open was
// called. All its methods may be called at the same time.
type Reporter struct {
	// Dir is the folder for what was collected; Open makes it if need be. One Reporter has it at a time.
	Dir string
	// Organization is the name of the one who reports, in reports and in front of Email; empty: Hostname.
	Organization string
	// Email is whom domain owners may write to, the author and the reverse-path of all reports. Mail from its domain must
	// pass DMARC (RFC 9990 §3.5.2), so what Send gets has to be signed for it or leave through a server that its SPF record
	// names. Bounces come to it.
	Email string
	// Hostname is the domain name that stands for this mail receiver, as in the subject and the file names of reports.
	Hostname string
	// Contact is further contact information for domain owners, such as a URL; it may be empty.
	Contact string
	// Send hands a report to a mail queue and returns nil when the queue has taken it for good. After an error it is called
	// again later, but for one that wraps ErrUndeliverable, as for an SMTP reply of 5xx: then the address is suppressed for
	// RefusedTime, as by Suppress. It is called for up to four reports at once, and must return when ctx ends.
	Send func(ctx context.Context, m Mail) error
	// Resolver asks the DNS whether the addresses want reports (RFC 9990 §4); nil: that of DMARC, or net.DefaultResolver.
	Resolver dmarc.Resolver
	// DMARC says how; its zero value will do.
	DMARC dmarc.Evaluator

	// Flush is how long an evaluation may wait until it is on disk; 0: 5 seconds. What was recorded within that time is
	// lost when the process or the machine stops without Close.
	Flush time.Duration
	// Spread is the time, from a quarter of an hour after the end of a day on, over which its reports are spread; 0: 8 hours.
	Spread time.Duration
	// Keep is how long after its end a day is kept when its reports cannot be sent, because this process did not run or
	// Send or the DNS failed; 0: 4 days.
	Keep time.Duration
	// MaxDomains is how many policy domains a day may have; 0: 10,000. Mail under further ones is not counted.
	MaxDomains int
	// MaxRows is how many different rows a domain may have in a day; 0: 5,000. What would be a further one is counted in the
	// report's error element alone.
	MaxRows int
	// MaxBytes is the memory that a day's rows may take, roughly; 0: 32 MiB. They take at most about twice that on disk.
	MaxBytes int64
	// MaxReport is the largest message that is sent, in bytes; 0: 10 MiB. Of a report that would be larger the rows that
	// count least are left out, and its error element says so.
	MaxReport int

	// FailureReports has Failure send failure reports (RFC 9991), which it does not otherwise. They tell a domain's owner
	// what stands in the header of single messages: think of your users' privacy (RFC 9991 §7).
	FailureReports bool
	// MaxFailures is how many failure reports leave in an hour in all, and MaxDomainFailures how many about one policy
	// domain; 0: 100 and 10. The others are dropped.
	MaxFailures, MaxDomainFailures int

	// Logger gets what an administrator should know. Nil discards.
	Logger *slog.Logger

	fs         durable.FS       // nil: the operating system's
	now        func() time.Time // nil: time.Now
	minRewrite int64

	// files is held by whoever writes to Dir, or reads from it, and may be held while mu is taken, not the other way
	// round. Nothing waits for a disk, the DNS or Send while it holds mu.
	files      sync.Mutex
	lock       io.Closer
	suppressed suppressions

	mu       sync.Mutex
	open     bool
	running  context.CancelFunc // of Run
	users    sync.WaitGroup     // calls that Close waits for
	days     map[date]*day
	seed     maphash.Seed
	wake     chan struct{} // something waits to be written; it has room for one
	failures failureQueue
}

// Mail is a report that is ready to leave.
type Mail struct {
	// From is the reverse-path and To the one recipient.
	From, To string
	// Key is the same whenever the same report is sent to the same address again, as after a crash between the call of Send
	// and the note of it: a queue that knows the key already must answer nil and do nothing. It has at most 100 octets and
	// should be remembered for Keep.
	Key string
	// Content is the message with CRLF line ends, the same each time but for the Date. All lines are of ASCII; only the
	// address To may not be.
	Content []byte
}

// Open makes the folder ready and reads what was collected and not sent. ErrLocked says that another process has it,
// ErrVersion that a newer version wrote it. A Reporter that was closed may be opened again.
func (r *Reporter) Open() error {
	if err := r.check(); err != nil {
		return err
	}
	r.files.Lock()
	defer r.files.Unlock()
	if r.lock != nil {
		return fmt.Errorf("reporting: open %s: %w", r.Dir, ErrLocked)
	}
	if r.fs == nil {
		r.fs = durable.OS()
	}
	if r.minRewrite == 0 {
		r.minRewrite = minRewrite
	}
	r.days, r.seed, r.wake = map[date]*day{}, maphash.MakeSeed(), make(chan struct{}, 1)
	r.failures = newFailureQueue()
	if err := r.openFiles(); err != nil {
		return fmt.Errorf("reporting: open %s: %w", r.Dir, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = true
	return nil
}

func (r *Reporter) check() error {
	at := strings.LastIndexByte(r.Email, '@')
	switch _, ok := dmarc.MailAddress("mailto:" + r.Email); {
	case r.Dir == "":
		return errors.New("reporting: no Dir")
	case r.Send == nil:
		return errors.New("reporting: no Send")
	case at < 0 || !ok || !isVisibleASCII(r.Email):
		return fmt.Errorf("reporting: %.255q is no mail address", r.Email)
	case !isHostname(r.Hostname):
		return fmt.Errorf("reporting: %.255q is no host name", r.Hostname)
	}
	return nil
}

// isHostname: it may stand in a file name and in a Subject field.
func isHostname(s string) bool {
	name, ok := domainname.Identity(s)
	return ok && isVisibleASCII(s) && len(name) == len(s) // thus without a final dot
}

func isVisibleASCII(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f }) < 0
}

func (r *Reporter) openFiles() (err error) {
	if err := durable.MkdirAll(r.fs, r.Dir, dirMode); err != nil {
		return err
	}
	lock, err := r.fs.TryLock(filepath.Join(r.Dir, "lock"))
	if errors.Is(err, durable.ErrLocked) {
		return ErrLocked
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
			r.lock = nil
		}
	}()
	r.lock = lock
	// Nobody else writes here now, so that all temporary files are left over, whatever the clock said then.
	if err := durable.CleanTemps(r.fs, r.Dir, time.Unix(1<<40, 0)); err != nil {
		return err
	}
	if err := r.suppressed.load(r); err != nil {
		return err
	}
	return r.load()
}

// Close ends Run, writes what was not written yet and gives the folder up. Its error says that something could not be
// written and is lost.
func (r *Reporter) Close() error {
	r.mu.Lock()
	if !r.open {
		r.mu.Unlock()
		return nil
	}
	r.open = false
	if r.running != nil {
		r.running()
	}
	r.mu.Unlock()
	r.users.Wait()

	err := r.flush()
	r.files.Lock()
	defer r.files.Unlock()
	for _, d := range r.days {
		d.file.drop()
	}
	lock := r.lock
	r.lock = nil
	return errors.Join(err, lock.Close())
}

// enter counts a call that uses the files, so that Close can wait for it; users.Done ends it.
func (r *Reporter) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return ErrClosed
	}
	r.users.Add(1)
	return nil
}

// flush writes what was recorded since the last time.
func (r *Reporter) flush() error {
	r.files.Lock()
	defer r.files.Unlock()
	var errs []error
	for _, d := range r.sortedDays() {
		if err := r.save(d); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *Reporter) limits() limits {
	return limits{
		domains: orDefault(r.MaxDomains, DefaultMaxDomains), rows: orDefault(r.MaxRows, DefaultMaxRows),
		bytes: orDefault(r.MaxBytes, DefaultMaxBytes),
	}
}

func orDefault[T int | int64 | time.Duration](value, otherwise T) T {
	if value <= 0 {
		return otherwise
	}
	return value
}

func (r *Reporter) time() time.Time {
	if r.now != nil {
		return r.now()
	}
	return time.Now()
}

func (r *Reporter) log() *slog.Logger {
	if r.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Logger
}

func (r *Reporter) organization() string {
	if r.Organization == "" {
		return r.Hostname
	}
	return r.Organization
}

// evaluator finds the destinations of reports.
func (r *Reporter) evaluator() *dmarc.Evaluator {
	e := r.DMARC
	if e.Resolver == nil {
		e.Resolver = r.Resolver
	}
	if e.Resolver == nil {
		e.Resolver = net.DefaultResolver
	}
	return &e
}
