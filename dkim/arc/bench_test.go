package arc_test

import (
	"context"
	"crypto/sha256"
	"strconv"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

// A chain of so many sets on a small message, signed with RSA-2048; the DNS costs nothing.
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{0, 1, 3, 50} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			z := &zone{}
			m := []byte(forge(z, b, n).use(b, z, rsaKey(), "rsa-sha256").message(b))
			dns := published{}
			for name, txt := range z.records {
				dns[name+"."] = txt[0]
			}
			b.ReportAllocs()
			for b.Loop() {
				benchVerify(b, m, dns)
			}
		})
	}
}

// A large body with one set, and what of the time its hash alone would take.
func BenchmarkVerifyLargeBody(b *testing.B) {
	z := &zone{}
	f := forge(z, b, 1).use(b, z, rsaKey(), "rsa-sha256")
	f.body = strings.Repeat("A line of the body that is neither long nor short, in all 72 octets.\r\n", 10<<20/72)
	m := []byte(f.message(b))
	dns := published{}
	for name, txt := range z.records {
		dns[name+"."] = txt[0]
	}
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		benchVerify(b, m, dns)
	}
}

func BenchmarkHashLargeBody(b *testing.B) {
	body := []byte(strings.Repeat("A line of the body that is neither long nor short, in all 72 octets.\r\n", 10<<20/72))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		sha256.Sum256(body)
	}
}

func benchVerify(b *testing.B, m []byte, dns dkim.Resolver) {
	v := arc.NewVerifier(dns, arc.Options{Now: atThen})
	if _, err := v.Write(m); err != nil {
		b.Fatal(err)
	}
	if r := v.Result(context.Background()); r.Err != nil {
		b.Fatal(r.Err)
	}
}

func BenchmarkSeal(b *testing.B) {
	z := &zone{}
	m := forge(z, b, 2).message(b)
	s := newSealer(b, z, "lists.example")
	s.Key = rsaKey()
	b.ReportAllocs()
	for b.Loop() {
		set, err := s.Seal(strings.NewReader(m), arc.Pass, "spf=pass smtp.mailfrom=example.com; dmarc=pass")
		require.NoError(b, err)
		require.NotEmpty(b, set)
	}
}
