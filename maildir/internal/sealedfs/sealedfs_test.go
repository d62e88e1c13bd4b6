package sealedfs_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/maildir/internal/sealedfs"
)

const root = "/a"

var errLocked = errors.New("locked")

// pair is keys of an account.
type pair struct {
	sealer *sealed.Sealer
	ring   *sealed.Keyring
	names  []byte
}

func newPair(t require.TestingT) *pair {
	key, err := sealed.GenerateKey()
	require.NoError(t, err)
	return &pair{sealed.NewSealer(key.Public()), sealed.NewKeyring(key), []byte(strings.Repeat("n", 32))}
}

func (p *pair) mode() sealedfs.Mode {
	return sealedfs.Mode{Sealer: p.sealer, Keyring: p.ring, Names: p.names}
}

// after is another pair, which opens what is for p as well.
func (p *pair) after(t require.TestingT) *pair {
	next := newPair(t)
	next.ring.Also(p.ring)
	return next
}

func newDisk(t require.TestingT) *crashfs.FS {
	disk := crashfs.New()
	require.NoError(t, disk.Mkdir(root, 0o700))
	require.NoError(t, makeBox(disk, root))
	require.NoError(t, disk.SyncDir("/"))
	return disk
}

func makeBox(fsys durable.FS, dir string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := fsys.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func layerOver(disk durable.FS, mode sealedfs.Mode) *sealedfs.FS {
	l := sealedfs.New(disk, root, errLocked)
	l.SetMode(mode)
	return l
}

// put writes a file in pieces, as a message is: into tmp and then to its name.
func put(fsys durable.FS, temp, name, content string) error {
	f, err := fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for len(content) > 0 {
		n := min(len(content), 5000)
		if _, err := f.Write([]byte(content[:n])); err != nil {
			return err
		}
		content = content[n:]
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return fsys.Rename(temp, name)
}

func appendTo(fsys durable.FS, name, content string) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Sync(), f.Close())
}

func cut(fsys durable.FS, name string, size int64) error {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

func read(fsys durable.FS, name string) (string, error) {
	data, err := durable.ReadFile(fsys, name, 0)
	return string(data), err
}

// tree lists all files with their contents and sizes, but those that stay of the layer itself.
func tree(fsys durable.FS, dir string) (out []string, err error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := fsys.Stat(path)
		if err != nil {
			return nil, err
		}
		if e.IsDir() {
			below, err := tree(fsys, path)
			if err != nil {
				return nil, err
			}
			out = append(append(out, path), below...)
			continue
		}
		if e.Name() == sealedfs.NameFile {
			continue
		}
		content, err := read(fsys, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, fmt.Sprintf("%s %d %q", path, info.Size(), content))
	}
	slices.Sort(out)
	return out, nil
}

// plainOn gives what of the disk is in the clear and holds the word.
func plainOn(t require.TestingT, disk *crashfs.FS, word string) (out []string) {
	for e := range disk.Walk() {
		data, err := read(disk, e.Name)
		if err == nil && strings.Contains(data, word) || strings.Contains(e.Name, word) {
			out = append(out, e.Name)
		}
	}
	return out
}

// Whatever is done through the layer gives what it gives without, while keys change, encryption is turned on and off and
// everything is converted.
func TestLayerIsLikeNone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := newPair(t)
		disk, plain := newDisk(t), newDisk(t)
		layer := layerOver(disk, keys.mode())
		both := func(do func(durable.FS) error) {
			got, want := do(layer), do(plain)
			require.Equal(t, want == nil, got == nil, "with the layer: %v, without: %v", got, want)
			require.Equal(t, errors.Is(want, fs.ErrNotExist), errors.Is(got, fs.ErrNotExist), "with the layer: %v, without: %v", got, want)
		}
		boxes := []string{"", ".Oneness", ".Oneness.Two", ".Three"}
		box := func(label string) string { return filepath.Join(root, rapid.SampledFrom(boxes).Draw(t, label)) }
		text := func() string {
			return strings.Repeat("marker ", rapid.SampledFrom([]int{0, 1, 10, 2340, 2341, 5000}).Draw(t, "length"))
		}
		message := func(dir string) string {
			return filepath.Join(dir, "cur", rapid.SampledFrom([]string{"m1", "m2:2,S"}).Draw(t, "message"))
		}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				want, err := tree(plain, root)
				require.NoError(t, err)
				got, err := tree(layer, root)
				require.NoError(t, err)
				require.Equal(t, want, got)
			},
			"mailbox": func(t *rapid.T) {
				dir := box("box")
				both(func(f durable.FS) error {
					if err := f.Mkdir(dir, 0o700); err != nil {
						return err
					}
					return makeBox(f, dir)
				})
			},
			"rename": func(t *rapid.T) {
				from, to := box("from"), box("to")
				if from == root || to == root {
					return
				}
				if _, err := plain.Stat(to); err == nil {
					return
				}
				both(func(f durable.FS) error { return f.Rename(from, to) })
			},
			"message": func(t *rapid.T) {
				n++
				dir, content := box("box"), text()
				name := message(dir)
				both(func(f durable.FS) error { return put(f, filepath.Join(dir, "tmp", fmt.Sprint(n)), name, content) })
			},
			"copy": func(t *rapid.T) {
				n++
				from, dir := message(box("from")), box("to")
				temp, to := filepath.Join(dir, "tmp", fmt.Sprint(n)), message(dir)
				both(func(f durable.FS) error {
					if err := f.Link(from, temp); err != nil {
						return err
					}
					if err := f.Rename(temp, to); err != nil {
						return err
					}
					if err := f.Remove(temp); !errors.Is(err, fs.ErrNotExist) { // one file has both names
						return err
					}
					return nil
				})
			},
			"flags": func(t *rapid.T) {
				dir := box("box")
				from, to := message(dir), message(dir)
				a, err := plain.Stat(from)
				if b, err2 := plain.Stat(to); err == nil && err2 == nil && durable.SameFile(a, b) {
					return // nothing happens where they are one file, which need not be so below the layer
				}
				both(func(f durable.FS) error { return f.Rename(from, to) })
			},
			"small": func(t *rapid.T) {
				dir, content := box("box"), text()
				name := rapid.SampledFrom([]string{"subscriptions", "dovecot-keywords", "dovecot-uidlist"}).Draw(t, "name")
				both(func(f durable.FS) error {
					return durable.WriteFile(f, filepath.Join(dir, name), []byte(content), 0o600)
				})
			},
			"log": func(t *rapid.T) {
				dir, content := box("box"), text()
				both(func(f durable.FS) error { return appendTo(f, filepath.Join(dir, "mailbricks-index"), content) })
			},
			"cut": func(t *rapid.T) {
				name := filepath.Join(box("box"), "mailbricks-index")
				info, err := plain.Stat(name)
				if err != nil {
					return
				}
				size := rapid.Int64Range(0, info.Size()).Draw(t, "size")
				both(func(f durable.FS) error { return cut(f, name, size) })
			},
			"remove": func(t *rapid.T) {
				dir := box("box")
				name := rapid.SampledFrom([]string{message(dir), filepath.Join(dir, "subscriptions"), filepath.Join(dir, "mailbricks-index")}).Draw(t, "name")
				both(func(f durable.FS) error { return f.Remove(name) })
			},
			"rotate": func(t *rapid.T) {
				keys = keys.after(t)
				layer.SetMode(keys.mode())
			},
			"off": func(t *rapid.T) {
				mode := keys.mode()
				mode.Sealer = nil
				layer.SetMode(mode)
			},
			"on": func(t *rapid.T) { layer.SetMode(keys.mode()) },
			"process": func(t *rapid.T) {
				mode := keys.mode()
				if rapid.Bool().Draw(t, "off") {
					mode.Sealer = nil
				}
				layer = layerOver(disk, mode)
			},
			"convert": func(t *rapid.T) {
				require.NoError(t, convert(layer))
				layer.SetMode(keys.mode())
				require.NoError(t, convert(layer))
				require.Empty(t, slices.DeleteFunc(plainOn(t, disk, "marker"), func(name string) bool { return strings.HasSuffix(name, "uidlist") }))
				require.Empty(t, plainOn(t, disk, "Oneness"))
			},
		})
	})
}

// convert makes everything such as new files are.
func convert(f *sealedfs.FS) error {
	names, err := f.ReadNames(root)
	if err != nil {
		return err
	}
	dirs := []string{""}
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			dirs = append(dirs, name)
			if err := f.Settle(name); err != nil {
				return err
			}
		}
	}
	for _, dir := range dirs {
		for _, sub := range []string{"", "new", "cur"} {
			names, err := f.ReadNames(filepath.Join(root, dir, sub))
			if err != nil {
				return err
			}
			for _, name := range names {
				path, temp := filepath.Join(root, dir, sub, name), filepath.Join(root, dir, "tmp", "conversion")
				if sub == "" {
					temp = path + ".X.tmp"
				}
				needs, err := f.Needs(path)
				if err != nil || !needs {
					continue // a folder
				}
				was, err := f.Copy(path, temp)
				if err != nil {
					return err
				}
				if _, err := f.Swap(temp, path, was); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Without keys messages come, and nothing is read.
func TestLockedLayer(t *testing.T) {
	t.Parallel()
	keys := newPair(t)
	disk := newDisk(t)
	open := layerOver(disk, keys.mode())
	require.NoError(t, open.Mkdir("/a/.Secret", 0o700))
	require.NoError(t, makeBox(open, "/a/.Secret"))
	require.NoError(t, put(open, "/a/tmp/1", "/a/cur/1,S=6", "secret"))
	require.NoError(t, durable.WriteFile(open, "/a/subscriptions", []byte("secret"), 0o600))
	require.NoError(t, appendTo(open, "/a/mailbricks-index", "secret"))

	locked := layerOver(disk, sealedfs.Mode{Sealer: keys.sealer})
	for _, name := range []string{"/a/cur/1,S=6", "/a/subscriptions", "/a/mailbricks-index"} {
		_, err := locked.OpenFile(name, os.O_RDONLY, 0)
		require.ErrorIs(t, err, errLocked, name)
		info, err := locked.Stat(name)
		require.NoError(t, err, name)
		require.EqualValues(t, 6, info.Size(), name)
	}
	require.ErrorIs(t, appendTo(locked, "/a/mailbricks-index", "x"), errLocked)
	_, err := locked.Stat("/a/.Secret")
	require.ErrorIs(t, err, errLocked)
	names, err := locked.ReadNames(root)
	require.NoError(t, err)
	require.NotContains(t, names, ".Secret")
	hidden, err := open.Hidden(".Secret")
	require.NoError(t, err)
	require.True(t, sealedfs.IsHidden(hidden))
	require.Contains(t, names, hidden)
	require.NoError(t, put(locked, "/a/tmp/2", "/a/new/2", "secret"))
	require.NoError(t, put(locked, filepath.Join(root, hidden, "tmp", "3"), filepath.Join(root, hidden, "new", "3"), "secret"))
	require.Empty(t, plainOn(t, disk, "ecret"))
	for _, name := range []string{"/a/new/2", "/a/.Secret/new/3"} {
		got, err := read(open, name)
		require.NoError(t, err)
		require.Equal(t, "secret", got)
	}
	open.Lock()
	_, err = open.OpenFile("/a/new/2", os.O_RDONLY, 0)
	require.ErrorIs(t, err, errLocked)
	_, err = open.Stat("/a/.Secret")
	require.ErrorIs(t, err, errLocked)
}

// What is on its way when keys change comes to be for the new ones: the old ones are forgotten then.
func TestWhatIsOnItsWayWhenKeysChange(t *testing.T) {
	t.Parallel()
	first := newPair(t)
	second := first.after(t)
	plain := first.mode()
	plain.Sealer = nil
	for name, c := range map[string]struct{ before, after sealedfs.Mode }{
		"rotation": {first.mode(), second.mode()}, "off": {first.mode(), plain}, "on": {plain, first.mode()},
	} {
		disk := newDisk(t)
		l := layerOver(disk, c.before)
		require.NoError(t, put(l, "/a/tmp/0", "/a/cur/0", "zero"))
		f, err := l.OpenFile("/a/tmp/1", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		require.NoError(t, err)
		_, err = f.Write([]byte("on"))
		require.NoError(t, err)
		log, err := l.OpenFile("/a/mailbricks-index.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		require.NoError(t, err)
		_, err = log.Write([]byte("log"))
		require.NoError(t, err)
		require.NoError(t, l.Link("/a/cur/0", "/a/tmp/2"))

		l.SetMode(c.after)
		require.NoError(t, convert(l))
		_, err = f.Write([]byte("e"))
		require.NoError(t, err)
		require.NoError(t, errors.Join(f.Sync(), f.Close(), log.Sync(), log.Close()))
		require.NoError(t, l.Rename("/a/tmp/1", "/a/cur/1"))
		require.NoError(t, l.Rename("/a/tmp/2", "/a/cur/2"))
		require.NoError(t, l.Rename("/a/mailbricks-index.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", "/a/mailbricks-index"))
		for path, want := range map[string]string{"/a/cur/0": "zero", "/a/cur/1": "one", "/a/cur/2": "zero", "/a/mailbricks-index": "log"} {
			needs, err := l.Needs(path)
			require.NoError(t, err)
			require.False(t, needs, "%s: %s", name, path)
			got, err := read(l, path)
			require.NoError(t, err)
			require.Equal(t, want, got, "%s: %s", name, path)
			if name == "off" {
				got, err = read(disk, path)
				require.NoError(t, err)
				require.Equal(t, want, got, path)
			}
		}
	}
}

// A layer whose keys another process has changed does not put what nobody could read into a mailbox.
func TestLayerRefreshesBeforeAMessageComes(t *testing.T) {
	t.Parallel()
	first, second := newPair(t), newPair(t)
	disk := newDisk(t)
	stale := layerOver(disk, sealedfs.Mode{Sealer: first.sealer}) // locked
	stale.Refresh(func() error {
		stale.SetMode(sealedfs.Mode{Sealer: second.sealer})
		return nil
	})
	require.ErrorIs(t, put(stale, "/a/tmp/1", "/a/cur/1", "one"), errLocked, "the sender tries again")
	_, err := disk.Stat("/a/cur/1")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, put(stale, "/a/tmp/2", "/a/cur/1", "one"))
	got, err := read(layerOver(disk, second.mode()), "/a/cur/1")
	require.NoError(t, err)
	require.Equal(t, "one", got)
	stale.Refresh(func() error { return errLocked })
	require.ErrorIs(t, put(stale, "/a/tmp/3", "/a/cur/3", "one"), errLocked)
}

// Each octet of each kind of file: an error or what was there, never anything else.
func TestTamperedFilesAreErrors(t *testing.T) {
	t.Parallel()
	keys := newPair(t)
	mode := keys.mode()
	mode.Whole = true
	const content = "the only text\n"
	message := fmt.Sprintf("/a/cur/1,S=%d:2,S", len(content))
	for _, name := range []string{message, "/a/subscriptions", "/a/mailbricks-index"} {
		disk := newDisk(t)
		l := layerOver(disk, mode)
		switch {
		case name == message:
			require.NoError(t, put(l, "/a/tmp/1", name, content))
		case strings.HasSuffix(name, "index"):
			require.NoError(t, appendTo(l, name, content))
		default:
			require.NoError(t, durable.WriteFile(l, name, []byte(content), 0o600))
		}
		data, err := read(disk, name)
		require.NoError(t, err)
		check := func(what string, bad string) {
			disk := newDisk(t)
			require.NoError(t, durable.WriteFile(disk, name, []byte(bad), 0o600))
			got, err := read(layerOver(disk, mode), name)
			if err == nil { // what is wrong at the end of a log is what a power cut leaves
				require.True(t, strings.HasSuffix(name, "index") && (got == "" || got == content), "%s, %s: %q", name, what, got)
			}
		}
		for i := range len(data) {
			bad := []byte(data)
			bad[i] ^= 1 << (i % 8)
			check(fmt.Sprintf("octet %d", i), string(bad))
			if i >= 12 || name == message {
				check(fmt.Sprintf("cut at %d", i), data[:i])
			}
		}
		if name == message {
			check("zeros", strings.Repeat("\x00", len(data)))
			check("garbage", strings.Repeat("x", len(data)))
		}
		check("longer", data+"x")
	}
}

// What is swapped is noticed where it can be: between accounts, kinds of files, and with one from before new keys.
func TestSwappedFiles(t *testing.T) {
	t.Parallel()
	one, two := newPair(t), newPair(t)
	disk := newDisk(t)
	l := layerOver(disk, one.mode())
	require.NoError(t, put(layerOver(disk, two.mode()), "/a/tmp/1", "/a/cur/1", "of another account"))
	_, err := read(l, "/a/cur/1")
	require.ErrorIs(t, err, sealed.ErrNoKey)
	require.NoError(t, put(l, "/a/tmp/2", "/a/cur/2", "mine"))
	require.NoError(t, disk.Link("/a/cur/2", "/a/subscriptions"))
	_, err = read(l, "/a/subscriptions")
	require.ErrorIs(t, err, sealed.ErrDamaged)
	require.NoError(t, disk.Link("/a/cur/2", "/a/mailbricks-index"))
	_, err = read(l, "/a/mailbricks-index")
	require.ErrorIs(t, err, sealed.ErrDamaged)
}

// A folder has its old name or its new one at every moment, and what is in it is there.
func TestRenamedFolderOverAPowerCut(t *testing.T) {
	t.Parallel()
	keys := newPair(t)
	base := newDisk(t)
	l := layerOver(base, keys.mode())
	require.NoError(t, l.Mkdir("/a/.Old", 0o700))
	require.NoError(t, makeBox(l, "/a/.Old"))
	require.NoError(t, put(l, "/a/.Old/tmp/1", "/a/.Old/cur/1", "one"))
	for _, dir := range []string{"/a/.Old/cur", "/a/.Old", "/a"} {
		require.NoError(t, l.SyncDir(dir))
	}
	base = base.Clone()
	for n, more := 1, true; more; n++ {
		disk := base.Clone()
		disk.CrashAfter(disk.Calls() + n)
		l := layerOver(disk, keys.mode())
		done := errors.Join(l.Rename("/a/.Old", "/a/.New"), l.SyncDir(root)) == nil
		more = disk.Crashed()
		disk.Crash()
		for state := range disk.States() {
			l := layerOver(state.FS, keys.mode())
			names, err := l.ReadNames(root)
			require.NoError(t, err)
			oldName, newName := slices.Contains(names, ".Old"), slices.Contains(names, ".New")
			require.True(t, oldName != newName, "%v in %s", names, state.What)
			require.True(t, newName || !done)
			dir := "/a/.Old"
			if newName {
				dir = "/a/.New"
			}
			got, err := read(l, filepath.Join(dir, "cur", "1"))
			require.NoError(t, err)
			require.Equal(t, "one", got)
		}
	}
}

// What was synced of a log is there after a power cut, and it can be appended to.
func TestLogOverAPowerCut(t *testing.T) {
	t.Parallel()
	keys := newPair(t)
	base := newDisk(t)
	lines := []string{"one\n", "two\n", "three\n"}
	for n, more := 1, true; more; n++ {
		for _, before := range []bool{true, false} {
			disk := base.Clone()
			if before {
				disk.CrashBefore(disk.Calls() + n)
			} else {
				disk.CrashAfter(disk.Calls() + n)
			}
			l := layerOver(disk, keys.mode())
			told := ""
			for _, line := range lines {
				if appendTo(l, "/a/mailbricks-index", line) != nil || l.SyncDir(root) != nil {
					break
				}
				told += line
			}
			more = disk.Crashed()
			disk.Crash()
			for state := range disk.States() {
				l := layerOver(state.FS, keys.mode())
				got, err := read(l, "/a/mailbricks-index")
				if errors.Is(err, fs.ErrNotExist) {
					require.Empty(t, told)
					continue
				}
				if errors.Is(err, sealed.ErrDamaged) { // its header is torn
					require.Empty(t, told)
					continue
				}
				require.NoError(t, err, state.What)
				require.True(t, strings.HasPrefix("one\ntwo\nthree\n", got) && strings.HasPrefix(got, told), "%q after %q in %s", got, told, state.What)
				require.NoError(t, appendTo(l, "/a/mailbricks-index", "more\n"), state.What)
				after, err := read(layerOver(state.FS, keys.mode()), "/a/mailbricks-index")
				require.NoError(t, err)
				require.Equal(t, got+"more\n", after)
			}
		}
	}
}

// Another process may rename a folder on disk at any time.
func TestTwoLayersOverOneFolder(t *testing.T) {
	t.Parallel()
	keys := newPair(t)
	disk := newDisk(t)
	one, two := layerOver(disk, keys.mode()), layerOver(disk, sealedfs.Mode{Keyring: keys.ring, Names: keys.names})
	require.NoError(t, one.Mkdir("/a/.Box", 0o700))
	require.NoError(t, makeBox(one, "/a/.Box"))
	require.NoError(t, put(one, "/a/.Box/tmp/1", "/a/.Box/cur/1", "one"))
	got, err := read(one, "/a/.Box/cur/1")
	require.NoError(t, err)
	require.Equal(t, "one", got)
	require.NoError(t, two.Settle(".Box")) // which is off
	_, err = disk.Stat("/a/.Box")
	require.NoError(t, err)
	got, err = read(one, "/a/.Box/cur/1")
	require.NoError(t, err)
	require.Equal(t, "one", got)
	require.NoError(t, one.Settle(".Box"))
	got, err = read(two, "/a/.Box/cur/1")
	require.NoError(t, err)
	require.Equal(t, "one", got)
	require.NoError(t, one.Rename("/a/.Box", "/a/.Other"))
	_, err = read(two, "/a/.Box/cur/1")
	require.ErrorIs(t, err, fs.ErrNotExist)
	names, err := two.ReadNames(root)
	require.NoError(t, err)
	require.Contains(t, names, ".Other")
}

// counted counts the octets that are read.
type counted struct {
	durable.FS
	octets *int64
}

func (c counted) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return countedFile{f, c.octets}, nil
}

type countedFile struct {
	durable.File
	octets *int64
}

func (c countedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(p, off)
	*c.octets += int64(n)
	return n, err
}

// A part of a message costs the chunks that it is in, and a message no more memory than a few of them.
func TestPartsAndLargeMessagesAreCheap(t *testing.T) { // alone, as memory is that of all
	keys := newPair(t)
	var octets int64
	dir := t.TempDir()
	disk := counted{durable.OS(), &octets}
	require.NoError(t, makeBox(disk, dir))
	l := sealedfs.New(disk, dir, errLocked)
	l.SetMode(keys.mode())
	const size = 50 << 20
	temp, name := filepath.Join(dir, "tmp", "1"), filepath.Join(dir, "cur", "1")
	piece := make([]byte, 64<<10)
	work := func() {
		f, err := l.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		require.NoError(t, err)
		for range size / len(piece) {
			_, err := f.Write(piece)
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
		require.NoError(t, l.Rename(temp, name))
		f, err = l.OpenFile(name, os.O_RDONLY, 0)
		require.NoError(t, err)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, piece)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.NoError(t, f.Close())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "octets of memory for %d", size)

	octets = 0
	f, err := l.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.ReadAt(make([]byte, 100), size/2-50) // in two chunks
	require.NoError(t, err)
	require.LessOrEqual(t, octets, int64(sealed.PeekSize+sealed.HeaderSize+2*(sealed.ChunkSize+16)))
}

// Two copies of one message are one file.
func TestTimesAndLinksAreThoseOfTheDisk(t *testing.T) {
	t.Parallel()
	keys := newPair(t)
	disk := newDisk(t)
	l := layerOver(disk, keys.mode())
	require.NoError(t, put(l, "/a/tmp/1", "/a/cur/1", "one"))
	when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	require.NoError(t, l.Chtimes("/a/cur/1", when))
	require.NoError(t, l.Link("/a/cur/1", "/a/cur/2"))
	one, err := l.Stat("/a/cur/1")
	require.NoError(t, err)
	two, err := l.Stat("/a/cur/2")
	require.NoError(t, err)
	require.True(t, durable.SameFile(one, two))
	require.True(t, when.Equal(two.ModTime()))
	require.NoError(t, disk.Mkdir("/b", 0o700))
	require.NoError(t, durable.WriteFile(disk, "/b/1", []byte("x"), 0o600))
	require.Error(t, l.Link("/b/1", "/a/cur/3"), "its keys would be others")
}

// FuzzDisk reads whatever is on the disk.
func FuzzDisk(f *testing.F) {
	keys := newPair(f)
	disk := newDisk(f)
	l := layerOver(disk, keys.mode())
	require.NoError(f, l.Mkdir("/a/.Box", 0o700))
	require.NoError(f, put(l, "/a/tmp/1", "/a/cur/1", "one"))
	require.NoError(f, appendTo(l, "/a/mailbricks-index", "log\n"))
	hidden, err := l.Hidden(".Box")
	require.NoError(f, err)
	for _, name := range []string{"/a/cur/1", "/a/mailbricks-index", filepath.Join(root, hidden, sealedfs.NameFile)} {
		data, err := read(disk, name)
		require.NoError(f, err)
		f.Add([]byte(data))
	}
	f.Add([]byte("mailbricks-name 1\n.Box\n"))
	f.Add([]byte("mai\x86bricks-sealed 1 f\n" + strings.Repeat("x", sealed.HeaderSize)))
	f.Add([]byte("mailbricks-sealed 00"))
	base := disk.Clone()
	f.Fuzz(func(t *testing.T, data []byte) {
		disk := base.Clone()
		names := []string{"/a/cur/1", "/a/mailbricks-index", filepath.Join(root, hidden, sealedfs.NameFile)}
		for _, name := range names {
			if err := durable.WriteFile(disk, name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := layerOver(disk, keys.mode())
		for _, name := range names {
			_, _ = read(l, name)
			_, err := l.Stat(name)
			if err != nil && (strings.Contains(name, "/cur/") || !errors.Is(err, sealed.ErrDamaged) && !errors.Is(err, sealed.ErrNewer)) {
				t.Fatal(err)
			}
		}
		list, err := l.ReadNames(root)
		if err != nil && !errors.Is(err, sealed.ErrNewer) {
			t.Fatal(err)
		}
		for _, name := range list {
			if strings.ContainsAny(name, "/\x00") {
				t.Fatalf("name %q", name)
			}
		}
	})
}

// A message that cannot be read is told of with its size on disk; what is on its way into a mailbox is not, as that would be its size
// from then on.
func TestSizeOfAMessageThatCannotBeRead(t *testing.T) {
	t.Parallel()
	keys := newPair(t)
	disk := newDisk(t)
	require.NoError(t, put(layerOver(disk, keys.mode()), "/a/tmp/1", "/a/cur/1", "one"))
	require.NoError(t, disk.Link("/a/cur/1", "/a/tmp/2"))
	disk.Fail(func(op crashfs.Op) error {
		if op.Kind == "read" {
			return syscall.EIO
		}
		return nil
	})
	l := layerOver(disk, keys.mode())
	onDisk, err := disk.Stat("/a/cur/1")
	require.NoError(t, err)
	info, err := l.Lstat("/a/cur/1")
	require.NoError(t, err)
	require.Equal(t, onDisk.Size(), info.Size())
	_, err = l.Lstat("/a/tmp/2")
	require.ErrorIs(t, err, syscall.EIO)
}
