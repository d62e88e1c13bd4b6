package reporting

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// The addresses that get nothing for now are in one file, which is written anew with each change:
//
//	mailbricks-dmarc-suppressed 1
//	CRC JSON                    an address and a time

const (
	suppressedFile    = "suppressed"
	suppressedFormat  = "mailbricks-dmarc-suppressed"
	suppressedVersion = 1
	// MaxSuppressed is how many addresses may be suppressed at a time.
	MaxSuppressed = 10_000
)

// ErrSuppressed: so many addresses are suppressed that there is no room for another.
var ErrSuppressed = errors.New("reporting: too many suppressed addresses")

// suppressions is when the suppression of an address ends. Reporter.mu protects it.
type suppressions struct{ until map[string]time.Time }

type suppression struct {
	Address string    `json:"to"`
	Until   time.Time `json:"until"`
}

// Suppress has no report sent to an address before until, for example because the last one bounced. A time in the past ends
// that. It returns when that is on disk. ErrSuppressed says that there are MaxSuppressed such addresses already.
func (r *Reporter) Suppress(ctx context.Context, address string, until time.Time) error {
	key, ok := addressKey(address)
	if !ok {
		return fmt.Errorf("reporting: %.320q is no mail address", address)
	}
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.users.Done()
	r.files.Lock()
	defer r.files.Unlock()
	now := r.time()
	r.mu.Lock()
	next := maps.Clone(r.suppressed.until)
	r.mu.Unlock()
	maps.DeleteFunc(next, func(_ string, t time.Time) bool { return !t.After(now) })
	delete(next, key)
	if until.After(now) {
		if len(next) >= MaxSuppressed {
			return ErrSuppressed
		}
		next[key] = until.UTC()
	}
	if err := r.writeSuppressed(next); err != nil {
		return fmt.Errorf("reporting: suppress: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suppressed.until = next
	return nil
}

// Suppressed are the addresses that get no reports for now, and until when.
func (r *Reporter) Suppressed() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]time.Time{}
	if !r.open {
		return out
	}
	now := r.time()
	for a, t := range r.suppressed.until {
		if t.After(now) {
			out[a] = t
		}
	}
	return out
}

// without gives the addresses that are not suppressed. The caller holds Reporter.mu.
func (s *suppressions) without(addresses []string, now time.Time) []string {
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool {
		key, _ := addressKey(a)
		return s.until[key].After(now)
	})
}

// addressKey is an address by which it is compared: nobody has two mailboxes that differ in case alone.
func addressKey(address string) (string, bool) {
	a, ok := dmarc.MailAddress("mailto:" + escape(address))
	return strings.ToLower(a), ok
}

// escape makes an address fit for a URI.
func escape(address string) string {
	var b strings.Builder
	for i := range len(address) {
		if c := address[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("%?#/", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (r *Reporter) writeSuppressed(until map[string]time.Time) error {
	data := fmt.Appendf(nil, "%s %d\n", suppressedFormat, suppressedVersion)
	for _, a := range slices.Sorted(maps.Keys(until)) {
		var err error
		if data, err = appendLine(data, suppression{Address: a, Until: until[a]}); err != nil {
			return err
		}
	}
	return durable.WriteFile(r.fs, filepath.Join(r.Dir, suppressedFile), data, fileMode)
}

// load reads the file.
func (s *suppressions) load(r *Reporter) error {
	s.until = map[string]time.Time{}
	f, err := r.fs.OpenFile(filepath.Join(r.Dir, suppressedFile), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	skipped, err := readLines(f, suppressedFormat, suppressedVersion, func(line []byte) error {
		var one suppression
		if err := durable.ParseRecord(line, &one); err != nil {
			return err
		}
		key, ok := addressKey(one.Address)
		if !ok {
			return fmt.Errorf("%w: address", durable.ErrCorrupt)
		}
		if len(s.until) < MaxSuppressed {
			s.until[key] = one.Until
		}
		return nil
	})
	if skipped > 0 {
		r.log().Warn("reporting: lines cannot be read", "file", suppressedFile, "lines", skipped)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", suppressedFile, err)
	}
	return nil
}
