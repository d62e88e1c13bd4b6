package dkim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

func benchMessages() map[string]string {
	line := "A line of text as it stands in letters, with  some white space in it.\r\n"
	return map[string]string{
		"4KiB": letter + strings.Repeat(line, 4<<10/len(line)),
		"1MiB": letter + strings.Repeat(line, 1<<20/len(line)),
	}
}

func BenchmarkVerify(b *testing.B) {
	z := keyZone(b)
	for size, message := range benchMessages() {
		for _, key := range []string{"rsa2048", "ed25519"} {
			for _, c := range []string{"relaxed/relaxed", "simple/simple"} {
				s := signer(key)
				s.Canonicalization = c
				field, err := s.Sign(strings.NewReader(message))
				require.NoError(b, err)
				signed := []byte(field + message)
				b.Run(fmt.Sprint(size, "/", key, "/", c[:len(c)/2]), func(b *testing.B) {
					b.SetBytes(int64(len(signed)))
					b.ReportAllocs()
					for b.Loop() {
						v := dkim.NewVerifier(z, dkim.Options{})
						_, _ = v.Write(signed)
						if v.Results(b.Context())[0].Status != dkim.Pass {
							b.Fatal("does not pass")
						}
					}
				})
			}
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for size, message := range benchMessages() {
		for name, signers := range map[string][]*dkim.Signer{
			"rsa2048": {signer("rsa2048")}, "ed25519": {signer("ed25519")}, "both": {signer("rsa2048"), signer("ed25519")},
		} {
			b.Run(size+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(message)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := dkim.Sign(strings.NewReader(message), signers...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
