package dkim_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawMessage makes messages that both implementations must treat alike: CRLF line ends and a blank line, but odd white
// space, repeated fields and lines that are no fields.
func drawMessage(t *rapid.T) string {
	word := rapid.StringOf(rapid.SampledFrom([]rune("ab \t;=:\u00e4.")))
	name := rapid.SampledFrom([]string{"From", "from", "To", "Subject", "SUBJECT ", "Received", "X-A", "Cc"})
	var b strings.Builder
	b.WriteString("From: a@example.com\r\n")
	for range rapid.IntRange(0, 8).Draw(t, "fields") {
		b.WriteString(name.Draw(t, "name") + ":" + word.Draw(t, "value") + "\r\n")
		for range rapid.IntRange(0, 2).Draw(t, "folds") {
			b.WriteString(rapid.SampledFrom([]string{" ", "\t", "  "}).Draw(t, "fold") + word.Draw(t, "value") + "\r\n")
		}
		if rapid.IntRange(0, 9).Draw(t, "junk") == 0 {
			b.WriteString("no field\r\n")
		}
	}
	b.WriteString("\r\n")
	line := rapid.StringOf(rapid.SampledFrom([]rune("ab \t.")))
	for range rapid.IntRange(0, 6).Draw(t, "lines") {
		b.WriteString(line.Draw(t, "line") + "\r\n")
	}
	if rapid.Bool().Draw(t, "open end") {
		b.WriteString(line.Draw(t, "last"))
	}
	return b.String()
}

func drawCanonicalization(t *rapid.T) (header, body string) {
	c := rapid.SampledFrom([]string{"simple", "relaxed"})
	return c.Draw(t, "header"), c.Draw(t, "body")
}

func TestWhatGoMsgauthSignsVerifies(t *testing.T) {
	t.Parallel()
	z := keyZone(t)
	rapid.Check(t, func(t *rapid.T) {
		message := drawMessage(t)
		header, body := drawCanonicalization(t)
		key := rapid.SampledFrom([]string{"rsa", "ed25519"}).Draw(t, "key")
		var signed bytes.Buffer
		require.NoError(t, msgauth.Sign(&signed, strings.NewReader(message), &msgauth.SignOptions{
			Domain: "example.com", Selector: key, Signer: testKeys()[key],
			HeaderCanonicalization: msgauth.Canonicalization(header), BodyCanonicalization: msgauth.Canonicalization(body),
			HeaderKeys: []string{"From", "To", "Subject", "From", "Subject", "Subject", "X-A", "To"},
		}))
		results, err := dkim.Verify(t.Context(), &signed, z, dkim.Options{})
		require.NoError(t, err)
		require.Len(t, results, 1)
		require.Equal(t, dkim.Pass, results[0].Status, "%v", results[0].Err)
	})
}

func TestGoMsgauthVerifiesWhatIsSigned(t *testing.T) {
	t.Parallel()
	z := keyZone(t)
	lookup := func(name string) ([]string, error) { return z.LookupTXT(t.Context(), name+".") }
	rapid.Check(t, func(t *rapid.T) {
		message := drawMessage(t)
		header, body := drawCanonicalization(t)
		s := signer(rapid.SampledFrom([]string{"rsa", "ed25519"}).Draw(t, "key"))
		s.Canonicalization = header + "/" + body
		field, err := s.Sign(strings.NewReader(message))
		require.NoError(t, err)

		verifications, err := msgauth.VerifyWithOptions(strings.NewReader(field+message),
			&msgauth.VerifyOptions{LookupTXT: lookup})
		require.NoError(t, err)
		require.Len(t, verifications, 1)
		require.NoError(t, verifications[0].Err)

		results, err := dkim.Verify(t.Context(), strings.NewReader(field+message), z, dkim.Options{})
		require.NoError(t, err)
		require.Equal(t, dkim.Pass, results[0].Status, "%v", results[0].Err)
	})
}

// One octet of a signed message is changed: both must agree on what is left of the signature.
func TestMutationsAreJudgedAlike(t *testing.T) {
	t.Parallel()
	z := keyZone(t)
	lookup := func(name string) ([]string, error) { return z.LookupTXT(t.Context(), name+".") }
	rapid.Check(t, func(t *rapid.T) {
		message := drawMessage(t)
		header, body := drawCanonicalization(t)
		s := signer("ed25519")
		s.Canonicalization = header + "/" + body
		field, err := s.Sign(strings.NewReader(message))
		require.NoError(t, err)
		signed := []byte(field + message)
		at := rapid.IntRange(len(field), len(signed)-1).Draw(t, "at")
		octet := rapid.SampledFrom([]byte("ab \t:A")).Draw(t, "octet")
		if c := signed[at]; c == '\r' || c == '\n' { // bare CR: they take it for white space
			return
		}
		signed[at] = octet

		results, err := dkim.Verify(t.Context(), bytes.NewReader(signed), z, dkim.Options{})
		require.NoError(t, err)
		theirs, err := msgauth.VerifyWithOptions(bytes.NewReader(signed), &msgauth.VerifyOptions{LookupTXT: lookup})
		require.NoError(t, err)
		require.Equal(t, theirs[0].Err == nil, results[0].Status == dkim.Pass, "%v / %v", theirs[0].Err, results[0].Err)
	})
}

// The pieces in which a message comes make no difference.
func TestPiecesMakeNoDifference(t *testing.T) {
	t.Parallel()
	z := keyZone(t)
	rapid.Check(t, func(t *rapid.T) {
		message := drawMessage(t)
		field, err := signer("ed25519").Sign(strings.NewReader(message))
		require.NoError(t, err)
		v := dkim.NewVerifier(z, dkim.Options{})
		for rest := field + message; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			_, err := io.WriteString(v, rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.Equal(t, dkim.Pass, v.Results(t.Context())[0].Status)
	})
}
