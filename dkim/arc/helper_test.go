package arc_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

// zone is a DNS that counts what it is asked.
type zone struct {
	mu      sync.Mutex
	records map[string][]string
	fails   map[string]error
	asked   []string
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	name = strings.TrimSuffix(name, ".")
	z.asked = append(z.asked, name)
	if err := z.fails[name]; err != nil {
		return nil, err
	}
	if txt := z.records[name]; txt != nil {
		return txt, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// forget makes the zone count from zero.
func (z *zone) forget() { z.asked = nil }

// publish puts a key into the zone.
func (z *zone) publish(t testing.TB, key crypto.Signer, domain, selector string) {
	record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: domain, Selector: selector})
	require.NoError(t, err)
	if z.records == nil {
		z.records = make(map[string][]string)
	}
	z.records[record.Name] = []string{record.Value}
}

var (
	rsaKey   = sync.OnceValue(func() crypto.Signer { return makeRSA(2048) })
	smallKey = sync.OnceValue(func() crypto.Signer { return makeRSA(1024) })
	// the same key in all processes, as those of the fuzzer are to see the same
	ed25519Key = sync.OnceValue(func() crypto.Signer { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) })
)

func isEd25519(key crypto.Signer) bool {
	_, ok := key.Public().(ed25519.PublicKey)
	return ok
}

func makeRSA(bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// smallRSA is a key that is too weak to sign.
func smallRSA(bits int) crypto.Signer {
	p, _ := rand.Prime(rand.Reader, bits/2)
	q, _ := rand.Prime(rand.Reader, bits/2)
	return publicOnly{&rsa.PublicKey{N: p.Mul(p, q), E: 65537}}
}

type publicOnly struct{ public *rsa.PublicKey }

func (k publicOnly) Public() crypto.PublicKey { return k.public }

func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, io.EOF }

// requireSigned checks a signature of the small key.
func requireSigned(t testing.TB, covered, b, name string) {
	sum := sha256.Sum256([]byte(covered))
	sig, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(b), ""))
	require.NoError(t, err, name)
	require.NoError(t, rsa.VerifyPKCS1v15(smallKey().Public().(*rsa.PublicKey), crypto.SHA256, sum[:], sig), name)
}

// then is the time of all test messages.
var then = time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)

func atThen() time.Time { return then }

const message = "From: Ann <ann@example.com>\r\nTo: list@example.net\r\nSubject: Lunch\r\n" +
	"Date: Fri, 17 May 2024 11:59:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nAt one?\r\nAnn\r\n"

// newSealer makes a sealer with a small key, which the zone has.
func newSealer(t testing.TB, z *zone, domain string) *arc.Sealer {
	z.publish(t, smallKey(), domain, "arc")
	return &arc.Sealer{Domain: domain, Selector: "arc", Key: smallKey(), AuthServID: "mx." + domain, Now: atThen}
}

// seal puts a set in front of a message.
func seal(t testing.TB, s *arc.Sealer, status arc.Status, message string) string {
	set, err := s.Seal(strings.NewReader(message), status, "spf=pass smtp.mailfrom=example.com; dmarc=pass")
	require.NoError(t, err)
	return set + message
}

// verify gives the outcome for a message at its time.
func verify(t testing.TB, z *zone, message string) arc.Result {
	r, err := arc.Verify(context.Background(), strings.NewReader(message), z, arc.Options{Now: atThen})
	require.NoError(t, err)
	return r
}

func domainOf(i int) string { return string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".example" }
