package dkim_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/stretchr/testify/require"
)

// differentialCases is how many messages get the verdict of both implementations.
const differentialCases = 2000

// generator makes messages of odd shapes: repeated and folded fields, lines that are no fields, blanks everywhere, bodies
// that end in every way. The same seed makes the same message.
type generator struct{ *rand.Rand }

func (g generator) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) text(alphabet string, most int) string {
	var b strings.Builder
	runes := []rune(alphabet)
	for range g.IntN(most + 1) {
		b.WriteRune(runes[g.IntN(len(runes))])
	}
	return b.String()
}

func (g generator) field() string {
	var b strings.Builder
	b.WriteString(g.pick("From", "from", "To", "TO ", "Subject", "SUBJECT \t", "Received", "X-A", "Cc", "DKIM-Signature-X") + ":")
	b.WriteString(g.text("ab \t;=:\u00e4.", 20) + "\r\n")
	for range g.IntN(3) {
		b.WriteString(g.pick(" ", "\t", "  ") + g.text("ab \t;=:\u00e4.", 20) + "\r\n")
	}
	return b.String()
}

func (g generator) message() string {
	var b strings.Builder
	b.WriteString("From: a@example.com\r\n")
	for range g.IntN(9) {
		b.WriteString(g.field())
		if g.IntN(10) == 0 {
			b.WriteString("no field\r\n")
		}
	}
	end := g.pick("\r\n", "\r\n", "\r\n", "\n")
	b.WriteString(end)
	for range g.IntN(8) {
		switch g.IntN(8) {
		case 0:
			b.WriteString(strings.Repeat("\r\n", g.IntN(4)))
		case 1:
			b.WriteString(strings.Repeat(g.text("ab .", 30), 1+g.IntN(400)) + "\r\n")
		default:
			b.WriteString(g.text("ab \t.", 30) + g.pick("\r\n", "\r\n", "\r\n", "\n", " \r\n"))
		}
	}
	b.WriteString(g.pick("", g.text("ab \t.", 30), "\r\n\r\n", "  "))
	return b.String()
}

// mutate changes a signed message in one of the ways in which messages change. What is signed of it says whether that
// matters.
func (g generator) mutate(signed string) string {
	header, body, _ := strings.Cut(signed, "\r\n\r\n")
	at := g.IntN(len(signed))
	switch g.IntN(12) {
	case 0, 1, 2:
		return signed
	case 3: // an octet
		if c := signed[at]; c == '\r' || c == '\n' {
			return signed
		}
		return signed[:at] + g.pick("a", "b", " ", "\t", ":", "A", ";", "=") + signed[at+1:]
	case 4: // blanks
		if i := strings.IndexAny(signed[at:], " \t"); i >= 0 {
			return signed[:at+i] + g.pick(" ", "\t", "  ", " \t ", "") + signed[at+i+1:]
		}
		return signed
	case 5: // a field on top, or below the others
		if g.IntN(2) == 0 {
			return g.field() + signed
		}
		return header + "\r\n" + strings.TrimSuffix(g.field(), "\r\n") + "\r\n\r\n" + body
	case 6: // unfolded or folded again
		if g.IntN(2) == 0 {
			return strings.Replace(signed, "\r\n\t", g.pick(" ", "\r\n ", "\r\n\t\t", ""), 1)
		}
		return strings.Replace(signed, ": ", ":\r\n ", 1+g.IntN(3))
	case 7: // a line of the header lost or moved
		lines := strings.SplitAfter(header+"\r\n", "\r\n")
		i, j := g.IntN(len(lines)), g.IntN(len(lines))
		if lines[i], lines[j] = lines[j], lines[i]; g.IntN(2) == 0 {
			lines[i] = ""
		}
		return strings.Join(lines, "") + "\r\n" + body
	case 8: // names in another case
		return strings.ToUpper(header[:strings.IndexByte(header, ':')]) + header[strings.IndexByte(header, ':'):] + "\r\n\r\n" + body
	case 9: // as a Unix file
		return strings.ReplaceAll(signed, "\r\n", "\n")
	case 10: // a longer or shorter end
		return g.pick(signed+"\r\n\r\n", signed+"x", signed+" ", strings.TrimRight(signed, "\r\n")+"\r\n\r\n")
	default: // lines wrapped
		return header + "\r\n\r\n" + strings.Replace(body, " ", g.pick("\r\n", "\n ", " \r\n"), 1)
	}
}

// sign signs a message with one implementation or the other.
func (g generator) sign(t *testing.T, message string) string {
	canonicalization := func() string { return g.pick("simple", "relaxed") }
	header, body, key := canonicalization(), canonicalization(), "ed25519"
	if g.IntN(10) == 0 {
		key = "rsa"
	}
	if g.IntN(2) == 0 {
		s := signer(key)
		s.Canonicalization = header + "/" + body
		field, err := s.Sign(strings.NewReader(message))
		if !errors.Is(err, dkim.ErrFrom) { // more of them only the other one signs
			require.NoError(t, err)
			return field + message
		}
	}
	var signed bytes.Buffer
	require.NoError(t, msgauth.Sign(&signed, strings.NewReader(message), &msgauth.SignOptions{
		Domain: "example.com", Selector: key, Signer: testKeys()[key],
		HeaderCanonicalization: msgauth.Canonicalization(header), BodyCanonicalization: msgauth.Canonicalization(body),
		HeaderKeys: []string{"From", "To", "Subject", "From", "Subject", "Subject", "X-A", "To"},
	}))
	return signed.String()
}

// verdicts are what both say of a message of one signature: "pass", "temperror" or "no".
func verdicts(t *testing.T, message string, z zone) (ours, theirs string) {
	t.Helper()
	result := verify(t, message, z, dkim.Options{})[0]
	ours = "no"
	if result.Status == dkim.Pass || result.Status == dkim.TempError {
		ours = string(result.Status)
	}
	opts := &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return z.LookupTXT(t.Context(), name+".") }}
	verifications, err := msgauth.VerifyWithOptions(strings.NewReader(message), opts)
	switch {
	case err != nil || len(verifications) == 0:
		return ours, "no"
	case verifications[0].Err == nil:
		return ours, "pass"
	case msgauth.IsTempFail(verifications[0].Err):
		return ours, "temperror"
	}
	return ours, "no"
}

// Two implementations that have nothing in common say the same of messages that were changed on their way.
func TestDifferentialVerdictsAreAlike(t *testing.T) {
	t.Parallel()
	z := keyZone(t)
	count := map[string]int{}
	for seed := range uint64(differentialCases) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		message := g.mutate(g.sign(t, g.message()))
		ours, theirs := verdicts(t, message, z)
		require.Equal(t, theirs, ours, "seed %d: %q", seed, message)
		count[ours]++
	}
	t.Logf("%d messages: %d pass, %d do not", differentialCases, count["pass"], count["no"])
	require.Greater(t, count["pass"], differentialCases/4)
	require.Greater(t, count["no"], differentialCases/4)
}

// What they judge in another way, and the clause that is on our side: of RFC 6376 where no other is named.
func TestDifferentialExceptions(t *testing.T) {
	t.Parallel()
	good := keyZone(t)["rsa._domainkey.example.com"][0]
	other := keyZone(t)["rsa2048._domainkey.example.com"][0]
	p := strings.TrimPrefix(good, "v=DKIM1; ")
	key := func(records ...string) zone { return zone{"rsa._domainkey.example.com": records} }
	replace := func(old, new string) string { return strings.Replace(goodTags, old, new, 1) }
	hour := func(h int64) int64 { return time.Now().Unix() + h*3600 }
	own := zone{"rsa._domainkey.xn--bcher-kva.example": {good}}
	over := func(tags string) string { return craft(t, tags, wire.Whole) }
	const bareCR = "From: a@example.com\r\n\r\na \rb\r\n"
	const emptyHash = "; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" // §3.4.4
	for _, c := range []struct {
		clause string
		passes bool
		zone   zone // nil: the good key
		signed string
	}{
		{"§3.5, l=: the rest is not hashed; the result tells of it", true, nil, craft(t, goodTags+"; l=6", 6)},
		{"§3.7: only the value of the tag b= is deleted, not what looks like it in z=", true, nil,
			over(goodTags + "; z=Subject:b=y")},
		{"§3.6.1, t=s: i= must not be in a subdomain", false, key("t=s; " + p), over(goodTags + "; i=@x.example.com")},
		{"§3.5, i=: the domain has no case (RFC 4343)", true, nil, over(goodTags + "; i=@EXAMPLE.com")},
		{"§6.1.2 step 4: the next key may be tried", true, key(other, good), over(goodTags)},
		{"RFC 5234 §2.3: \"sha256\" of h= has no case", true, key("h=SHA256; " + p), over(goodTags)},
		{"RFC 5234 §2.3: \"rsa\" of k= has no case", true, key(strings.Replace(good, "k=rsa", "k=RSA", 1)), over(goodTags)},
		{"RFC 5234 §2.3: \"relaxed\" of c= has no case", true, nil, over(replace("relaxed/relaxed", "Relaxed/RELAXED"))},
		{"RFC 5234 §2.3: \"rsa-sha256\" of a= has no case", true, nil, over(replace("rsa-sha256", "RSA-SHA256"))},
		{"§3.6.1, v=: must be the first tag", false, key(p + "; v=DKIM1"), over(goodTags)},
		{"§3.2: a tag-list has no empty tag-spec", false, nil, over(goodTags + ";; n=x")},
		{"§3.5, d=: a domain-name has no blanks", false, nil, over(replace("example.com", "exam ple.com"))},
		{"§3.5, h=: no name is empty", false, nil, over(replace("from:to", "from::to"))},
		{"§3.5, h=: the field that is verified is none of those it signs", true, nil,
			over(replace("from:", "from:dkim-signature:"))},
		{"§3.5, x=: must be greater than t=", false, nil, over(fmt.Sprintf("%s; t=%d; x=%d", goodTags, hour(1), hour(1)))},
		{"§3.5, t=: a signature from the future may be ignored", false, nil, over(fmt.Sprintf("%s; t=%d", goodTags, hour(30)))},
		{"§3.5, x=: clocks differ", true, nil, over(fmt.Sprintf("%s; x=%d", goodTags, time.Now().Unix()-60))},
		{"RFC 8616 §5: the name that is asked for has A-labels", true, own, over(replace("example.com", "b\u00fccher.example"))},
		{"§2.10: base64 needs no padding", true, nil, strings.Replace(over(goodTags), "=\r\nFrom:", "\r\nFrom:", 1)},
		{"RFC 5322 §3.5: a message need not have a body, nor the blank line", true, nil,
			strings.TrimSuffix(craftOver(t, "From: a@example.com\r\n\r\n", goodTags+emptyHash, wire.Whole), "\r\n")},
		{"§3.4.4: a blank in front of a CR alone is not at the end of a line", true, nil,
			craftOver(t, bareCR, goodTags, wire.Whole)},
	} {
		t.Run(c.clause, func(t *testing.T) {
			t.Parallel()
			if c.zone == nil {
				c.zone = key(good)
			}
			ours, theirs := verdicts(t, c.signed, c.zone)
			want := map[bool]string{true: "pass", false: "no"}
			require.Equal(t, want[c.passes], ours, "%v", verify(t, c.signed, c.zone, dkim.Options{})[0].Err)
			require.Equal(t, want[!c.passes], theirs, "they agree now: not an exception any more")
		})
	}
}

// The pieces in which a message comes make no difference.
func TestPiecesMakeNoDifference(t *testing.T) {
	t.Parallel()
	z := keyZone(t)
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		signed := g.mutate(g.sign(t, g.message()))
		want := verify(t, signed, z, dkim.Options{})
		v := dkim.NewVerifier(z, dkim.Options{})
		for rest := signed; rest != ""; {
			n := 1 + g.IntN(min(len(rest), 100))
			_, err := io.WriteString(v, rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.Equal(t, want, v.Results(t.Context()), "seed %d", seed)
	}
}
