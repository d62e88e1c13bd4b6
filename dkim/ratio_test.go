package dkim_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

// bodies are shapes of bodies of n octets: they differ in what a canonicalization has to do.
func bodies(n int) map[string]func() string {
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(line func() string) func() string {
		return func() string {
			var b strings.Builder
			for b.Len() < n {
				b.WriteString(line())
			}
			return b.String()
		}
	}
	words := func() string {
		line := "x"
		for len(line) < 68 {
			line += " " + strings.Repeat("x", 1+random.IntN(10))
		}
		return line
	}
	return map[string]func() string{
		"text":    fill(func() string { return words() + "\r\n" }),
		"flowed":  fill(func() string { return words() + " \r\n" }), // RFC 3676
		"typed":   fill(func() string { return words() + ".  " + words() + "\r\n" }),
		"base64":  fill(func() string { return strings.Repeat("ABCD", 19) + "\r\n" }),
		"unix":    fill(func() string { return words() + "\n" }),
		"unicode": fill(func() string { return strings.Repeat("\u00fc\u20ac\u4e16 ", 8) + "\r\n" }),
		"list":    fill(func() string { return strings.Repeat("y", random.IntN(12)) + "\r\n" }),
		"onelong": fill(words),
	}
}

func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2])
}

// What verifying costs beside the operations that cannot be avoided, the SHA-256 of the message and the one with the RSA
// key: at least ten runs of both in turn, ratio of the medians. That of the shortest runs tells on a busy machine.
func BenchmarkVerifyRatio(b *testing.B) {
	z := keyZone(b)
	key := testKeys()["rsa2048"].(*rsa.PrivateKey)
	digest := sha256.Sum256([]byte("x"))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	require.NoError(b, err)
	for size, n := range map[string]int{"10MiB": 10 << 20, "10KiB": 10 << 10} {
		for shape, make := range bodies(n) {
			for _, c := range []string{"simple", "relaxed"} {
				b.Run(fmt.Sprint(size, "/", c, "/", shape), func(b *testing.B) {
					body := make()
					s := signer("rsa2048")
					s.Canonicalization = c + "/" + c
					field, err := s.Sign(strings.NewReader(letter + body))
					require.NoError(b, err)
					message := []byte(field + letter + body)
					var verifying, needed []time.Duration
					pair := func() {
						start := time.Now()
						results, err := dkim.Verify(context.Background(), bytes.NewReader(message), z, dkim.Options{})
						verifying = append(verifying, time.Since(start))
						if err != nil || results[0].Status != dkim.Pass {
							b.Fatal(results)
						}
						start = time.Now()
						sha256.Sum256(message)
						err = rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig)
						needed = append(needed, time.Since(start))
						if err != nil {
							b.Fatal(err)
						}
					}
					for b.Loop() {
						pair()
					}
					for len(needed) < 10 {
						pair()
					}
					b.ReportMetric(median(verifying)/median(needed), "ratio")
					b.ReportMetric(float64(slices.Min(verifying))/float64(slices.Min(needed)), "best-ratio")
					b.ReportMetric(median(needed), "needed-ns")
				})
			}
		}
	}
}
