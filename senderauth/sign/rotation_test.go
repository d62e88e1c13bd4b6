package sign_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/stretchr/testify/require"
)

// zone is a DNS that an administrator fills.
type zone struct {
	mu    sync.Mutex
	texts map[string][]string
	err   error // of every look-up
	asked int
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.err != nil {
		return nil, z.err
	}
	if texts := z.texts[strings.TrimSuffix(name, ".")]; len(texts) > 0 {
		return texts, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) set(name string, texts ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.texts == nil {
		z.texts = make(map[string][]string)
	}
	z.texts[name] = texts
}

// publish does what a status asks for.
func (z *zone) publish(s sign.Status) {
	for _, r := range s.Publish {
		z.set(r.Name, r.Value)
	}
	for _, name := range s.Withdraw {
		z.set(name)
	}
}

// rotating is a domain with keys mail (RSA) and ed (Ed25519), both published.
func rotating(t *testing.T) (*sign.Rotation, *zone) {
	t.Helper()
	d, z := newDir(t), &zone{}
	put(t, d, "example.com/mail.key", keyText(t, "rsa"))
	put(t, d, "example.com/ed.key", keyText(t, "ed25519"))
	for _, r := range records(t, d, "example.com") {
		z.set(r.Name, r.Value)
	}
	return &sign.Rotation{Keys: d, Domain: "Example.com", Resolver: z, Bits: 1024}, z
}

func step(t *testing.T, r *sign.Rotation) sign.Status {
	t.Helper()
	s, err := r.Step(t.Context())
	require.NoError(t, err)
	return s
}

func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		d := r.Keys
		require.Equal(t, sign.Idle, step(t, r).Phase)
		s, err := r.Start(t.Context())
		require.NoError(t, err)
		require.Equal(t, sign.Publish, s.Phase)
		require.Equal(t, []string{"ed", "mail"}, s.Active)
		require.Len(t, s.Publish, 2)
		require.Equal(t, "s20000101a._domainkey.example.com", s.Publish[0].Name)
		require.Contains(t, s.Publish[0].Value, "k=rsa")
		require.Equal(t, "s20000101b._domainkey.example.com", s.Publish[1].Name)
		require.Contains(t, s.Publish[1].Value, "k=ed25519")
		require.Zero(t, z.asked, "nothing is asked for before it can be there")
		require.Equal(t, []string{"ed", "mail"}, selectors(t, d, "example.com"), "the new keys do not sign")

		again, err := r.Start(t.Context())
		require.NoError(t, err)
		require.Equal(t, s, again, "it is the same rotation")
		require.Contains(t, step(t, r).Text, "s20000101a._domainkey.example.com: not published: there is no TXT record")

		z.set(s.Publish[0].Name, s.Publish[0].Value)
		s = step(t, r)
		require.Equal(t, sign.Publish, s.Phase)
		require.NotContains(t, s.Text, "s20000101a", "one of them is there")
		z.publish(s)
		s = step(t, r)
		require.Equal(t, sign.Settling, s.Phase)
		require.Equal(t, time.Now().Add(sign.DefaultSettle), s.Until.Local())
		time.Sleep(sign.DefaultSettle - time.Second)
		require.Equal(t, sign.Settling, step(t, r).Phase)
		require.Equal(t, []string{"ed", "mail"}, selectors(t, d, "example.com"))

		time.Sleep(time.Second)
		s = step(t, r)
		require.Equal(t, sign.Retire, s.Phase)
		require.Equal(t, []string{"s20000101a", "s20000101b"}, s.Active)
		require.Equal(t, s.Active, selectors(t, d, "example.com"))
		require.Len(t, s.Keep, 2)
		require.Contains(t, s.Text, "must stay until 2000-01-08T01:00:00Z")
		require.Len(t, records(t, d, "example.com"), 4, "all are to be published")

		time.Sleep(sign.DefaultGrace - time.Second)
		require.Equal(t, sign.Retire, step(t, r).Phase)
		require.FileExists(t, filepath.Join(d.Root, "example.com", "mail.key"))
		time.Sleep(time.Second)
		s = step(t, r)
		require.Equal(t, sign.Withdraw, s.Phase)
		require.Equal(t, []string{"ed._domainkey.example.com", "mail._domainkey.example.com"}, s.Withdraw)
		require.NoFileExists(t, filepath.Join(d.Root, "example.com", "mail.key"))
		require.Equal(t, []string{"s20000101a", "s20000101b"}, selectors(t, d, "example.com"))

		z.set("ed._domainkey.example.com", sign.Revoked)
		require.Equal(t, []string{"mail._domainkey.example.com"}, step(t, r).Withdraw)
		z.publish(s)
		s = step(t, r)
		require.Equal(t, sign.Idle, s.Phase)
		require.Equal(t, "no rotation is under way", s.Text)
		require.Zero(t, s.Next)
		require.Equal(t, "mailbricks-dkim-selectors 2\nexample.com s20000101a s20000101b\n", state(t, d))
	})
}

// Run makes the whole way with few questions; the person who publishes takes a day.
func TestRotationRunsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		_, err := r.Start(t.Context())
		require.NoError(t, err)
		var phases []sign.Phase
		begin := time.Now()
		require.NoError(t, r.Run(t.Context(), func(s sign.Status) {
			if len(phases) == 0 || phases[len(phases)-1] != s.Phase {
				phases = append(phases, s.Phase)
				time.AfterFunc(24*time.Hour, func() { z.publish(s) })
			}
		}))
		require.Equal(t, []sign.Phase{sign.Publish, sign.Settling, sign.Retire, sign.Withdraw, sign.Idle}, phases)
		require.Less(t, time.Since(begin), 11*24*time.Hour)
		require.Less(t, z.asked, 200)
	})
}

// The longer a record is waited for, the rarer the DNS is asked, within limits.
func TestTimeBetweenTwoLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		r.Settle, r.Grace = -1, -1
		s, err := r.Start(t.Context())
		require.NoError(t, err)
		wait := func(waited, want time.Duration) {
			t.Helper()
			time.Sleep(waited)
			require.Equal(t, want, time.Until(step(t, r).Next))
		}
		wait(0, sign.MinCheck)
		wait(20*time.Minute, 5*time.Minute)
		wait(30*24*time.Hour, sign.MaxCheck)
		z.publish(s)
		require.Equal(t, sign.Withdraw, step(t, r).Phase)
		wait(0, sign.MinCheck)
		wait(20*time.Minute, 5*time.Minute)
		wait(30*24*time.Hour, sign.MaxWithdrawCheck)
		wait(sign.MaxGone-31*24*time.Hour, sign.MaxWithdrawCheck)
		time.Sleep(24 * time.Hour)
		require.Equal(t, sign.Idle, step(t, r).Phase, "it is forgotten")
	})
}

func TestRotationEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := rotating(t)
		_, err := r.Start(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, r.Run(ctx, nil), context.DeadlineExceeded)
		_, err = r.Step(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = r.Start(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// A record that is there and goes again begins its time anew: some of the zone's servers do not have it.
func TestRecordThatComesAndGoesDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		s, err := r.Start(t.Context())
		require.NoError(t, err)
		z.publish(s)
		require.Equal(t, sign.Settling, step(t, r).Phase)
		time.Sleep(sign.DefaultSettle)
		z.set(s.Publish[1].Name)
		require.Equal(t, sign.Publish, step(t, r).Phase)
		z.publish(s)
		require.Equal(t, sign.Settling, step(t, r).Phase)
		time.Sleep(sign.DefaultSettle)
		z.err = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
		s = step(t, r)
		require.Equal(t, sign.Publish, s.Phase, "the DNS must show it at the very moment of the change")
		require.Contains(t, s.Text, "did not answer")
		require.Equal(t, []string{"ed", "mail"}, selectors(t, r.Keys, "example.com"))
	})
}

func TestWhatTheDNSShowsInstead(t *testing.T) {
	t.Parallel()
	record := func(keyType string) dkim.Record {
		r, err := dkim.NewRecord(testKeys()[keyType].Public(), dkim.RecordOptions{Domain: "example.com", Selector: "x"})
		require.NoError(t, err)
		return r
	}
	for _, keyType := range []string{"rsa", "ed25519"} {
		want := record(keyType)
		other := record(map[string]string{"rsa": "ed25519", "ed25519": "rsa"}[keyType])
		for name, tc := range map[string]struct {
			texts []string
			words string // empty: it is as it should be
		}{
			"as printed":       {[]string{want.Value}, ""},
			"with flags":       {[]string{strings.Replace(want.Value, "p=", "t=y:s; h=sha256; s=email; n=x; p=", 1)}, ""},
			"nothing":          {nil, "there is no TXT record"},
			"two":              {[]string{want.Value, other.Value}, "2 TXT records"},
			"beside a wild":    {[]string{want.Value, "v=spf1 -all"}, "2 TXT records"},
			"another key":      {[]string{other.Value}, "another key"},
			"revoked":          {[]string{sign.Revoked}, "revoked"},
			"cut off":          {[]string{want.Value[:len(want.Value)-7]}, "key record"},
			"with quotes":      {[]string{`"` + want.Value + `"`}, "quotation marks"},
			"another hash":     {[]string{strings.Replace(want.Value, "p=", "h=sha1; p=", 1)}, "sha256"},
			"not for mail":     {[]string{strings.Replace(want.Value, "p=", "s=tlsrpt; p=", 1)}, "email"},
			"something else":   {[]string{"v=spf1 -all"}, ""},
			"no key":           {[]string{"hello"}, ""},
			"white space only": {[]string{"  "}, ""},
		} {
			z := &zone{}
			z.set("x._domainkey.example.com", tc.texts...)
			err := sign.Published(t.Context(), z, want)
			if name == "as printed" || name == "with flags" {
				require.NoError(t, err, name)
				continue
			}
			require.ErrorIs(t, err, sign.ErrUnpublished, name)
			require.ErrorContains(t, err, "x._domainkey.example.com", name)
			require.ErrorContains(t, err, tc.words, name)
		}
		broken := errors.New("broken")
		err := sign.Published(t.Context(), &zone{err: broken}, want)
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, sign.ErrUnpublished)
	}
}

// Nothing is asked, as the context is over; the system's resolver says so.
func TestNoResolverStandsForTheSystems(t *testing.T) {
	t.Parallel()
	record, err := dkim.NewRecord(testKeys()["ed25519"].Public(), dkim.RecordOptions{Domain: "example.invalid", Selector: "x"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = sign.Published(ctx, nil, record)
	require.ErrorContains(t, err, "the DNS did not answer")
	require.NotErrorIs(t, err, sign.ErrUnpublished)

	r, _ := rotating(t)
	r.Resolver = nil
	_, err = r.Start(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = r.Start(t.Context())
	require.NoError(t, err)
	_, err = r.Step(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestRotationOfADomainWithoutKeys(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := &sign.Rotation{Keys: d, Domain: "example.com", Resolver: &zone{}}
	_, err := r.Start(t.Context())
	require.ErrorIs(t, err, sign.ErrNoKey)
	put(t, d, "example.com/a.key", keyText(t, "ed25519"))
	require.NoError(t, d.Activate("example.com"))
	_, err = r.Start(t.Context())
	require.ErrorIs(t, err, sign.ErrNoKey, "mail that leaves unsigned by intent stays so")
	for _, domain := range []string{"", "..", "a/b"} {
		r := &sign.Rotation{Keys: d, Domain: domain}
		_, err := r.Start(t.Context())
		require.ErrorIs(t, err, sign.ErrName)
		_, err = r.Step(t.Context())
		require.ErrorIs(t, err, sign.ErrName)
		_, err = r.Status()
		require.ErrorIs(t, err, sign.ErrName)
		require.ErrorIs(t, r.Cancel(), sign.ErrName)
	}
	put(t, d, "example.org/a.key", keyText(t, "ed25519"))
	d.State = ""
	_, err = (&sign.Rotation{Keys: d, Domain: "example.org"}).Start(t.Context())
	require.ErrorContains(t, err, "State")
	require.Equal(t, []string{"a"}, selectors(t, d, "example.org"))
}

func TestCancelledRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		s, err := r.Start(t.Context())
		require.NoError(t, err)
		z.publish(s)
		step(t, r)
		require.NoError(t, r.Cancel())
		require.ErrorIs(t, r.Cancel(), sign.ErrNothingNew)
		require.Equal(t, sign.Idle, step(t, r).Phase)
		require.Equal(t, "mailbricks-dkim-selectors 2\nexample.com ed mail\n", state(t, r.Keys))
		files, err := os.ReadDir(filepath.Join(r.Keys.Root, "example.com"))
		require.NoError(t, err)
		require.Len(t, files, 2)
	})
}

// One rotation after the other, the next before the old keys of the first are gone; and keys that somebody adds or
// takes away in between.
func TestRotationsOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		r.Settle = -1
		d := r.Keys
		next := func() sign.Status {
			s, err := r.Start(t.Context())
			require.NoError(t, err)
			z.publish(s)
			return step(t, r)
		}
		s := next()
		require.Equal(t, sign.Retire, s.Phase, "without a time to settle it is one step")
		time.Sleep(24 * time.Hour)
		s = next()
		require.Equal(t, []string{"s20000102a", "s20000102b"}, s.Active)
		require.Len(t, s.Keep, 4)
		s = next()
		require.Equal(t, []string{"s20000102c", "s20000102d"}, s.Active, "twice on a day")
		time.Sleep(sign.DefaultGrace - 24*time.Hour)
		s = step(t, r)
		require.Equal(t, sign.Retire, s.Phase)
		require.Equal(t, []string{"ed._domainkey.example.com", "mail._domainkey.example.com"}, s.Withdraw)
		require.Len(t, s.Keep, 4)

		_, _, err := d.Ensure("example.com", "mail", "rsa", 1024)
		require.ErrorIs(t, err, sign.ErrReplaced, "a name that verifiers may know with another key")
		_, _, err = d.Ensure("example.com", "s20000101a", "rsa", 1024)
		require.ErrorIs(t, err, sign.ErrReplaced, "an old key does not come back unasked")
		require.NoFileExists(t, filepath.Join(d.Root, "example.com", "mail.key"))

		s, err = r.Start(t.Context())
		require.NoError(t, err)
		_, created, err := d.Ensure("example.com", "s20000108a", "rsa", 1024)
		require.NoError(t, err)
		require.False(t, created)
		require.NotContains(t, selectors(t, d, "example.com"), "s20000108a", "it waits to be published")
		_, _, err = d.Ensure("example.com", "mine", "ed25519", 0)
		require.NoError(t, err)
		require.NoError(t, d.Activate("example.com", "s20000102c", "mine"))
		z.publish(s)
		require.Equal(t, []string{"s20000108a", "s20000108b"}, step(t, r).Active)
		keys, err := d.List("example.com")
		require.NoError(t, err)
		uses := map[string]sign.Use{}
		for _, k := range keys {
			uses[k.Selector] = k.Use
		}
		require.Equal(t, map[string]sign.Use{
			"mine": sign.ForOld, "s20000101a": sign.ForOld, "s20000101b": sign.ForOld,
			"s20000102a": sign.ForOld, "s20000102b": sign.ForOld,
			"s20000102c": sign.ForOld, "s20000102d": sign.ForNothing, "s20000108a": sign.ForSigning, "s20000108b": sign.ForSigning,
		}, uses)
		domains, err := d.Rotating()
		require.NoError(t, err)
		require.Equal(t, []string{"example.com"}, domains)
	})
}

// A new key whose file gets lost before it signs is made anew, and must be published anew.
func TestLostNewKeyIsMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		s, err := r.Start(t.Context())
		require.NoError(t, err)
		z.publish(s)
		step(t, r)
		require.NoError(t, os.Remove(filepath.Join(r.Keys.Root, "example.com", "s20000101a.key")))
		time.Sleep(sign.DefaultSettle)
		s = step(t, r)
		require.Equal(t, sign.Publish, s.Phase)
		require.Contains(t, s.Text, "another key")
		z.publish(s)
		step(t, r)
		time.Sleep(sign.DefaultSettle)
		require.Equal(t, sign.Retire, step(t, r).Phase)
	})
}

func TestSizesOfNewKeys(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	put(t, d, "example.com/a.key", keyText(t, "rsa")) // 1024 bits
	r := &sign.Rotation{Keys: d, Domain: "example.com"}
	s, err := r.Start(t.Context())
	require.NoError(t, err)
	key, err := dkim.ParseKey(s.Publish[0].Value)
	require.NoError(t, err)
	require.Equal(t, 2048, key.Bits(), "a new key is not weak because the old one was")
}

// A size that no key can have is refused before anything is written down that would stand in the way of the next Start.
func TestImpossibleSizeOfNewKeys(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	put(t, d, "example.com/a.key", keyText(t, "rsa"))
	r := &sign.Rotation{Keys: d, Domain: "example.com", Resolver: &zone{}}
	for _, r.Bits = range []int{-1, 1, dkim.MinRSABits - 1, dkim.MaxGeneratedBits + 1} {
		_, err := r.Start(t.Context())
		require.ErrorContains(t, err, "not 0 or 1024 to 4096")
		require.NoFileExists(t, d.State)
		require.Equal(t, sign.Idle, step(t, r).Phase)
	}
	r.Bits = dkim.MinRSABits
	s, err := r.Start(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Publish, 1)
}

// A key that is to sign and whose file is missing keeps mail back. A new key does not get its name: it would sign before the
// DNS shows it.
func TestNewKeyDoesNotGetTheNameOfAMissingOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t)
		put(t, d, "example.com/a.key", keyText(t, "ed25519"))
		writeState(t, d, "mailbricks-dkim-selectors 2\nexample.com a s20000101a\nexample.org s20000101b\n")
		selector, err := d.FreshSelector("example.com")
		require.NoError(t, err)
		require.Equal(t, "s20000101b", selector)
		s, err := (&sign.Rotation{Keys: d, Domain: "example.com"}).Start(t.Context())
		require.NoError(t, err)
		require.Len(t, s.Publish, 1)
		require.Equal(t, "s20000101b._domainkey.example.com", s.Publish[0].Name)
		require.NoFileExists(t, filepath.Join(d.Root, "example.com", "s20000101a.key"))
		_, err = d.Signers(t.Context(), "example.com")
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestStateOfARotation(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	put(t, d, "example.com/a.key", keyText(t, "ed25519"))
	b := put(t, d, "example.com/b.key", keyText(t, "ed25519"))
	const two = "mailbricks-dkim-selectors 2\n"
	for text, words := range map[string]string{
		two + "next: example.com a made=2026-01-01T00:00:00Z\n":                    "line 2: the key a has no type",
		two + "next: example.com\n":                                                "line 2",
		two + "old: example.com b since=yesterday\n":                               "line 2",
		two + "old: example.com b colour=red\n":                                    "unknown",
		two + "old: example.com ../b\n":                                            "line 2",
		two + "old: example.com b\n":                                               "line 2: the key b has no since=",
		two + "gone: example.com b\n":                                              "line 2: the key b has no since=",
		two + "next: example.com b type=rsa\n":                                     "line 2: the key b has no made=",
		two + "old: example.com b made=2026-01-01T00:00:00Z\n":                     "unknown",
		two + "old: example.com b since=0001-01-01T00:00:00Z\n":                    "no time",
		two + "old: example.com b since=0000-01-01T00:00:00+01:00\n":               "no time",
		two + strings.Repeat("old: example.com b since=2026-01-01T00:00:00Z\n", 2): "line 3",
		"mailbricks-dkim-selectors 1\nold: example.com b\n":                        "line 2",
		"mailbricks-dkim-selectors 0\n":                                            "version",
		two + "next: example.com b type=rsa bits=many made=2026-01-01T0Z\n":        "many",
	} {
		writeState(t, d, text)
		_, err := d.Signers(t.Context(), "example.com")
		require.ErrorContains(t, err, words, text)
		_, err = (&sign.Rotation{Keys: d, Domain: "example.com"}).Start(t.Context())
		require.ErrorContains(t, err, words, text)
		_, err = (&sign.Rotation{Keys: d, Domain: "example.com", Grace: -1}).Step(t.Context())
		require.ErrorContains(t, err, words, text)
		require.FileExists(t, b, "a key is not deleted for what is not understood")
	}
	writeState(t, d, "mailbricks-dkim-selectors 3\n")
	_, err := d.Signers(t.Context(), "example.com")
	require.ErrorIs(t, err, sign.ErrNewerState)

	// A new key never signs because nothing is said of its domain.
	writeState(t, d, "mailbricks-dkim-selectors 2\nnext: example.com b type=ed25519 made=2026-01-01T00:00:00Z\n")
	require.Equal(t, []string{"a"}, selectors(t, d, "example.com"))
}

// Power is cut at every call of a whole rotation. Whatever is left: mail is always signed, only with keys that the DNS
// shows, and the rotation comes to its end.
func TestRotationSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for n := 1; ; n++ {
			whole, z := crashfs.New(), &zone{}
			require.NoError(t, whole.Mkdir("/data", 0o700))
			require.NoError(t, whole.SyncDir("/"))
			record, _, err := dirOn(whole).Ensure("example.com", "first", "ed25519", 0)
			require.NoError(t, err)
			z.set(record.Name, record.Value)
			whole.CrashAfter(whole.Calls() + n)
			err = rotate(t, whole, z)
			done := err == nil && !whole.Crashed()
			if done {
				whole.Crash()
			} else if err != nil {
				require.ErrorIs(t, err, crashfs.ErrCrashed)
			}
			for left := range whole.States() {
				shown := z.clone()
				shown.checkSigners(t, dirOn(left))
				require.NoError(t, rotate(t, left, shown), left.What)
				require.NotContains(t, selectors(t, dirOn(left), "example.com"), "first", left.What)
			}
			if done {
				require.Greater(t, n, 20)
				return
			}
		}
	})
}

func dirOn(fsys durable.FS) *sign.Dir {
	return (&sign.Dir{Root: "/data/dkim", State: "/data/state/dkim"}).On(fsys)
}

func (z *zone) clone() *zone {
	c := &zone{texts: make(map[string][]string)}
	for name, texts := range z.texts {
		c.texts[name] = slices.Clone(texts)
	}
	return c
}

// checkSigners checks that mail is signed with what the DNS shows.
func (z *zone) checkSigners(t *testing.T, d *sign.Dir) {
	t.Helper()
	signers, err := d.Signers(t.Context(), "example.com")
	require.NoError(t, err)
	require.NotEmpty(t, signers)
	for _, s := range signers {
		r, err := dkim.NewRecord(s.Key.Public(), dkim.RecordOptions{Domain: s.Domain, Selector: s.Selector})
		require.NoError(t, err)
		require.NoError(t, sign.Published(t.Context(), z, r))
	}
}

// rotate begins a rotation, unless there was one, and brings it to its end. Whatever it is told it publishes at once.
func rotate(t *testing.T, fsys durable.FS, z *zone) error {
	d := dirOn(fsys)
	r := &sign.Rotation{Keys: d, Domain: "example.com", Resolver: z}
	active, err := d.Active("example.com")
	if err != nil {
		return err
	}
	if active[0] == "first" {
		s, err := r.Start(t.Context())
		if err != nil {
			return err
		}
		z.publish(s)
	}
	for range 100 {
		s, err := r.Step(t.Context())
		if err != nil {
			return err
		}
		z.checkSigners(t, d)
		z.publish(s)
		if s.Phase == sign.Idle {
			return nil
		}
		time.Sleep(time.Until(s.Next))
	}
	return errors.New("it comes to no end")
}
