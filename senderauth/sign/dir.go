package sign

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/internal/durable"
)

const (
	keySuffix = ".key"
	// maxKeyFile and maxStateFile are how many octets such a file may have.
	maxKeyFile   = 64 << 10
	maxStateFile = 4 << 20
	// settled is how old a file must be when it is read for its time to tell the next change: file times are coarse.
	settled = 2 * time.Second
)

// Dir keeps keys as files, DOMAIN/SELECTOR.key under Root: PEM, PKCS #8 or PKCS #1, RSA or Ed25519. Domain and selector
// are in lower case with A-labels. A file that is put there, changed or taken away holds for the next message. The files
// are looked at for each; what they hold is kept in memory, as much as there is on disk.
//
// It makes folders of mode 0700 and files of mode 0600. One process at a time may call its methods that change
// something.
type Dir struct {
	// Root is the folder of the domains' folders. It may come into being later.
	Root string
	// State is the file that names each domain's active selectors, made when first needed: the first line
	// "mailbricks-dkim-selectors 2", then lines of a domain and its selectors, and lines in which a Rotation notes how far
	// it is. Where it says nothing of a domain, and where State is "", all the domain's keys are active.
	State string
	// Signer is what all signers have beside Domain, Selector and Key, which are filled in.
	Signer dkim.Signer
	// Logger is told of key files that others may read. nil: nobody.
	Logger *slog.Logger

	fsys durable.FS // nil: the system's

	mu    sync.Mutex
	cache map[string]*loaded // by domain
}

// loaded are a domain's signers and the files they came from.
type loaded struct {
	files   []fs.FileInfo // the state file, or nil, and then the keys by name
	names   []string      // of the key files
	at      time.Time     // when they were read
	signers []dkim.Signer
}

// Signers gives a signer for each active key of the domain: in the order of the state file, else by name. It fails if
// any of them is missing or bad, so that mail does not leave with less than was asked for.
func (d *Dir) Signers(ctx context.Context, domain string) ([]dkim.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	domain, err := canonical(domain)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	seen, err := d.look(domain)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", domain, err)
	}
	if seen == nil {
		delete(d.cache, domain)
		return nil, d.expectNone(domain)
	}
	if known := d.cache[domain]; known != nil && known.same(seen) {
		return slices.Clone(known.signers), nil
	}
	delete(d.cache, domain)
	if err := d.load(domain, seen); err != nil {
		return nil, fmt.Errorf("keys of %s: %w", domain, err)
	}
	if d.cache == nil {
		d.cache = make(map[string]*loaded)
	}
	d.cache[domain] = seen
	return slices.Clone(seen.signers), nil
}

// expectNone fails if the state names active keys of a domain that has no folder.
func (d *Dir) expectNone(domain string) error {
	s, err := d.readState()
	if err != nil {
		return fmt.Errorf("keys of %s: %w", domain, err)
	}
	if named, _ := s.signing(domain); len(named) > 0 {
		return fmt.Errorf("keys of %s: %s: %w", domain, d.keyFile(domain, named[0]), fs.ErrNotExist)
	}
	return nil
}

// look sees which files there are; nil when nothing is known of the domain.
func (d *Dir) look(domain string) (*loaded, error) {
	seen := &loaded{at: time.Now(), files: []fs.FileInfo{nil}}
	if d.State != "" {
		info, err := d.fs().Stat(d.State)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			seen.files[0] = info
		}
	}
	names, err := d.fs().ReadNames(filepath.Join(d.Root, domain))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		selector, isKey := strings.CutSuffix(name, keySuffix)
		if c, err := canonical(selector); !isKey || err != nil || c != selector {
			continue // no key of ours, or not finished
		}
		info, err := d.fs().Stat(filepath.Join(d.Root, domain, name))
		if err != nil {
			return nil, err
		}
		seen.names = append(seen.names, name)
		seen.files = append(seen.files, info)
	}
	return seen, nil
}

// same says whether the files are those from which l was read.
func (l *loaded) same(now *loaded) bool {
	if !slices.Equal(l.names, now.names) {
		return false
	}
	for i, was := range l.files {
		is := now.files[i]
		if (was == nil) != (is == nil) {
			return false
		}
		if was == nil {
			continue
		}
		if !durable.SameFile(was, is) || was.Size() != is.Size() || !was.ModTime().Equal(is.ModTime()) ||
			l.at.Sub(was.ModTime()) < settled {
			return false
		}
	}
	return true
}

// load reads the active keys among the files that were seen.
func (d *Dir) load(domain string, seen *loaded) error {
	active, err := d.active(domain, seen.selectors())
	if err != nil {
		return err
	}
	for _, selector := range active {
		key, err := d.readKey(domain, selector)
		if err != nil {
			return err
		}
		signer := d.Signer
		signer.Domain, signer.Selector, signer.Key = domain, selector, key
		seen.signers = append(seen.signers, signer)
	}
	return nil
}

func (l *loaded) selectors() []string {
	selectors := make([]string, len(l.names))
	for i, name := range l.names {
		selectors[i] = strings.TrimSuffix(name, keySuffix)
	}
	return selectors
}

// active are the selectors that the state names, all where it does not speak of the domain.
func (d *Dir) active(domain string, all []string) ([]string, error) {
	s, err := d.readState()
	if err != nil {
		return nil, err
	}
	return s.signingOr(domain, all), nil
}

func (d *Dir) readState() (*state, error) {
	if d.State == "" {
		return &state{}, nil
	}
	text, err := durable.ReadFile(d.fs(), d.State, maxStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &state{}, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := parseState(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.State, err)
	}
	return s, nil
}

func (d *Dir) readKey(domain, selector string) (crypto.Signer, error) {
	name := d.keyFile(domain, selector)
	text, err := durable.ReadFile(d.fs(), name, maxKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := dkim.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if info, err := d.fs().Stat(name); err == nil && readableByOthers(info.Mode()) && d.Logger != nil {
		d.Logger.Warn("sign: others may read a private key; its mode should be 0600", "file", name, "mode", info.Mode())
	}
	return key, nil
}

func (d *Dir) keyFile(domain, selector string) string {
	return filepath.Join(d.Root, domain, selector+keySuffix)
}

func (d *Dir) fs() durable.FS {
	if d.fsys == nil {
		return durable.OS()
	}
	return d.fsys
}
