package serving_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// offsets notes where it is read.
type offsets struct {
	io.ReaderAt
	read []int64
}

func (o *offsets) ReadAt(p []byte, off int64) (int, error) {
	o.read = append(o.read, off)
	return o.ReaderAt.ReadAt(p, off)
}

func TestProbe(t *testing.T) {
	t.Parallel()
	const step = serving.ProbeStep
	for n, want := range map[int64][]int64{
		0: nil, 1: {0}, 2: {0, 1}, step: {0, step - 1}, step + 1: {0, step}, step + 2: {0, step, step + 1}, 2 * step: {0, step, 2*step - 1},
	} {
		const off = 7
		r := &offsets{ReaderAt: strings.NewReader(strings.Repeat("x", off+int(n)))}
		require.NoError(t, serving.Probe(r, off, n))
		for i := range want {
			want[i] += off
		}
		require.Equal(t, want, r.read, "%d octets", n)
		if n > 0 {
			r.ReaderAt = strings.NewReader(strings.Repeat("x", off+int(n)-1))
			require.ErrorIs(t, serving.Probe(r, off, n), io.ErrUnexpectedEOF, "one of %d octets is missing", n)
		}
	}
}
