package wire

import (
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"testing"
)

func shapes(n int) map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(next func() string) []byte {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(next())
		}
		return []byte(b.String())
	}
	words := func(space string) string {
		var line strings.Builder
		for line.Len() < 70 {
			line.WriteString(strings.Repeat("x", 1+random.IntN(10)) + space)
		}
		return strings.TrimRight(line.String(), " ")
	}
	return map[string][]byte{
		"text":       fill(func() string { return words(" ") + "\r\n" }),
		"flowed":     fill(func() string { return words(" ") + " \r\n" }), // RFC 3676
		"indented":   fill(func() string { return "\t" + words(" ") + "\r\n" }),
		"wide":       fill(func() string { return words("  ") + "\r\n" }),
		"shortlines": fill(func() string { return strings.Repeat("y", random.IntN(12)) + "\r\n" }),
		"barelf":     fill(func() string { return words(" ") + "\n" }),
	}
}

// Canonicalizing and hashing beside hashing alone, for bodies that give it little and much to do.
func BenchmarkBody(b *testing.B) {
	for shape, body := range shapes(1 << 20) {
		b.Run("sha/"+shape, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				sha256.Sum256(body)
			}
		})
		for name, relaxed := range map[string]bool{"simple": false, "relaxed": true} {
			b.Run(name+"/"+shape, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					var h Body
					h.Hash(relaxed, Whole)
					h.Write(body)
					h.Close()
				}
			})
		}
	}
}

// What looking through a block costs, here and where only plain Go does it.
func BenchmarkMark(b *testing.B) {
	p := shapes(blockSize + 1)["text"][:blockSize+1]
	for name, find := range map[string]func([]uint64, []byte){
		"bare": markBare, "relaxed": markRelaxed, "bare/generic": markBareGeneric, "relaxed/generic": markRelaxedGeneric,
	} {
		b.Run(name, func(b *testing.B) {
			marks := make([]uint64, blockSize/64)
			b.SetBytes(blockSize)
			for b.Loop() {
				find(marks, p)
			}
		})
	}
}
