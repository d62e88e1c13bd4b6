package dkim_test

import (
	"crypto"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

// keys for all tests of this package, made once.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := make(map[string]crypto.Signer)
	for name, bits := range map[string]int{"rsa": 1024, "rsa2048": 2048, "ed25519": 0} {
		key, err := dkim.GenerateKey(strings.TrimSuffix(name, "2048"), bits)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

func signer(key string) *dkim.Signer {
	return &dkim.Signer{Domain: "example.com", Selector: key, Key: testKeys()[key]}
}

// keyZone publishes the keys that signer signs with.
func keyZone(t testing.TB) zone {
	z := zone{}
	for name, key := range testKeys() {
		record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: "example.com", Selector: name})
		require.NoError(t, err)
		z[record.Name] = []string{record.Value}
	}
	return z
}

func sign(t *testing.T, message string, signers ...*dkim.Signer) string {
	t.Helper()
	fields, err := dkim.Sign(strings.NewReader(message), signers...)
	require.NoError(t, err)
	return fields
}

func TestSignedWithTwoKeysVerifies(t *testing.T) {
	t.Parallel()
	fields := sign(t, rfc8463Unsigned, signer("rsa2048"), signer("ed25519"))
	results := verify(t, fields+rfc8463Unsigned, keyZone(t), dkim.Options{})
	require.Len(t, results, 2)
	for i, algorithm := range []string{"rsa-sha256", "ed25519-sha256"} {
		require.NoError(t, results[i].Err)
		require.Equal(t, dkim.Pass, results[i].Status)
		require.Equal(t, algorithm, results[i].Algorithm)
		require.True(t, results[i].FromOversigned)
		require.WithinDuration(t, time.Now(), results[i].Time, time.Minute)
	}
	require.Equal(t, 2048, results[0].KeyBits)
}

func TestSignatureIsFolded(t *testing.T) {
	t.Parallel()
	field := sign(t, rfc8463Unsigned, signer("rsa2048"))
	lines := strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n")
	require.Greater(t, len(lines), 5)
	for i, line := range lines {
		require.LessOrEqual(t, len(line), 78, line)
		require.Equal(t, i > 0, strings.HasPrefix(line, "\t"), line)
		require.NotContains(t, line, "\n")
	}
}

func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	message := "Return-Path: <x@example.com>\r\nReceived: x\r\nTo: 1\r\nX-Mailer: x\r\nFrom: a@example.com\r\n" +
		"To: 2\r\nDate: x\r\n" +
		"List-Id: l\r\nSender: s\r\n\r\n"
	h := func(s *dkim.Signer, message string) string {
		r := verify(t, sign(t, message, s)+message, keyZone(t), dkim.Options{})[0]
		require.Equal(t, dkim.Pass, r.Status, "%v", r.Err)
		return strings.Join(r.Signed, " ")
	}
	require.Equal(t, "from from sender reply-to to to to cc subject date date in-reply-to references mime-version content-type "+
		"content-transfer-encoding list-id", h(signer("ed25519"), message))

	s := signer("ed25519")
	s.Headers, s.Oversign = []string{"To", "x-mailer", "none"}, []string{}
	require.Equal(t, "from to to x-mailer", h(s, message))
	s.Oversign = []string{"X-Other", "from"}
	require.Equal(t, "from from to to x-mailer x-other", h(s, message))
	s.Headers = []string{}
	require.Equal(t, "from from x-other", h(s, message))

	const many = "From: a@example.com\r\n"
	s.Headers = []string{"List-Id"}
	require.Equal(t, "from from"+strings.Repeat(" list-id", 16)+" x-other", h(s, many+strings.Repeat("List-Id: x\r\n", 1000)+"\r\n"))
	s.Oversign = []string{"List-Id"} // a full list cannot be closed
	require.Equal(t, "from"+strings.Repeat(" list-id", 16), h(s, many+strings.Repeat("List-Id: x\r\n", 1000)+"\r\n"))
}

func TestOptionalTags(t *testing.T) {
	t.Parallel()
	s := signer("ed25519")
	s.Identifier = "a b;c@news.Example.com"
	s.Expiration = 48*time.Hour + 500*time.Millisecond
	s.Now = func() time.Time { return testNow }
	s.Canonicalization = "simple/relaxed"
	field := sign(t, letter, s)
	require.Contains(t, field, "i=a=20b=3Bc@news.example.com;")
	require.Contains(t, field, "t=1700000000;")
	require.Contains(t, field, "x=1700172800;")
	require.Contains(t, field, "c=simple/relaxed;")
	r := verify(t, field+letter, keyZone(t), atTestNow())[0]
	require.Equal(t, dkim.Pass, r.Status, "%v", r.Err)
	require.Equal(t, "a b;c@news.example.com", r.Identifier)
	require.Equal(t, testNow.Unix(), r.Time.Unix())
	require.Equal(t, testNow.Add(48*time.Hour).Unix(), r.Expiration.Unix())
	require.NotContains(t, sign(t, letter, signer("ed25519")), "x=")
}

func TestSignerRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*dkim.Signer){
		"no domain":              func(s *dkim.Signer) { s.Domain = "" },
		"no selector":            func(s *dkim.Signer) { s.Selector = "" },
		"no key":                 func(s *dkim.Signer) { s.Key = nil },
		"weak key":               func(s *dkim.Signer) { s.Key = weakKey(t) },
		"other key":              func(s *dkim.Signer) { s.Key = otherKey{} },
		"injected domain":        func(s *dkim.Signer) { s.Domain = "example.com; d=example.org" },
		"injected selector":      func(s *dkim.Signer) { s.Selector = "a\r\nX: b" },
		"long name":              func(s *dkim.Signer) { s.Selector = strings.Repeat("a.", 120) + "a" },
		"canonicalization":       func(s *dkim.Signer) { s.Canonicalization = "nofws" },
		"identifier elsewhere":   func(s *dkim.Signer) { s.Identifier = "a@example.org" },
		"identifier no address":  func(s *dkim.Signer) { s.Identifier = "a" },
		"identifier no domain":   func(s *dkim.Signer) { s.Identifier = "a@" },
		"identifier too long":    func(s *dkim.Signer) { s.Identifier = strings.Repeat("a", 400) + "@example.com" },
		"no field name":          func(s *dkim.Signer) { s.Headers = []string{"a:b"} },
		"field name of two tags": func(s *dkim.Signer) { s.Oversign = []string{"a;b=c"} },
	} {
		s := signer("ed25519")
		change(s)
		_, err := s.Sign(strings.NewReader(letter))
		require.ErrorIs(t, err, dkim.ErrSigner, name)
	}
}

// weakKey cannot be made any more; all that counts is its public half.
func weakKey(t *testing.T) crypto.Signer {
	k, err := dkim.ParseKey(weakRSA)
	require.NoError(t, err)
	return otherKey{k.Public}
}

type otherKey struct{ pub crypto.PublicKey }

func (k otherKey) Public() crypto.PublicKey { return k.pub }
func (k otherKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("key is elsewhere")
}

func TestSignPassesOnFaults(t *testing.T) {
	t.Parallel()
	fault := errors.New("disk")
	_, err := signer("ed25519").Sign(io.MultiReader(strings.NewReader(letter), iotest.ErrReader(fault)))
	require.ErrorIs(t, err, fault)

	s := signer("rsa")
	s.Key = otherKey{s.Key.Public()}
	_, err = s.Sign(strings.NewReader(letter))
	require.ErrorContains(t, err, "dkim: signing for example.com with selector rsa: key is elsewhere")

	s = signer("rsa")
	s.MaxHeader = 40
	_, err = s.Sign(strings.NewReader(letter))
	require.ErrorIs(t, err, dkim.ErrHeaderTooLarge)
	_, err = signer("rsa").Sign(strings.NewReader(strings.Repeat("A: b\r\n", dkim.DefaultMaxHeader/6+1) + letter))
	require.ErrorIs(t, err, dkim.ErrHeaderTooLarge)

	none, err := dkim.Sign(strings.NewReader(letter))
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestMessageWithBrokenLinesIsSigned(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"From a@b Mon Jan  1 00:00:00 2024\r\n" + letter, "no colon\r\n" + letter,
		"M\u00fcll: x\r\n" + letter, "X: a\rb\r\n" + letter, ": \r\n" + letter, "\x00\r\n" + letter,
		"From:", "From: a@b.example", "From : a@b.example\r\n",
	} {
		for _, c := range []string{"relaxed/relaxed", "simple/simple"} {
			s := signer("ed25519")
			s.Canonicalization = c
			r := verify(t, sign(t, message, s)+message, keyZone(t), dkim.Options{})[0]
			require.Equal(t, dkim.Pass, r.Status, "%q: %v", message, r.Err)
		}
	}
}

// RFC 6376 §5.4, §3.8.
func TestMessageWithoutOneFromIsNotSigned(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"", "\r\n", "\r\n" + letter, "From", "To: x\r\n\r\nFrom: a@example.com\r\n", "From: a@example.com\r\n" + letter,
		"FROM : a@example.com\r\n" + letter, "From a@b Mon Jan  1 00:00:00 2024\r\n\r\n", "X-From: a\r\n\r\n",
		strings.Repeat("From: a@example.com\r\n", 10_000),
	} {
		field, err := signer("ed25519").Sign(strings.NewReader(message))
		require.ErrorIs(t, err, dkim.ErrFrom, "%.99q", message)
		require.Empty(t, field)
	}
}

func TestMessageWithoutPlaceForAField(t *testing.T) {
	t.Parallel()
	for _, message := range []string{" leading\r\n" + letter, "\t\r\n" + letter, " "} {
		_, err := signer("ed25519").Sign(strings.NewReader(message))
		require.ErrorIs(t, err, dkim.ErrMessage)
	}
}

func TestLargeMessageIsStreamed(t *testing.T) { // not parallel: it looks at the heap
	const size = 32 << 20
	body := func() io.Reader {
		return io.MultiReader(strings.NewReader(letter), io.LimitReader(endless("0123456789 abcdef\r\n"), size))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	field, err := signer("ed25519").Sign(body())
	require.NoError(t, err)
	results, err := dkim.Verify(t.Context(), io.MultiReader(strings.NewReader(field), body()), keyZone(t), dkim.Options{})
	require.NoError(t, err)
	require.Equal(t, dkim.Pass, results[0].Status)
	runtime.ReadMemStats(&after)
	require.Less(t, after.HeapInuse, before.HeapInuse+size/2)
}

// endless is a reader that gives its text again and again.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}
