package sign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/stretchr/testify/require"
)

// forwarded is the envelope of what aliases send on.
func forwarded(aliases ...string) *mailbricks.Envelope {
	env := &mailbricks.Envelope{From: "a@far.example", Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:25")}}
	for _, alias := range aliases {
		env.Recipients = append(env.Recipients, mailbricks.Recipient{Address: "b@elsewhere.example", Alias: alias})
	}
	return env
}

// checked is a message as senderauth leaves it.
func checked(results string) *mailbricks.Message {
	msg := message("From: a@far.example\r\n")
	msg.Prepend("Authentication-Results", "mx.example.com;\r\n\t"+results)
	msg.Prepend("Received", "from far.example by mx.example.com; Mon, 1 Jan 2026 00:00:00 +0000")
	return msg
}

func forward() *sign.Forward {
	return &sign.Forward{Keys: keys{"example.com", "example.net"}, AuthServID: "mx.example.com", Resolver: keys{}}
}

func chain(t *testing.T, msg *mailbricks.Message) arc.Result {
	t.Helper()
	r, err := arc.Verify(t.Context(), msg.Reader(), keys{}, arc.Options{})
	require.NoError(t, err)
	return r
}

func TestForwardedMailIsSealed(t *testing.T) {
	t.Parallel()
	msg := checked("spf=pass smtp.mailfrom=far.example;\r\n\tarc=none; dmarc=pass header.from=far.example")
	require.NoError(t, forward().Seal(t.Context(), forwarded("x@nokeys.example", "Sales@Example.COM", "y@example.net"), msg))
	var names []string
	for f := range msg.Fields() {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{
		"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results", "Received", "Authentication-Results",
	}, names[:5])
	r := chain(t, msg)
	require.Equal(t, arc.Pass, r.Status, "%v", r.Err)
	require.Len(t, r.Sets, 1)
	require.Equal(t, arc.None, r.Sets[0].CV)
	require.Equal(t, "example.com", r.Sets[0].Seal.Domain)
	require.Equal(t, "rsa", r.Sets[0].Seal.Selector, "a key that every verifier knows")
	require.Equal(t, "mx.example.com", r.Sets[0].AuthServID)
	require.Equal(t, "spf=pass smtp.mailfrom=far.example; arc=none; dmarc=pass header.from=far.example", r.Sets[0].Results)

	// The next forwarder, for which the chain passes.
	next := mailbricks.NewMessage([]byte("Authentication-Results: mx.example.com; arc=pass\r\n" + text(t, msg)))
	require.NoError(t, forward().Seal(t.Context(), forwarded("y@example.net"), next))
	r = chain(t, next)
	require.Equal(t, arc.Pass, r.Status, "%v", r.Err)
	require.Len(t, r.Sets, 2)
	require.Equal(t, "example.net", r.Sets[1].Seal.Domain)
	require.Equal(t, "arc=pass", r.Sets[1].Results)
}

func text(t *testing.T, msg *mailbricks.Message) string {
	t.Helper()
	var b bytes.Buffer
	_, err := msg.WriteTo(&b)
	require.NoError(t, err)
	return b.String()
}

func TestWhatIsNotSealed(t *testing.T) {
	t.Parallel()
	user := forwarded("a@example.com")
	user.Peer.Identity = &mailbricks.Identity{User: "a@example.com"}
	junk := forwarded("a@example.com")
	junk.Quarantine = "SPF fails"
	forged := message("From: a@far.example\r\n")
	forged.Prepend("Authentication-Results", "mx.example.net; arc=none; dmarc=pass")
	forged.Prepend("Authentication-Results", "mx.example.com.evil.example; arc=none; dmarc=pass")
	for name, tc := range map[string]struct {
		env *mailbricks.Envelope
		msg *mailbricks.Message
		why string
	}{
		"of a user":          {user, checked("arc=none"), ""},
		"of this program":    {&mailbricks.Envelope{}, checked("arc=none"), ""},
		"junk":               {junk, checked("arc=none"), "put aside"},
		"no alias":           {forwarded(""), checked("arc=none"), "no RSA key"},
		"no key":             {forwarded("a@nokeys.example", "b@../..", "c"), checked("arc=none"), "no RSA key"},
		"not checked":        {forwarded("a@example.com"), message("From: a@far.example\r\n"), "not checked"},
		"checked elsewhere":  {forwarded("a@example.com"), forged, "not checked"},
		"says pass, without": {forwarded("a@example.com"), checked("arc=pass"), "status does not fit"},
		"says fail, without": {forwarded("a@example.com"), checked("arc=fail"), "cannot be verified for now"},
	} {
		var log bytes.Buffer
		f := forward()
		f.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		before := text(t, tc.msg)
		require.NoError(t, f.Seal(t.Context(), tc.env, tc.msg), name)
		require.Equal(t, before, text(t, tc.msg), name)
		require.Contains(t, log.String(), tc.why, name)
	}
}

// Whoever runs the server can learn that an alias's domain has no key.
func TestForwardTellsOfDomainsWithoutAKey(t *testing.T) {
	t.Parallel()
	var told [][]string
	f := forward()
	f.OnNoKey = func(_ context.Context, domains []string) { told = append(told, domains) }
	for _, env := range []*mailbricks.Envelope{
		forwarded("a@nokeys.example", "b@also.example"), forwarded("a@example.com"), forwarded(""), {},
	} {
		require.NoError(t, f.Seal(t.Context(), env, checked("arc=none")))
	}
	require.Equal(t, [][]string{{"nokeys.example", "also.example"}}, told)
}

// onlyEd is a sign.Keys whose domain has no RSA key, and broken one that cannot be read.
type onlyEd struct{}

func (onlyEd) Signers(context.Context, string) ([]dkim.Signer, error) {
	return []dkim.Signer{
		{Domain: "example.com", Selector: "x"},
		{Domain: "example.com", Selector: "ed25519", Key: testKeys()["ed25519"]},
	}, nil
}

type unreadable struct{}

var errBroken = errors.New("disk is broken")

func (unreadable) Signers(context.Context, string) ([]dkim.Signer, error) { return nil, errBroken }

func TestSealingKeys(t *testing.T) {
	t.Parallel()
	f := forward()
	f.Keys = onlyEd{}
	msg := checked("arc=none")
	require.NoError(t, f.Seal(t.Context(), forwarded("a@example.com"), msg))
	require.Empty(t, msg.Values("ARC-Seal"))
	f.Keys = unreadable{}
	require.ErrorIs(t, f.Seal(t.Context(), forwarded("a@example.com"), msg), errBroken)
	require.NoError(t, f.Seal(t.Context(), forwarded(), msg), "no alias, no question")

	f = forward()
	f.Domains = func(*mailbricks.Envelope) []string { return []string{"example.net"} }
	require.NoError(t, f.Seal(t.Context(), forwarded(), msg))
	require.Equal(t, "example.net", chain(t, msg).Sets[0].Seal.Domain)
}

// A chain that came in broken is sealed as such, once (RFC 8617 §5.1 step 2), unless only the DNS is to blame.
func TestBrokenChainIsSealedOnce(t *testing.T) {
	t.Parallel()
	msg := checked("arc=none")
	require.NoError(t, forward().Seal(t.Context(), forwarded("a@example.com"), msg))
	changed := func(results string) *mailbricks.Message {
		return mailbricks.NewMessage([]byte("Authentication-Results: mx.example.com; " + results + "\r\n" +
			strings.Replace(text(t, msg), "Hello.", "Buy.", 1)))
	}
	for _, results := range []string{"arc=fail", "spf=pass"} { // the second does not say, so it is verified
		next := changed(results)
		require.NoError(t, forward().Seal(t.Context(), forwarded("a@example.com"), next))
		require.Len(t, next.Values("ARC-Seal"), 2)
		require.Contains(t, next.Get("ARC-Seal"), "cv=fail")
		require.Equal(t, arc.Fail, chain(t, next).Status)
		last := mailbricks.NewMessage([]byte("Authentication-Results: mx.example.com; arc=fail\r\n" + text(t, next)))
		require.NoError(t, forward().Seal(t.Context(), forwarded("a@example.com"), last))
		require.Len(t, last.Values("ARC-Seal"), 2, "there is nothing to add")
	}

	f := forward()
	f.Resolver = deaf{}
	next := mailbricks.NewMessage([]byte("Authentication-Results: mx.example.com; arc=fail\r\n" + text(t, msg)))
	require.NoError(t, f.Seal(t.Context(), forwarded("a@example.com"), next))
	require.Len(t, next.Values("ARC-Seal"), 1)
}

// deaf is a DNS that does not answer.
type deaf struct{}

func (deaf) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}

func TestChainOfFiftySetsIsLeftAlone(t *testing.T) {
	t.Parallel()
	msg := checked("arc=none")
	for n := range arc.MaxSets + 2 {
		require.NoError(t, forward().Seal(t.Context(), forwarded("a@example.com"), msg))
		require.Len(t, msg.Values("ARC-Seal"), min(n+1, arc.MaxSets))
		msg.Remove(func(f mailbricks.Field) bool { return f.Is("Authentication-Results") })
		msg.Prepend("Authentication-Results", "mx.example.com; arc=pass")
	}
	require.Equal(t, arc.Pass, chain(t, msg).Status)
}

// A message that leaves to several hosts is sealed by one domain.
func TestDomainsOfAliases(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"b.example", "xn--bcher-kva.example"},
		sign.ForwardedBy(forwarded("", "x", "x@B.example", "y@b.example", "z@b\u00fccher.example", "q@..")))
	require.Empty(t, sign.ForwardedBy(&mailbricks.Envelope{}))
}

func ExampleForward() {
	step := &sign.Step{Keys: &sign.Dir{Root: "data/dkim"}}
	forward := &sign.Forward{Keys: step.Keys, AuthServID: "mx.example.com"}
	prepare := func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error { // for relay.Options.Prepare
		return errors.Join(step.Sign(ctx, env, msg), forward.Seal(ctx, env, msg)) // each leaves alone what is the other's
	}
	letter := mailbricks.NewMessage([]byte("From: a@far.example\r\n\r\nHello\r\n"))
	env := &mailbricks.Envelope{
		Peer:       mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:25")},
		Recipients: []mailbricks.Recipient{{Address: "ann@elsewhere.example", Alias: "sales@example.com"}},
	}
	fmt.Println(prepare(context.Background(), env, letter), "without a key:", len(letter.Values("ARC-Seal")))
	// Output: <nil> without a key: 0
}
