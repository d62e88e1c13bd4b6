package wire

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomText is made of the octets that matter and their neighbours.
func randomText(random *rand.Rand, n int) []byte {
	const octets = "\r\r\n\n  \t\t\x00\x08\x0b\x0c\x0e\x1f!a\x7f\x80\x89\x8a\x8d\xa0\xff"
	p := make([]byte, n)
	for i := range p {
		p[i] = octets[random.IntN(len(octets))]
	}
	return p
}

func TestMarksAreThoseOfTheDefinition(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 400 {
		p := randomText(random, n+1)
		var bare, relaxed strings.Builder
		for i := 1; i < len(p); i++ {
			isBare := p[i] == '\n' && p[i-1] != '\r'
			bare.WriteByte("01"[b2i(isBare)])
			relaxed.WriteByte("01"[b2i(isBare || p[i] == '\t' || p[i] <= ' ' && p[i-1] == ' ')])
		}
		var marks [blockSize / 64]uint64
		require.Equal(t, bare.String(), bitString(mark(&marks, p, false), n), "%q", p)
		require.Equal(t, relaxed.String(), bitString(mark(&marks, p, true), n), "%q", p)
	}
}

// What an architecture has of its own does what the plain Go does.
func TestMarksOfThisArchitectureAreTheGenericOnes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for words := range 20 {
		p := randomText(random, 64*words+1)
		want, got := make([]uint64, words), make([]uint64, words+1)
		got[words] = 42
		markBareGeneric(want, p)
		markBare(got[:words], p)
		require.Equal(t, want, got[:words], "%q", p)
		markRelaxedGeneric(want, p)
		markRelaxed(got[:words], p)
		require.Equal(t, want, got[:words], "%q", p)
		require.EqualValues(t, 42, got[words])
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func bitString(words []uint64, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteByte("01"[words[i/64]>>(i%64)&1])
	}
	return b.String()
}
