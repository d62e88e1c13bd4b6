package sign_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/stretchr/testify/require"
)

func newDir(t *testing.T) *sign.Dir {
	root := t.TempDir()
	return &sign.Dir{Root: filepath.Join(root, "dkim"), State: filepath.Join(root, "state", "dkim")}
}

func selectors(t *testing.T, d *sign.Dir, domain string) []string {
	t.Helper()
	signers, err := d.Signers(t.Context(), domain)
	require.NoError(t, err)
	names := []string{}
	for _, s := range signers {
		require.Equal(t, strings.ToLower(domain), s.Domain)
		require.NotNil(t, s.Key)
		names = append(names, s.Selector)
	}
	return names
}

// records are those of all keys of a domain.
func records(t *testing.T, d *sign.Dir, domain string) []dkim.Record {
	t.Helper()
	keys, err := d.List(domain)
	require.NoError(t, err)
	var list []dkim.Record
	for _, k := range keys {
		list = append(list, k.Record)
	}
	return list
}

// put writes a key file as an administrator would.
func put(t *testing.T, d *sign.Dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(d.Root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func keyText(t *testing.T, keyType string) []byte {
	t.Helper()
	text, err := dkim.MarshalPrivateKey(testKeys()[keyType])
	require.NoError(t, err)
	return text
}

func state(t *testing.T, d *sign.Dir) string {
	t.Helper()
	text, err := os.ReadFile(d.State)
	require.NoError(t, err)
	return string(text)
}

func writeState(t *testing.T, d *sign.Dir, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(d.State), 0o700))
	require.NoError(t, os.WriteFile(d.State, []byte(text), 0o600))
}

func TestEnsureMakesAKeyOnce(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	require.Empty(t, selectors(t, d, "example.com"))
	record, created, err := d.Ensure("Example.COM", "Mail", "rsa", 1024)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, "mail._domainkey.example.com", record.Name)
	key, err := dkim.ParseKey(record.Value)
	require.NoError(t, err)
	require.Equal(t, 1024, key.Bits())

	_, _, err = d.Ensure("example.com", "mail", "rsa", 2048)
	require.ErrorIs(t, err, sign.ErrOtherKey)
	require.ErrorContains(t, err, "it has 1024 bits, not 2048")
	again, created, err := d.Ensure("example.com", "mail", "", 0)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, record, again)
	require.Equal(t, []string{"mail"}, selectors(t, d, "example.com"))
	require.Equal(t, "mailbricks-dkim-selectors 2\nexample.com mail\n", state(t, d))

	_, created, err = d.Ensure("example.com", "ed", "ed25519", 0)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, []string{"mail", "ed"}, selectors(t, d, "example.com"))
	require.Equal(t, "mailbricks-dkim-selectors 2\nexample.com mail ed\n", state(t, d))

	again, created, err = d.Ensure("example.com", "ed", "", 0)
	require.NoError(t, err)
	require.False(t, created)
	require.Contains(t, again.Value, "k=ed25519")
	_, _, err = d.Ensure("example.com", "ed", "rsa", 0)
	require.ErrorIs(t, err, sign.ErrOtherKey)
	_, _, err = d.Ensure("example.com", "x", "dsa", 0)
	require.Error(t, err)
	require.NoFileExists(t, filepath.Join(d.Root, "example.com", "x.key"))

	if runtime.GOOS == "windows" {
		return
	}
	for path, mode := range map[string]os.FileMode{
		filepath.Join(d.Root, "example.com"): 0o700, filepath.Join(d.Root, "example.com", "mail.key"): 0o600,
		filepath.Dir(d.State): 0o700, d.State: 0o600,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
}

func TestNamesCannotLeadOut(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	long := strings.Repeat("a.", 110) + "a"
	for _, c := range [][2]string{
		{"", "mail"}, {"example.com", ""}, {"..", "mail"}, {".", "mail"}, {"../x", "mail"}, {"example.com/..", "mail"},
		{`a\b`, "mail"}, {"example.com", "../../x"}, {"example.com", ".hidden"}, {"example.com", "a/b"}, {"example.com", "a\x00"},
		{"example.com.", "mail"}, {"exa mple.com", "mail"}, {"example.com\nexample.org", "mail"}, {"C:", "mail"},
		{"example.com", long + ".example.com"}, {strings.Repeat("a", 64) + ".com", "mail"}, {"-a.com", "mail"},
	} {
		_, _, err := d.Ensure(c[0], c[1], "ed25519", 0)
		require.ErrorIs(t, err, sign.ErrName, "%q", c)
		require.ErrorIs(t, d.Activate(c[0], c[1]), sign.ErrName, "%q", c)
	}
	for _, domain := range []string{"", "..", "../x", "a/b"} {
		_, err := d.Signers(t.Context(), domain)
		require.ErrorIs(t, err, sign.ErrName)
		_, err = d.List(domain)
		require.ErrorIs(t, err, sign.ErrName)
		require.ErrorIs(t, d.Activate(domain), sign.ErrName)
	}
	require.NoDirExists(t, d.Root)
}

func TestLongestNameOfARecord(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	selector := strings.Repeat("a.", 114) + "aa"
	require.Len(t, selector+"._domainkey.example.com", 253) // RFC 1035 §2.3.4
	require.ErrorIs(t, d.Activate("example.com", selector), os.ErrNotExist)
	require.ErrorIs(t, d.Activate("example.com", selector+"a"), sign.ErrName)
}

func TestInternationalizedNames(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	record, _, err := d.Ensure("B\u00fccher.example", "m\u00e4rz", "ed25519", 0)
	require.NoError(t, err)
	require.Equal(t, "xn--mrz-qla._domainkey.xn--bcher-kva.example", record.Name)
	require.FileExists(t, filepath.Join(d.Root, "xn--bcher-kva.example", "xn--mrz-qla.key"))
	require.Equal(t, []string{"xn--mrz-qla"}, selectors(t, d, "xn--bcher-kva.example"))
	_, _, err = d.Ensure("\u202e.example", "a", "ed25519", 0)
	require.ErrorIs(t, err, sign.ErrName)
}

func TestKeysInTheFolderHoldAtOnce(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.State = ""
	require.Empty(t, selectors(t, d, "example.com"))
	openSSL := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKeys()["rsa"].(*rsa.PrivateKey)),
	})

	ed := put(t, d, "example.com/b.key", keyText(t, "ed25519"))
	put(t, d, "example.com/a.c.key", openSSL)
	put(t, d, "example.com/b.key.RANDOM.tmp", []byte("unfinished"))
	put(t, d, "example.com/notes.txt", []byte("notes"))
	put(t, d, "example.com/not a selector.key", []byte("x"))
	require.Equal(t, []string{"a.c", "b"}, selectors(t, d, "example.com"))

	require.NoError(t, os.WriteFile(ed, keyText(t, "rsa"), 0o600))
	signers, err := d.Signers(t.Context(), "example.com")
	require.NoError(t, err)
	require.Equal(t, testKeys()["rsa"].Public(), signers[1].Key.Public())

	require.NoError(t, os.Remove(ed))
	require.Equal(t, []string{"a.c"}, selectors(t, d, "example.com"))
	require.NoError(t, os.RemoveAll(filepath.Dir(ed)))
	require.Empty(t, selectors(t, d, "example.com"))
}

// A file changed within the coarse tick of a file time, to the same length, is seen all the same; one that has settled
// is not read again.
func TestReadFilesAreKeptInMemory(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	path := put(t, d, "example.com/a.key", keyText(t, "rsa"))
	stamp := time.Now()
	rewrite := func(text []byte, at time.Time) {
		require.NoError(t, os.WriteFile(path, text, 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
	}
	rewrite(keyText(t, "rsa"), stamp)
	require.Equal(t, []string{"a"}, selectors(t, d, "example.com"))
	broken := bytes.Repeat([]byte("x"), len(keyText(t, "rsa")))
	rewrite(broken, stamp)
	_, err := d.Signers(t.Context(), "example.com")
	require.ErrorIs(t, err, dkim.ErrPrivateKey)

	stamp = time.Now().Add(-time.Minute)
	rewrite(keyText(t, "rsa"), stamp)
	require.Equal(t, []string{"a"}, selectors(t, d, "example.com"))
	rewrite(broken, stamp) // nothing gives it away
	require.Equal(t, []string{"a"}, selectors(t, d, "example.com"))
	rewrite(broken, stamp.Add(time.Second))
	_, err = d.Signers(t.Context(), "example.com")
	require.ErrorIs(t, err, dkim.ErrPrivateKey)
}

func TestWhatACallerDoesToSignersIsItsOwn(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.Signer = dkim.Signer{Canonicalization: "simple/simple", Expiration: time.Hour}
	path := put(t, d, "example.com/a.key", keyText(t, "ed25519"))
	old := time.Now().Add(-time.Minute)
	require.NoError(t, os.Chtimes(path, old, old))
	for range 2 {
		signers, err := d.Signers(t.Context(), "example.com")
		require.NoError(t, err)
		require.Equal(t, "a", signers[0].Selector)
		require.Equal(t, "simple/simple", signers[0].Canonicalization)
		require.Equal(t, time.Hour, signers[0].Expiration)
		signers[0].Selector = "changed"
	}
}

func TestBadKeyKeepsMailBack(t *testing.T) {
	t.Parallel()
	for name, text := range map[string][]byte{
		"empty": {}, "no key": []byte("hello"), "cut off": keyText(t, "rsa")[:500], "huge": bytes.Repeat([]byte("x"), 1<<17),
	} {
		d := newDir(t)
		put(t, d, "example.com/good.key", keyText(t, "ed25519"))
		path := put(t, d, "example.com/mail.key", text)
		_, err := d.Signers(t.Context(), "example.com")
		require.ErrorContains(t, err, path, name)
		_, _, err = d.Ensure("example.com", "mail", "rsa", 0)
		require.ErrorContains(t, err, path, "a key that is there is never overwritten")
		left, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, left)
		_, err = d.List("example.com")
		require.ErrorContains(t, err, path)

		require.Error(t, d.Activate("example.com", "good", "mail"))
		require.NoError(t, d.Activate("example.com", "good"))
		require.Equal(t, []string{"good"}, selectors(t, d, "example.com"), "what is not active may be bad")
	}
}

func TestActivateRotatesKeys(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	for _, selector := range []string{"old", "new"} {
		put(t, d, "example.com/"+selector+".key", keyText(t, "ed25519"))
	}
	require.Equal(t, []string{"new", "old"}, selectors(t, d, "example.com"))
	writeState(t, d, "mailbricks-dkim-selectors 1\r\n# a note\r\n\r\nexample.org x\r\n")
	require.Equal(t, []string{"new", "old"}, selectors(t, d, "example.com"))

	require.NoError(t, d.Activate("Example.com", "OLD", "old"))
	require.Equal(t, []string{"old"}, selectors(t, d, "example.com"))
	require.NoError(t, d.Activate("example.com", "new", "old"))
	require.Equal(t, []string{"new", "old"}, selectors(t, d, "example.com"))
	active, err := d.Active("example.com")
	require.NoError(t, err)
	require.Equal(t, []string{"new", "old"}, active)
	require.Equal(t, "mailbricks-dkim-selectors 2\n# a note\n\nexample.org x\nexample.com new old\n", state(t, d))

	require.NoError(t, d.Activate("example.com"))
	require.Empty(t, selectors(t, d, "example.com"))
	require.Equal(t, "mailbricks-dkim-selectors 2\n# a note\n\nexample.org x\nexample.com\n", state(t, d))
	_, created, err := d.Ensure("example.com", "new", "ed25519", 0)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, []string{"new"}, selectors(t, d, "example.com"))

	published := records(t, d, "example.com")
	require.Len(t, published, 2, "also the old one is published")
	require.Equal(t, "new._domainkey.example.com", published[0].Name)
	require.Empty(t, records(t, d, "example.net"))

	require.Error(t, d.Activate("example.com", "absent"))
	d.State = ""
	require.Error(t, d.Activate("example.com", "new"))
}

func TestEnsureKeepsWhatWasActive(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	put(t, d, "example.com/by-hand.key", keyText(t, "rsa"))
	_, _, err := d.Ensure("example.com", "mail", "ed25519", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"by-hand", "mail"}, selectors(t, d, "example.com"))
}

func TestActiveKeyThatIsMissingKeepsMailBack(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	writeState(t, d, "mailbricks-dkim-selectors 1\nexample.com mail\n")
	_, err := d.Signers(t.Context(), "example.com")
	require.ErrorIs(t, err, os.ErrNotExist)
	put(t, d, "example.com/other.key", keyText(t, "ed25519"))
	_, err = d.Signers(t.Context(), "example.com")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "mail.key")
	require.Empty(t, selectors(t, d, "example.net"))
}

func TestBadStateKeepsMailBack(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	put(t, d, "example.com/a.key", keyText(t, "ed25519"))
	for text, words := range map[string]string{
		"":                              "first line",
		"example.com a\n":               "first line",
		"mailbricks-dkim-selectors 3\n": "version",
		"mailbricks-dkim-selectors\n":   "version",
		"mailbricks-dkim-selectors 1\nexample.com ../a\n":                "line 2",
		"mailbricks-dkim-selectors 1\n\nExample.com a\n":                 "line 3",
		"mailbricks-dkim-selectors 1\nexample.com a\nexample.com b\n":    "line 3",
		"mailbricks-dkim-selectors 1\n" + strings.Repeat("# x\n", 2<<20): "larger",
	} {
		writeState(t, d, text)
		for _, domain := range []string{"example.com", "example.net"} {
			_, err := d.Signers(t.Context(), domain)
			require.ErrorContains(t, err, words)
		}
		_, _, err := d.Ensure("example.com", "a", "ed25519", 0)
		require.ErrorContains(t, err, words)
		require.Equal(t, text, state(t, d), "what is not understood is not overwritten")
	}
}

func TestKeyThatOthersMayReadIsReported(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("file modes say nothing here")
	}
	var log bytes.Buffer
	d := newDir(t)
	d.Logger = slog.New(slog.NewTextHandler(&log, nil))
	path := put(t, d, "example.com/a.key", keyText(t, "ed25519"))
	require.NotEmpty(t, selectors(t, d, "example.com"))
	require.Empty(t, log.String())
	require.NoError(t, os.Chmod(path, 0o644))
	require.NotEmpty(t, selectors(t, d, "example.com"))
	require.Contains(t, log.String(), "0600")
}

func TestFolderThatIsNone(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	put(t, d, "example.com", []byte("a file"))
	_, err := d.Signers(t.Context(), "example.com")
	require.Error(t, err)
	_, _, err = d.Ensure("example.com", "a", "ed25519", 0)
	require.Error(t, err)
}

// Power is cut at every call: what Ensure has promised is there, and what it has not can be ensured again; at no time is
// there a key that cannot be read.
func TestEnsureSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	open := func(fsys durable.FS) *sign.Dir {
		return (&sign.Dir{Root: "/data/dkim", State: "/data/state/dkim"}).On(fsys)
	}
	for n := 1; ; n++ {
		whole := crashfs.New()
		require.NoError(t, whole.Mkdir("/data", 0o700))
		require.NoError(t, whole.SyncDir("/"))
		first, _, err := open(whole).Ensure("example.com", "first", "ed25519", 0)
		require.NoError(t, err)
		before := whole.Calls()
		whole.CrashAfter(before + n)
		second, created, err := open(whole).Ensure("example.com", "second", "ed25519", 0)
		done := err == nil && !whole.Crashed()
		if done {
			whole.Crash()
			require.True(t, created)
		} else if err != nil {
			require.ErrorIs(t, err, crashfs.ErrCrashed)
		}
		for left := range whole.States() {
			d := open(left)
			active := selectors(t, d, "example.com")
			published := records(t, d, "example.com")
			require.Contains(t, published, first)
			require.Equal(t, "first", active[0])
			if err == nil {
				require.Contains(t, published, second)
				require.Equal(t, []string{"first", "second"}, active)
			}
			again, _, repeatErr := d.Ensure("example.com", "second", "ed25519", 0)
			require.NoError(t, repeatErr)
			require.Equal(t, []string{"first", "second"}, selectors(t, d, "example.com"))
			if len(published) == 2 {
				require.Equal(t, published[1], again, "a key that was there is kept")
			}
		}
		if done {
			require.Greater(t, n, 5)
			return
		}
	}
}
