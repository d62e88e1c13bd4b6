package sealed_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/sealed"
)

// makeLog seals writes as one log.
func makeLog(t testing.TB, s *sealed.Sealer, writes ...[]byte) []byte {
	t.Helper()
	key, data, err := sealed.NewLog(s, "index")
	require.NoError(t, err)
	var state sealed.LogState
	for _, w := range writes {
		var frames []byte
		frames, state = key.Append(state, w)
		data = append(data, frames...)
	}
	require.EqualValues(t, len(data), state.End())
	return data
}

func scanLog(data []byte, keys *sealed.Keyring) (*sealed.LogReader, *sealed.LogKey, error) {
	r := bytes.NewReader(data)
	key, err := sealed.OpenLog(r, keys, "index")
	if err != nil {
		return nil, nil, err
	}
	log, err := sealed.ScanLog(r, int64(len(data)), key)
	return log, key, err
}

func readLog(data []byte, keys *sealed.Keyring) ([]byte, error) {
	log, _, err := scanLog(data, keys)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(log, 0, 1<<40))
}

func TestLogRoundTrip(t *testing.T) {
	t.Parallel()
	s, keys := newKey(t)
	rapid.Check(t, func(t *rapid.T) {
		key, data, err := sealed.NewLog(s, "index")
		require.NoError(t, err)
		var plain []byte
		var state sealed.LogState
		for range rapid.IntRange(0, 5).Draw(t, "writes") {
			w := text(rapid.IntRange(0, 3*sealed.MaxFrame).Draw(t, "size"))
			frames, after := key.Append(state, w)
			data, plain, state = append(data, frames...), append(plain, w...), after
		}
		log, again, err := scanLog(data, keys)
		require.NoError(t, err)
		require.Equal(t, state, log.End())
		require.EqualValues(t, len(plain), log.End().Size())
		got, err := io.ReadAll(io.NewSectionReader(log, 0, 1<<40))
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got))
		for range 5 {
			off := rapid.Int64Range(0, int64(len(plain)+10)).Draw(t, "offset")
			part, want := make([]byte, 100), make([]byte, 100)
			n, err := log.ReadAt(part, off)
			wantN, wantErr := bytes.NewReader(plain).ReadAt(want, off)
			require.Equal(t, wantN, n)
			require.Equal(t, wantErr, err)
			require.Equal(t, want, part)
		}
		more, _ := again.Append(log.End(), []byte("more"))
		got, err = readLog(append(data, more...), keys)
		require.NoError(t, err)
		require.True(t, bytes.Equal(append(plain, "more"...), got))
	})
}

// What a power cut may tear is left out, and what is appended then is read.
func TestTornLogIsCut(t *testing.T) {
	t.Parallel()
	s, keys := newKey(t)
	first := makeLog(t, s, []byte("one\n"))
	key, _, err := sealed.NewLog(s, "index")
	require.NoError(t, err)
	_ = key
	all := func(data []byte) []byte {
		log, key, err := scanLog(data, keys)
		require.NoError(t, err)
		frames, _ := key.Append(log.End(), []byte("two\n"))
		return append(bytes.Clone(data[:log.End().End()]), frames...)
	}(first)
	for cut := len(first); cut < len(all); cut++ {
		for name, data := range map[string][]byte{
			"cut":   all[:cut],
			"zeros": append(bytes.Clone(all[:cut]), make([]byte, len(all)-cut)...),
		} {
			log, key, err := scanLog(data, keys)
			require.NoError(t, err, "%s %d", name, cut)
			require.EqualValues(t, 4, log.End().Size(), "%s %d", name, cut)
			frames, _ := key.Append(log.End(), []byte("three\n"))
			got, err := readLog(append(bytes.Clone(data[:log.End().End()]), frames...), keys)
			require.NoError(t, err)
			require.Equal(t, "one\nthree\n", string(got))
		}
	}
}

// Only the last frame can go unnoticed: it looks like one that was torn.
func TestEveryChangedBitOfALogIsNoticed(t *testing.T) {
	t.Parallel()
	s, keys := newKey(t)
	last := len(makeLog(t, s, []byte("one\n"), []byte("two\n")))
	data := makeLog(t, s, []byte("one\n"), []byte("two\n"), []byte("three\n"))
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		got, err := readLog(bad, keys)
		if i >= last && err == nil {
			require.Equal(t, "one\ntwo\n", string(got), i)
			continue
		}
		require.Error(t, err, i)
	}
}

func TestFramesCannotBeTakenOut(t *testing.T) {
	t.Parallel()
	s, keys := newKey(t)
	data := makeLog(t, s, []byte("aaaa"), []byte("bbbb"), []byte("cccc"), []byte("dddd"))
	size := (len(data) - sealed.HeaderSize) / 4
	frame := func(i int) []byte { return data[sealed.HeaderSize+i*size : sealed.HeaderSize+(i+1)*size] }
	for name, order := range map[string][]int{
		"first": {1, 2, 3}, "middle": {0, 2, 3}, "swapped": {0, 2, 1, 3}, "doubled": {0, 1, 1, 2, 3},
	} {
		bad := bytes.Clone(data[:sealed.HeaderSize])
		for _, i := range order {
			bad = append(bad, frame(i)...)
		}
		_, err := readLog(bad, keys)
		require.ErrorIs(t, err, sealed.ErrDamaged, name)
	}
	other := makeLog(t, s, []byte("aaaa"), []byte("bbbb"), []byte("cccc"), []byte("dddd"))
	copy(other[sealed.HeaderSize+size:], frame(1))
	_, err := readLog(other, keys)
	require.ErrorIs(t, err, sealed.ErrDamaged, "of another log")
}

func BenchmarkFile(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		plain := text(size)
		s, keys := newKey(b)
		b.Run(fmt.Sprintf("seal/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				w, err := sealed.NewWriter(io.Discard, s, "message")
				require.NoError(b, err)
				_, _ = w.Write(plain)
				require.NoError(b, w.Finish())
			}
		})
		data := seal(b, s, plain)
		b.Run(fmt.Sprintf("open/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				_, err := open(data, keys, "message")
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprintf("first/%d", size), func(b *testing.B) { // the header of a message
			head := make([]byte, 1000)
			for b.Loop() {
				r, err := sealed.NewReader(bytes.NewReader(data), int64(len(data)), keys, "message")
				require.NoError(b, err)
				_, err = r.ReadAt(head, 0)
				require.NoError(b, err)
			}
		})
	}
	b.Run("encapsulate", func(b *testing.B) {
		key, err := sealed.GenerateKey()
		require.NoError(b, err)
		for b.Loop() {
			w, err := sealed.NewWriter(io.Discard, sealed.NewSealer(key.Public()), "message")
			require.NoError(b, err)
			require.NoError(b, w.Finish())
		}
	})
	b.Run("decapsulate", func(b *testing.B) {
		key, err := sealed.GenerateKey()
		require.NoError(b, err)
		data := seal(b, sealed.NewSealer(key.Public()), nil)
		for b.Loop() {
			_, err := sealed.NewReader(bytes.NewReader(data), int64(len(data)), sealed.NewKeyring(key), "message")
			require.NoError(b, err)
		}
	})
}
