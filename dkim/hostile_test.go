package dkim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/stretchr/testify/require"
)

// countingZone counts what it is asked.
type countingZone struct {
	zone
	asked atomic.Int64
}

func (z *countingZone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	z.asked.Add(1)
	return z.zone.LookupTXT(ctx, name)
}

// allocated is how many octets f allocates. Nothing else must run.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// tenThousand is a message with so many signatures, each by a key of its own.
func tenThousand(t *testing.T) string {
	_, signed, _ := strings.Cut(craft(t, goodTags, wire.Whole), "b=")
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "DKIM-Signature: %s; bh=AAAA; b=%s", strings.Replace(goodTags, "s=rsa", fmt.Sprintf("s=s%d", i), 1),
			signed[:strings.Index(signed, "From:")])
	}
	return b.String() + letter
}

func TestTenThousandSignaturesCostNoMoreThanTheLimit(t *testing.T) {
	message := tenThousand(t)
	z := &countingZone{zone: keyZone(t)}
	opts := dkim.Options{MaxHeader: 16 << 20}
	var results []dkim.Result
	cost := allocated(func() { results = verify(t, message, z, opts) })
	require.Len(t, results, dkim.DefaultMaxSignatures+1)
	require.EqualValues(t, dkim.DefaultMaxSignatures, z.asked.Load())
	require.ErrorIs(t, results[dkim.DefaultMaxSignatures].Err, dkim.ErrTooManySignatures)
	require.ErrorContains(t, results[dkim.DefaultMaxSignatures].Err, "9990 more")
	require.Less(t, cost, uint64(8*len(message)), "the header is held, what grows is copied")

	// As the header is larger than the default limit, nobody is asked at all.
	z.asked.Store(0)
	results = verify(t, message, z, dkim.Options{})
	require.Len(t, results, 1)
	require.ErrorIs(t, results[0].Err, dkim.ErrHeaderTooLarge)
	require.Zero(t, z.asked.Load())
}

// Signatures that are malformed cost no look-up.
func TestMalformedSignaturesCostNoLookup(t *testing.T) {
	t.Parallel()
	z := &countingZone{zone: keyZone(t)}
	message := strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=rsa; h=to; bh=AAAA; b=AAAA\r\n", 9) + letter
	for _, r := range verify(t, message, z, dkim.Options{}) {
		require.Equal(t, dkim.PermError, r.Status)
	}
	require.Zero(t, z.asked.Load())
}

func TestHugeHeaderIsNotHeld(t *testing.T) {
	z := &countingZone{zone: keyZone(t)}
	field, _, _ := strings.Cut(craft(t, goodTags, wire.Whole), "From:")
	for name, filler := range map[string]string{
		"many fields": "X: y\r\n", "one field": "y", "folds": "\r\n y", "no line ends": "\r", "blanks": " ", "colons": ":",
	} {
		message := []byte(field + "X: " + strings.Repeat(filler, 10<<20/len(filler)) + "\r\n" + letter)
		var results []dkim.Result
		cost := allocated(func() {
			var err error
			results, err = dkim.Verify(t.Context(), bytes.NewReader(message), z, dkim.Options{})
			require.NoError(t, err)
		})
		require.Len(t, results, 1, name)
		require.ErrorIs(t, results[0].Err, dkim.ErrHeaderTooLarge, name)
		require.Less(t, cost, uint64(8*dkim.DefaultMaxHeader), name)
	}
	require.Zero(t, z.asked.Load())

	// One who allows it gets it verified, with one look-up.
	message := field + "X: " + strings.Repeat("y", 10<<20) + "\r\n" + letter
	require.Equal(t, dkim.Pass, verify(t, message, z, dkim.Options{MaxHeader: 11 << 20})[0].Status)
	require.EqualValues(t, 1, z.asked.Load())
}

// A list of as many names as allowed is covered in one pass over the header.
func TestLongListOfNames(t *testing.T) {
	t.Parallel()
	names := "from" + strings.Repeat(":x", dkim.MaxSignedNames-1)
	message := strings.Repeat("X: y\r\n", 5000) + letter
	signed := craftOver(t, message, strings.Replace(goodTags, "from:to:subject", names, 1), wire.Whole)
	r := verify(t, signed, keyZone(t), dkim.Options{})[0]
	require.Equal(t, dkim.Pass, r.Status, "%v", r.Err)
	require.Len(t, r.Signed, dkim.MaxSignedNames)
}

// repeated reads a text again and again, so many octets of it.
func repeated(text string, n int64) io.Reader {
	text = strings.Repeat(text, 1+4096/len(text))
	return io.LimitReader(&loop{text: text}, n)
}

type loop struct {
	text string
	at   int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.text[l.at:])
	l.at = (l.at + n) % len(l.text)
	return n, nil
}

func TestMemoryDoesNotGrowWithTheBody(t *testing.T) {
	z := keyZone(t)
	field, _, _ := strings.Cut(craft(t, goodTags, wire.Whole), "From:")
	simple, _, _ := strings.Cut(craft(t, strings.Replace(goodTags, "relaxed/relaxed", "simple/simple", 1), wire.Whole), "From:")
	limited, _, _ := strings.Cut(craft(t, goodTags+"; l=7", 7), "From:")
	both := []*dkim.Signer{signer("rsa"), signer("ed25519")}
	for name, text := range map[string]string{
		"text": "Some words  in a line. \r\n", "blank lines": "\r\n", "blanks": " ", "one line": "x", "CR": "\r", "LF": "\n",
	} {
		verifying := func(n int64) uint64 {
			return allocated(func() {
				message := io.MultiReader(strings.NewReader(field+simple+limited+letter), repeated(text, n))
				_, err := dkim.Verify(t.Context(), message, z, dkim.Options{})
				require.NoError(t, err)
			})
		}
		signing := func(n int64) uint64 {
			return allocated(func() {
				_, err := dkim.Sign(io.MultiReader(strings.NewReader(letter), repeated(text, n)), both...)
				require.NoError(t, err)
			})
		}
		const slack = 32 << 10 // what the runtime allocates meanwhile
		verifying(0)
		signing(0)
		require.Less(t, verifying(4<<20), verifying(64<<10)+slack, name)
		require.Less(t, signing(4<<20), signing(64<<10)+slack, name)
	}
}

// A reader that breaks off in the header or in the body, and a context that has ended: nothing stays (goleak in TestMain).
func TestAbortedReadLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	message := craft(t, goodTags, wire.Whole)
	message = strings.Repeat(message[:strings.Index(message, "From:")], 5) + message
	for n := range len(message) {
		broken := io.MultiReader(strings.NewReader(message[:n]), &failing{})
		_, err := dkim.Verify(t.Context(), broken, keyZone(t), dkim.Options{})
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_, err = signer("ed25519").Sign(io.MultiReader(strings.NewReader(letter[:n%len(letter)]), &failing{}))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hanging := resolverFunc(func(ctx context.Context, _ string) ([]string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	results, err := dkim.Verify(ctx, strings.NewReader(message), hanging, dkim.Options{})
	require.NoError(t, err)
	for _, r := range results {
		require.Equal(t, dkim.TempError, r.Status)
		require.ErrorIs(t, r.Err, context.Canceled)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
