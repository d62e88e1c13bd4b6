package sealed_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/sealed"
)

// cheap is what a password costs in tests.
func cheap() sealed.Cost { return sealed.Cost{Time: 1, Memory: 8, Threads: 1} }

func newKey(t testing.TB) (*sealed.Sealer, *sealed.Keyring) {
	t.Helper()
	key, err := sealed.GenerateKey()
	require.NoError(t, err)
	return sealed.NewSealer(key.Public()), sealed.NewKeyring(key)
}

func seal(t testing.TB, s *sealed.Sealer, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := sealed.NewWriter(&b, s, "message")
	require.NoError(t, err)
	for rest := plain; len(rest) > 0; { // in pieces of all sizes
		n := min(len(rest), 1+rand.IntN(20_000))
		_, err := w.Write(rest[:n])
		require.NoError(t, err)
		rest = rest[n:]
	}
	require.NoError(t, w.Finish())
	require.NoError(t, w.Finish(), "again")
	_, err = w.Write([]byte("x"))
	require.Error(t, err, "behind the end")
	return b.Bytes()
}

// open reads all of a sealed file.
func open(data []byte, keys *sealed.Keyring, kind string) ([]byte, error) {
	r, err := sealed.NewReader(bytes.NewReader(data), int64(len(data)), keys, kind)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()+1))
}

func text(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte('a' + i%23)
	}
	return out
}

func TestFileRoundTrip(t *testing.T) {
	t.Parallel()
	s, keys := newKey(t)
	for _, n := range []int{0, 1, 100, sealed.ChunkSize - 1, sealed.ChunkSize, sealed.ChunkSize + 1, 3*sealed.ChunkSize - 1, 3 * sealed.ChunkSize, 100_000} {
		plain := text(n)
		data := seal(t, s, plain)
		require.NotContains(t, string(data), "abcdefgh")
		require.EqualValues(t, n, sealed.Size(int64(len(data))), n)
		got, err := open(data, keys, "message")
		require.NoError(t, err, n)
		require.True(t, bytes.Equal(plain, got), n)
		form, id, err := sealed.Peek(data[:sealed.PeekSize])
		require.NoError(t, err)
		require.Equal(t, sealed.File, form)
		require.Equal(t, s.ID(), id)
	}
}

func TestTwoFilesWithTheSameTextDiffer(t *testing.T) {
	t.Parallel()
	s, _ := newKey(t)
	one, two := seal(t, s, text(100)), seal(t, s, text(100))
	require.NotEqual(t, one[sealed.HeaderSize:], two[sealed.HeaderSize:])
}

// What is read at any place is what the plain text has there.
func TestReadAtIsThatOfThePlainText(t *testing.T) {
	t.Parallel()
	s, keys := newKey(t)
	rapid.Check(t, func(t *rapid.T) {
		plain := text(rapid.IntRange(0, 4*sealed.ChunkSize).Draw(t, "size"))
		var b bytes.Buffer
		w, err := sealed.NewWriter(&b, s, "message")
		require.NoError(t, err)
		_, err = w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Finish())
		r, err := sealed.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()), keys, "message")
		require.NoError(t, err)
		for range 10 {
			off := rapid.Int64Range(0, int64(len(plain)+10)).Draw(t, "offset")
			n := rapid.IntRange(0, 2*sealed.ChunkSize).Draw(t, "length")
			got, want := make([]byte, n), make([]byte, n)
			gotN, gotErr := r.ReadAt(got, off)
			wantN, wantErr := bytes.NewReader(plain).ReadAt(want, off)
			if n == 0 {
				wantErr = nil // as files have it
			}
			require.Equal(t, wantN, gotN)
			require.Equal(t, wantErr, gotErr)
			require.Equal(t, want, got)
		}
	})
}

func TestEveryChangedBitOfAFileIsNoticed(t *testing.T) {
	t.Parallel()
	s, keys := newKey(t)
	data := seal(t, s, text(40))
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		_, err := open(bad, keys, "message")
		require.Error(t, err, i)
		require.True(t, errors.Is(err, sealed.ErrDamaged) || errors.Is(err, sealed.ErrNoKey), "%d: %v", i, err)
	}
	for i := range data {
		_, err := open(data[:i], keys, "message")
		require.ErrorIs(t, err, sealed.ErrDamaged, i)
	}
	_, err := open(append(bytes.Clone(data), 0), keys, "message")
	require.ErrorIs(t, err, sealed.ErrDamaged)
	_, err = open(data, keys, "subscriptions")
	require.ErrorIs(t, err, sealed.ErrDamaged, "another kind")
	_, others := newKey(t)
	_, err = open(data, others, "message")
	require.ErrorIs(t, err, sealed.ErrNoKey)
}

func TestChunksStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	const chunk = sealed.ChunkSize + 16
	s, keys := newKey(t)
	data := seal(t, s, text(3*sealed.ChunkSize))
	body := func(i int) []byte { return data[sealed.HeaderSize+i*chunk : sealed.HeaderSize+(i+1)*chunk] }
	head := data[:sealed.HeaderSize]
	for name, bad := range map[string][]byte{
		"cut":     data[:sealed.HeaderSize+2*chunk],
		"swapped": bytes.Join([][]byte{head, body(1), body(0), body(2)}, nil),
		"doubled": bytes.Join([][]byte{head, body(0), body(1), body(1), body(2)}, nil),
		"longer":  bytes.Join([][]byte{head, body(0), body(1), body(2), body(2)}, nil),
		"missing": bytes.Join([][]byte{head, body(0), body(2)}, nil),
		"header":  bytes.Join([][]byte{seal(t, s, text(3*sealed.ChunkSize))[:sealed.HeaderSize], body(0), body(1), body(2)}, nil),
	} {
		_, err := open(bad, keys, "message")
		require.ErrorIs(t, err, sealed.ErrDamaged, name)
	}
}

func TestPlainAndNewerFilesAreTold(t *testing.T) {
	t.Parallel()
	for _, plain := range []string{"", "Subject: x\r\n\r\n", strings.Repeat("mailbricks ", 10), "mailbricks-", "mailbricks-special-use 1\nx y\n",
		"mailbricks-summaries 1\n", strings.Repeat("\x00", 100)} {
		form, _, err := sealed.Peek([]byte(plain))
		require.NoError(t, err, plain)
		require.Equal(t, sealed.Plain, form)
	}
	for _, newer := range []string{"mailbricks-sealed 2 f\n12345678", "mailbricks-sealed 1 x\n12345678", "mailbricks-sealed 12 f\n1234567"} {
		_, _, err := sealed.Peek([]byte(newer))
		require.ErrorIs(t, err, sealed.ErrNewer, newer)
	}
}

// What was a sealed file is not taken for plain text, wherever its first line is damaged or the file ends.
func TestDamagedBeginningIsNoPlainText(t *testing.T) {
	t.Parallel()
	s, _ := newKey(t)
	for _, data := range [][]byte{seal(t, s, text(10)), makeLog(t, s, []byte("x"))} {
		data = data[:sealed.PeekSize]
		for i := range data {
			for _, x := range []byte{1, 0x20, 0x80, 0xff} {
				bad := bytes.Clone(data)
				bad[i] ^= x
				_, id, err := sealed.Peek(bad)
				require.True(t, err != nil || id != s.ID(), "%d %x", i, x)
			}
			if i >= 12 {
				_, _, err := sealed.Peek(data[:i])
				require.ErrorIs(t, err, sealed.ErrDamaged, i)
			}
		}
	}
}

// The formats must not change unnoticed: files of this version, made once, are read.
func TestFilesOfThisVersionStayReadable(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/keys-1")
	require.NoError(t, err)
	file, err := sealed.ParseKeyFile(data)
	require.NoError(t, err)
	recovery, err := os.ReadFile("testdata/recovery-1")
	require.NoError(t, err)
	server := bytes.Repeat([]byte{7}, sealed.ServerKeySize)
	for _, secret := range []sealed.Secret{{Password: "correct horse"}, {Recovery: string(recovery)}, {Server: server}} {
		keys, err := file.Unlock(secret)
		require.NoError(t, err)
		message, err := os.ReadFile("testdata/file-1")
		require.NoError(t, err)
		got, err := open(message, keys.Keyring(), "message")
		require.NoError(t, err)
		require.Equal(t, "Subject: known\r\n\r\nAnswer\r\n", string(got))
		log, err := os.ReadFile("testdata/log-1")
		require.NoError(t, err)
		got, err = readLog(log, keys.Keyring())
		require.NoError(t, err)
		require.Equal(t, "one\ntwo\n", string(got))
	}
}
