package arc_test

import (
	"context"
	"crypto"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

func TestMessagesWithoutChain(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]string{
		"empty": "", "blank line": "\r\n", "no header": "\r\nHey gang.\r\n", "no body": "From: ann@example.com\r\n",
		"message": message, "signed": "DKIM-Signature: v=1; a=rsa-sha256; i=1\r\n" + message, "no fields": "Hey gang.\r\n",
		"in the body":  "From: ann@example.com\r\n\r\nARC-Seal: i=1\r\n",
		"like a field": "ARC-Seals: i=1\r\nX-ARC-Seal: i=1\r\n" + message,
	} {
		z := new(zone)
		require.Equal(t, arc.Result{Status: arc.None}, verify(t, z, m), name)
		require.Empty(t, z.asked)
	}
}

func TestChainsOfAllLengths(t *testing.T) {
	t.Parallel()
	z := new(zone)
	m := message
	status := arc.None
	for i := range arc.MaxSets {
		m = seal(t, newSealer(t, z, domainOf(i)), status, m)
		z.forget()
		r := verify(t, z, m)
		require.NoError(t, r.Err)
		require.Equal(t, arc.Pass, r.Status)
		require.Zero(t, r.OldestPass)
		require.Zero(t, r.Instance)
		require.Len(t, r.Sets, i+1)
		require.Len(t, z.asked, i+1, "one question a key")
		status = r.Status
	}
	set, err := newSealer(t, z, "more.example").Seal(strings.NewReader(m), arc.Pass, "")
	require.NoError(t, err)
	require.Empty(t, set, "no 51st set")
}

func TestResultTellsOfTheSets(t *testing.T) {
	t.Parallel()
	z := new(zone)
	f := forge(z, t, 2)
	f.sets[1].results = "i=2; \"mx \\\"two\\\"\" (it is) 1 ;\r\n\tspf=pass (a;b)\r\n" +
		" smtp.mailfrom=b\u00fccher.example;\r\n dmarc=pass"
	f.sets[1].message = mustReplace(f.sets[1].message, "bh=", "l=9; x=1715950000; bh=")
	f.sets[1].old = f.body[:9]
	r := verify(t, z, f.message(t))
	require.NoError(t, r.Err)
	require.Len(t, r.Sets, 2)
	first, second := r.Sets[0], r.Sets[1]
	require.Equal(t, arc.Set{
		Instance: 1, CV: arc.None, AuthServID: "mx.aa.example", Results: "spf=pass smtp.mailfrom=example.com",
		MessageSignature: arc.Signature{
			Status: arc.Pass, Domain: "aa.example", Selector: "arc", Algorithm: "rsa-sha256", KeyBits: 1024, Time: then,
			Signed: []string{"from", "to", "subject"},
		},
		Seal: arc.Signature{
			Status: arc.Pass, Domain: "aa.example", Selector: "arc", Algorithm: "rsa-sha256", KeyBits: 1024, Time: then,
		},
	}, first)
	require.Equal(t, arc.Pass, second.CV)
	require.Equal(t, `mx "two"`, second.AuthServID)
	require.Equal(t, "spf=pass (a;b) smtp.mailfrom=b\u00fccher.example; dmarc=pass", second.Results)
	require.True(t, second.MessageSignature.BodyLimited)
	require.EqualValues(t, 9, second.MessageSignature.BodyLength)
	require.EqualValues(t, 5, second.MessageSignature.BodyUnsigned)
	require.Equal(t, time.Unix(1715950000, 0).UTC(), second.MessageSignature.Expiration)
}

// What stands behind i= may be anything: a chain is not judged by it.
func TestResultsAreNotJudged(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"i=1;":                              {"", ""},
		"i=1; ; spf=pass":                   {"", "; spf=pass"},
		"i=1; mx.example":                   {"mx.example", ""},
		"i=1; mx.example; none":             {"mx.example", "none"},
		"i=1; mx.example 1; none":           {"mx.example", "none"},
		"i=1; mx.example spf=pass":          {"", "mx.example spf=pass"},
		"i=1; \"open; spf=pass":             {"", "\"open; spf=pass"},
		"i=1; \"open\\":                     {"", "\"open\\"},
		"i=1; (open; spf=pass":              {"", "(open; spf=pass"},
		"i=1;mx.example;spf=pass\x01\x7f x": {"mx.example", "spf=pass x"},
		"i=1; \"a\r\n b\" ; \xff=":          {"a b", "?="},
	} {
		z := new(zone)
		f := forge(z, t, 1)
		f.sets[0].results = text
		r := verify(t, z, f.message(t))
		require.NoError(t, r.Err, "%q", text)
		require.Equal(t, want, [2]string{r.Sets[0].AuthServID, r.Sets[0].Results}, "%q", text)
	}
}

func TestSetsOfAFailedChain(t *testing.T) {
	t.Parallel()
	z := new(zone)
	f := forge(z, t, 3)
	tamper(1, without(1))(f)
	inMessage("d=aa.example", "d=A A")(f)
	r := verify(t, z, f.message(t))
	require.ErrorIs(t, r.Err, arc.ErrStructure)
	require.Equal(t, 2, r.Instance)
	require.Len(t, r.Sets, 3)
	require.Equal(t, "a a", r.Sets[0].MessageSignature.Domain)
	require.Equal(t, arc.Fail, r.Sets[0].MessageSignature.Status)
	require.Empty(t, r.Sets[2].Seal.Status, "not checked")
	require.Equal(t, "ca.example", r.Sets[2].Seal.Domain)
}

func records(txt ...string) func([]string) []string { return func([]string) []string { return txt } }

func more(tags string) func([]string) []string {
	return func(records []string) []string { return []string{records[0] + tags} }
}

func TestKeys(t *testing.T) {
	t.Parallel()
	const place = "arc._domainkey.aa.example"
	for name, c := range map[string]struct {
		key     crypto.Signer
		change  func(records []string) []string
		options arc.Options
		err     error
		bits    int
	}{
		"1024 bits":           {key: smallKey(), bits: 1024},
		"2048 bits":           {key: rsaKey(), bits: 2048},
		"Ed25519":             {key: ed25519Key(), bits: 256},
		"Ed25519 and MinRSA":  {key: ed25519Key(), bits: 256, options: arc.Options{MinRSABits: 4096}},
		"smaller than wanted": {key: smallKey(), bits: 1024, options: arc.Options{MinRSABits: 2048}, err: dkim.ErrWeakKey},
		"512 bits": {key: smallKey(), bits: 512, err: dkim.ErrWeakKey, change: func([]string) []string {
			return []string{"k=rsa; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL8xGVfyv1PcPGpHg9Yr7Zmpi7sWcXW4R2ZMZ3u3" +
				"jdVgpLWdHpJ4g/pXbdqS8ZqVqGzZBMZ/WSVgCe1kNzjIAn0CAwEAAQ=="}
		}},
		"second record": {key: smallKey(), bits: 1024, change: func(r []string) []string {
			other, err := dkim.NewRecord(rsaKey().Public(), dkim.RecordOptions{Domain: "x.example", Selector: "x"})
			if err != nil {
				panic(err)
			}
			return []string{"v=spf1 -all", other.Value, r[0]}
		}},
		"only a wrong key": {key: smallKey(), bits: 2048, err: dkim.ErrSignature, change: func([]string) []string {
			other, err := dkim.NewRecord(rsaKey().Public(), dkim.RecordOptions{Domain: "x.example", Selector: "x"})
			if err != nil {
				panic(err)
			}
			return []string{"k=rsa; s=other; p=" + other.Value[strings.LastIndex(other.Value, "p=")+2:], other.Value}
		}},
		"revoked":         {key: smallKey(), change: records("p="), err: dkim.ErrKeyRevoked},
		"no key record":   {key: smallKey(), change: records("k=rsa; omg"), err: dkim.ErrKeySyntax},
		"none":            {key: smallKey(), change: records(), err: dkim.ErrNoKey},
		"empty answer":    {key: smallKey(), change: func([]string) []string { return []string{} }, err: dkim.ErrNoKey},
		"testing":         {key: smallKey(), bits: 1024, change: more("; t=y:s")},
		"only for others": {key: smallKey(), bits: 1024, change: more("; s=x"), err: dkim.ErrKeyUse},
		"only another hash": {key: smallKey(), bits: 1024, change: more("; h=sha1"),
			err: dkim.ErrKeyUse},
	} {
		t.Run(name, func(t *testing.T) {
			z := new(zone)
			algorithm := "rsa-sha256"
			if isEd25519(c.key) {
				algorithm = "ed25519-sha256"
			}
			f := forge(z, t, 1).use(t, z, c.key, algorithm)
			if c.change != nil {
				z.records[place] = c.change(z.records[place])
			}
			c.options.Now = atThen
			r, err := arc.Verify(context.Background(), strings.NewReader(f.message(t)), z, c.options)
			require.NoError(t, err)
			require.Equal(t, c.bits, r.Sets[0].MessageSignature.KeyBits)
			require.Equal(t, []string{place}, z.asked)
			if c.err != nil {
				require.ErrorIs(t, r.Err, c.err)
				require.ErrorIs(t, r.Err, arc.ErrMessageSignature)
				require.Equal(t, 1, r.Instance)
				require.False(t, r.Temporary)
				return
			}
			require.NoError(t, r.Err)
			require.Equal(t, c.bits, r.Sets[0].Seal.KeyBits)
			require.Equal(t, name == "testing", r.Sets[0].Seal.Testing)
		})
	}
}

// RFC 8617 §5.2.1: all failures are permanent; but the caller may know.
func TestTemporaryFailures(t *testing.T) {
	t.Parallel()
	timeout := &net.DNSError{Err: "timeout", IsTimeout: true, IsTemporary: true}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		at    string // whose key
		err   error
		want  error
		where int
	}{
		"newest message signature": {"ca.example", timeout, arc.ErrMessageSignature, 3},
		"any error":                {"ca.example", broken, arc.ErrMessageSignature, 3},
		"old seal":                 {"aa.example", timeout, arc.ErrSeal, 1},
	} {
		z := new(zone)
		m := forge(z, t, 3).message(t)
		z.fails = map[string]error{"arc._domainkey." + c.at: c.err}
		r := verify(t, z, m)
		require.Equal(t, arc.Fail, r.Status, name)
		require.True(t, r.Temporary, name)
		require.Equal(t, c.where, r.Instance, name)
		require.ErrorIs(t, r.Err, c.want, name)
		require.ErrorIs(t, r.Err, c.err, name)
		require.ErrorIs(t, r.Err, dkim.ErrLookup, name)
	}
}

// An old message signature whose key cannot be had is one that does not verify; the chain does not fail for it.
func TestOldKeyIsGone(t *testing.T) {
	t.Parallel()
	z := new(zone)
	f := forge(z, t, 3)
	inMessage("s=arc", "s=gone")(f)
	r := verify(t, z, f.message(t))
	require.NoError(t, r.Err)
	require.Equal(t, 2, r.OldestPass)
	require.ErrorIs(t, r.Sets[0].MessageSignature.Err, dkim.ErrNoKey)
	require.Equal(t, []string{"arc._domainkey.ca.example", "arc._domainkey.ba.example", "gone._domainkey.aa.example",
		"arc._domainkey.aa.example"}, z.asked, "newest first, the seals last")
}

type slowResolver struct{}

func (slowResolver) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestLookupsEnd(t *testing.T) {
	t.Parallel()
	m := forge(new(zone), t, 2).message(t)
	r, err := arc.Verify(context.Background(), strings.NewReader(m), slowResolver{},
		arc.Options{Now: atThen, LookupTimeout: time.Millisecond})
	require.NoError(t, err)
	require.ErrorIs(t, r.Err, context.DeadlineExceeded)
	require.True(t, r.Temporary)

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err = arc.Verify(ctx, strings.NewReader(m), slowResolver{}, arc.Options{Now: atThen})
	require.NoError(t, err)
	require.ErrorIs(t, r.Err, context.Canceled)
}

func TestVerifierTakesAnyPieces(t *testing.T) {
	t.Parallel()
	z := new(zone)
	m := forge(z, t, 3).message(t)
	for name, r := range map[string]io.Reader{
		"bytes":    iotest.OneByteReader(strings.NewReader(m)),
		"halves":   iotest.HalfReader(strings.NewReader(m)),
		"bare LF":  strings.NewReader(strings.ReplaceAll(m, "\r\n", "\n")),
		"data err": iotest.DataErrReader(strings.NewReader(m)),
	} {
		got, err := arc.Verify(context.Background(), r, z, arc.Options{Now: atThen})
		require.NoError(t, err, name)
		require.NoError(t, got.Err, name)
		require.Equal(t, arc.Pass, got.Status, name)
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(message), iotest.ErrReader(broken))
	_, err := arc.Verify(context.Background(), r, nil, arc.Options{})
	require.ErrorIs(t, err, broken)
}

func TestResultIsFinal(t *testing.T) {
	t.Parallel()
	z := new(zone)
	for _, m := range []string{message, forge(z, t, 1).message(t)} {
		v := arc.NewVerifier(z, arc.Options{Now: atThen})
		_, err := io.WriteString(v, m)
		require.NoError(t, err)
		r := v.Result(context.Background())
		asked := len(z.asked)
		require.Equal(t, r, v.Result(context.Background()))
		require.Len(t, z.asked, asked)
		_, err = io.WriteString(v, "more")
		require.Error(t, err)
	}
}

// A message that breaks off is judged as far as it came: its body is not the one that was signed.
func TestCutOffMessage(t *testing.T) {
	t.Parallel()
	z := new(zone)
	m := forge(z, t, 1).message(t)
	require.ErrorIs(t, verify(t, z, m[:len(m)-6]).Err, dkim.ErrBody)
	header, _, _ := strings.Cut(m, "\r\n\r\n")
	require.ErrorIs(t, verify(t, z, header).Err, dkim.ErrBody)
	require.ErrorIs(t, verify(t, z, header[:len(header)-len("-ID: <1@example.com>")]).Err, dkim.ErrBody)
	require.Empty(t, z.asked, "the body speaks before the key")
}
