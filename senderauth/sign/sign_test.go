package sign_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/stretchr/testify/require"
)

var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := make(map[string]crypto.Signer)
	for name, bits := range map[string]int{"rsa": 1024, "ed25519": 0} {
		key, err := dkim.GenerateKey(name, bits)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

// keys is a sign.Keys with an RSA and an Ed25519 key for each domain that it has.
type keys []string

func (k keys) Signers(_ context.Context, domain string) ([]dkim.Signer, error) {
	for _, d := range k {
		if d == domain {
			return []dkim.Signer{
				{Domain: d, Selector: "rsa", Key: testKeys()["rsa"]}, {Domain: d, Selector: "ed25519", Key: testKeys()["ed25519"]},
			}, nil
		}
	}
	return nil, nil
}

// LookupTXT publishes the keys under every domain.
func (k keys) LookupTXT(_ context.Context, name string) ([]string, error) {
	selector, domain, _ := strings.Cut(strings.TrimSuffix(name, "."), "._domainkey.")
	key, ok := testKeys()[selector]
	if !ok {
		return nil, &net.DNSError{IsNotFound: true}
	}
	r, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: domain, Selector: selector})
	return []string{r.Value}, err
}

// verified has "selector domain status" for each signature of msg.
func verified(t *testing.T, msg *mailbricks.Message) []string {
	t.Helper()
	results, err := dkim.Verify(t.Context(), msg.Reader(), keys{}, dkim.Options{})
	require.NoError(t, err)
	var all []string
	for _, r := range results {
		all = append(all, strings.TrimSpace(r.Selector+" "+r.Domain+" "+string(r.Status)))
	}
	return all
}

func message(from string) *mailbricks.Message {
	return mailbricks.NewMessage([]byte(from + "To: b@example.net\r\nSubject: Hi\r\n\r\nHello.\r\n"))
}

var own = &mailbricks.Envelope{From: "bounce@bounces.example"}

func TestEachKeyOfTheAuthorsDomainSigns(t *testing.T) {
	t.Parallel()
	step := sign.With(keys{"example.com", "bounces.example", "xn--bcher-kva.example"})
	for from, domain := range map[string]string{
		"From: a@example.com\r\n":                                   "example.com",
		"From: \"x@example.org\" <a@EXAMPLE.com> (y@z.example)\r\n": "example.com",
		"From: M\u00fcller, Jr. <a@example.com>\r\n":                "example.com",
		"From: \"quoted@example.org\"@example.com\r\n":              "example.com",
		"From: A <a@example.com>, B <b@example.org>\r\n":            "example.com",
		"From: a@b\u00fccher.example\r\n":                           "xn--bcher-kva.example",
		"From: a@sub.example.com\r\n":                               "bounces.example", // no key of the domain above
		"From: a@example.org\r\n":                                   "bounces.example",
		"From: nobody\r\n":                                          "bounces.example",
		"From: <a@../../etc>\r\n":                                   "bounces.example",
	} {
		msg := message(from)
		require.NoError(t, step(t.Context(), own, msg))
		require.Equal(t, []string{"rsa " + domain + " pass", "ed25519 " + domain + " pass"}, verified(t, msg), "%q", from)
	}
}

func TestDomainWithoutKeyLeavesUnsigned(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	step := &sign.Step{
		Keys:   keys{"example.org"},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, from := range []string{"a@example.com", ""} {
		msg := message("From: a@example.com\r\n")
		require.NoError(t, step.Sign(t.Context(), &mailbricks.Envelope{From: from}, msg))
		require.Equal(t, []string{"none"}, verified(t, msg))
	}
	require.Contains(t, log.String(), "there is no key")
}

// Otherwise a stranger's mail in a local name, sent to an alias that leads elsewhere, would leave with our signature.
func TestOnlyOwnMailIsSigned(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddrPort("192.0.2.1:25")
	stranger := &mailbricks.Envelope{From: "a@example.com", Peer: mailbricks.Peer{Addr: address}}
	local := &mailbricks.Envelope{From: "a@example.com", Peer: mailbricks.Peer{Hello: "x", Protocol: "LMTP"}}
	user := &mailbricks.Envelope{
		From: "a@example.com", Peer: mailbricks.Peer{Addr: address, Identity: &mailbricks.Identity{Login: "a@example.com"}},
	}
	signed := func(step *sign.Step, env *mailbricks.Envelope) bool {
		msg := message("From: a@example.com\r\n")
		require.NoError(t, step.Sign(t.Context(), env, msg))
		return verified(t, msg)[0] != "none"
	}
	step := &sign.Step{Keys: keys{"example.com"}}
	require.False(t, signed(step, stranger))
	require.False(t, signed(step, local))
	require.True(t, signed(step, user))
	require.True(t, signed(step, &mailbricks.Envelope{}))
	step.Own = func(env *mailbricks.Envelope) bool { return env.Peer.Addr.Addr() == address.Addr() }
	require.True(t, signed(step, stranger))
	require.False(t, signed(step, &mailbricks.Envelope{}))
}

func TestMessageIsNotSignedTwice(t *testing.T) {
	t.Parallel()
	step := sign.With(keys{"example.com"})
	want := []string{"rsa example.com pass", "ed25519 example.com pass"}
	msg := message("From: a@example.com\r\n")
	for range 3 {
		require.NoError(t, step(t.Context(), own, msg))
		require.Equal(t, want, verified(t, msg))
	}
	// One key's signature is there already.
	msg = message("From: a@example.com\r\n")
	one := &dkim.Signer{Domain: "Example.com", Selector: "ed25519", Key: testKeys()["ed25519"]}
	field, err := one.Sign(msg.Reader())
	require.NoError(t, err)
	msg.Prepend("DKIM-Signature", strings.TrimSuffix(strings.TrimPrefix(field, "DKIM-Signature: "), "\r\n"))
	require.NoError(t, step(t.Context(), own, msg))
	require.Equal(t, want, verified(t, msg))
}

func TestForgedSignatureDoesNotPreventSigning(t *testing.T) {
	t.Parallel()
	msg := message("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=rsa; h=from; bh=AAAA; b=AAAA\r\nFrom: a@example.com\r\n")
	require.NoError(t, sign.With(keys{"example.com"})(t.Context(), own, msg))
	require.Equal(t, []string{"rsa example.com pass", "ed25519 example.com pass", "rsa example.com fail"}, verified(t, msg))
}

// failing is a sign.Keys whose disk is gone.
type failing struct{}

var errDisk = errors.New("disk")

func (failing) Signers(context.Context, string) ([]dkim.Signer, error) { return nil, errDisk }

func TestFaultOfKeysIsTemporary(t *testing.T) {
	t.Parallel()
	msg := message("From: a@example.com\r\n")
	err := sign.With(failing{})(t.Context(), own, msg)
	require.ErrorIs(t, err, errDisk)
	require.True(t, mailbricks.IsTemporary(err))
	require.Equal(t, []string{"none"}, verified(t, msg))
}

// broken is a sign.Keys with a signer that cannot sign.
type broken struct{ key crypto.Signer }

func (b broken) Signers(context.Context, string) ([]dkim.Signer, error) {
	return []dkim.Signer{
		{Domain: "example.com", Selector: "ed25519", Key: testKeys()["ed25519"]}, {Domain: "example.com", Selector: "b", Key: b.key},
	}, nil
}

type absentKey struct{ crypto.PublicKey }

func (k absentKey) Public() crypto.PublicKey { return k.PublicKey }
func (absentKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errDisk
}

func TestMessageLeavesWithAllSignaturesOrNone(t *testing.T) {
	t.Parallel()
	for _, key := range []crypto.Signer{nil, absentKey{testKeys()["rsa"].Public()}, absentKey{"no key"}} {
		for _, signed := range []bool{false, true} {
			msg := message("From: a@example.com\r\n")
			want := []string{"none"}
			if signed {
				require.NoError(t, sign.With(keys{"example.com"})(t.Context(), own, msg))
				want = []string{"rsa example.com pass", "ed25519 example.com pass"}
			}
			err := sign.With(broken{key})(t.Context(), own, msg)
			require.Error(t, err)
			require.True(t, mailbricks.IsTemporary(err))
			require.Equal(t, want, verified(t, msg))
		}
	}
}

// Its signature would tell of no author, or of which one would be anybody's guess.
func TestMessageWithoutOneFromStaysUnsigned(t *testing.T) {
	t.Parallel()
	step := sign.With(keys{"example.com", "bounces.example"})
	for _, from := range []string{"", "From: a@example.com\r\nFrom: b@example.com\r\n"} {
		msg := message(from)
		require.NoError(t, step(t.Context(), own, msg))
		require.Empty(t, msg.Values("DKIM-Signature"))
	}
}

func TestMessageThatCannotBeSignedIsRefused(t *testing.T) {
	t.Parallel()
	step := sign.With(keys{"bounces.example"})
	for enhanced, raw := range map[string]string{
		"5.6.0": " x\r\nFrom: a@example.com\r\n\r\n",
		"5.3.4": strings.Repeat("X: "+strings.Repeat("x", 997)+"\r\n", dkim.DefaultMaxHeader/1000) + "\r\n",
	} {
		err := step(t.Context(), own, mailbricks.NewMessage([]byte(raw)))
		require.Error(t, err)
		require.Equal(t, enhanced, mailbricks.ReplyTo(err).EnhancedCode())
	}
}
