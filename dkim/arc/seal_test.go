package arc_test

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

func TestSetInTheStandardsForm(t *testing.T) {
	t.Parallel()
	s := newSealer(t, new(zone), "lists.example")
	set, err := s.Seal(strings.NewReader(message), arc.None, "spf=pass smtp.mailfrom=example.com; dmarc=pass")
	require.NoError(t, err)
	var names []string
	for line := range strings.SplitAfterSeq(strings.TrimSuffix(set, "\r\n"), "\r\n") {
		require.LessOrEqual(t, len(strings.TrimSpace(line)), 78)
		require.True(t, strings.HasSuffix(line, "\r\n") || strings.HasSuffix(set, line+"\r\n"))
		if line[0] != '\t' {
			name, _, _ := strings.Cut(line, ":")
			names = append(names, name)
		}
	}
	require.Equal(t, []string{"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"}, names)
	fields := splitFields(set)
	require.Equal(t, "i=1; mx.lists.example; spf=pass smtp.mailfrom=example.com; dmarc=pass", fields["ARC-Authentication-Results"])
	require.Regexp(t, `^i=1; a=rsa-sha256; c=relaxed/relaxed; d=lists\.example; s=arc; t=1715947200; h=from:[a-z:\- ]+; `+
		`bh=\S+; b=[^;]+$`, fields["ARC-Message-Signature"])
	require.Regexp(t, `^i=1; a=rsa-sha256; cv=none; d=lists\.example; s=arc; t=1715947200; b=[^;]+$`, fields["ARC-Seal"])
}

// What the sealer says of the chain, and when it adds no set: RFC 8617 §5.1.
func TestStatusOfTheChain(t *testing.T) {
	t.Parallel()
	z := new(zone)
	two := forge(z, t, 2).message(t)
	marked := forge(z, t, 2)
	replace(1, "cv=pass", "cv=fail")(marked)
	broken := forge(z, t, 3)
	tamper(1, func([]string) []string { return nil })(broken)
	for name, c := range map[string]struct {
		message string
		status  arc.Status
		i, cv   string // "": no set
		err     error
	}{
		"no chain":                  {message: message, status: arc.None, i: "1", cv: "none"},
		"failed chain was removed":  {message: message, status: arc.Fail, i: "1", cv: "fail"},
		"passed chain was removed":  {message: message, status: arc.Pass, err: arc.ErrStatus},
		"passed":                    {message: two, status: arc.Pass, i: "3", cv: "pass"},
		"failed":                    {message: two, status: arc.Fail, i: "3", cv: "fail"},
		"chain that was not there":  {message: two, status: arc.None, err: arc.ErrStatus},
		"no status":                 {message: message, err: arc.ErrStatus},
		"unknown status":            {message: message, status: "policy", err: arc.ErrStatus},
		"broken since it passed":    {message: broken.message(t), status: arc.Pass, i: "4", cv: "fail"},
		"broken":                    {message: broken.message(t), status: arc.Fail, i: "4", cv: "fail"},
		"garbage":                   {message: "ARC-Seal: i=x\r\n" + message, status: arc.Fail, i: "1", cv: "fail"},
		"garbage with one instance": {message: "ARC-Seal: i=7\r\n" + message, status: arc.Fail, i: "8", cv: "fail"},
		"sealed as failed":          {message: marked.message(t), status: arc.Fail},
		"sealed as failed, garbage": {message: "ARC-Seal: i=7; cv=Fail\r\n" + message, status: arc.Fail},
		"fifty sets":                {message: manySets(50) + message, status: arc.Pass},
		"instance fifty":            {message: "ARC-Seal: i=50\r\n" + message, status: arc.Fail},
		"too many sets":             {message: manySets(51) + message, status: arc.Fail},
		"ten thousand fields":       {message: strings.Repeat("ARC-Seal: i=1\r\n", 10_000) + message, status: arc.Fail},
	} {
		set, err := newSealer(t, z, "lists.example").Seal(strings.NewReader(c.message), c.status, "none")
		if c.err != nil {
			require.ErrorIs(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		if c.i == "" {
			require.Empty(t, set, name)
			continue
		}
		fields := splitFields(set)
		require.Len(t, fields, 3, name)
		for _, field := range fields {
			require.True(t, strings.HasPrefix(field, "i="+c.i+";"), name)
		}
		require.Contains(t, fields["ARC-Seal"], "; cv="+c.cv+";", name)
		r := verify(t, z, set+c.message)
		if c.cv == "fail" {
			require.ErrorIs(t, r.Err, arc.ErrMarkedFail, name)
			requireOwnSeal(t, set, name)
		} else {
			require.NoError(t, r.Err, name)
		}
	}
}

// requireOwnSeal checks that the seal covers its own set alone (RFC 8617 §5.1.2).
func requireOwnSeal(t *testing.T, set, name string) {
	var seal string
	var covered strings.Builder
	for field := range strings.SplitSeq(strings.ReplaceAll(strings.TrimSuffix(set, "\r\n"), "\r\n\t", "\n\t"), "\r\n") {
		field = strings.ReplaceAll(field, "\n\t", "\r\n\t")
		if strings.HasPrefix(field, "ARC-Seal") {
			seal = field
		} else { // results come behind the message signature in the set, but before it in what is covered
			before := covered.String()
			covered.Reset()
			covered.WriteString(relaxed(field) + "\r\n" + before)
		}
	}
	unsigned, b, _ := strings.Cut(seal, "b=")
	covered.WriteString(relaxed(unsigned + "b="))
	requireSigned(t, covered.String(), b, name)
}

func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	z := new(zone)
	m := "ARC-Test: x\r\nAuthentication-Results: mx.example; none\r\nDKIM-Signature: a\r\nDKIM-Signature: b\r\n" +
		"Received: x\r\n" + message
	set, err := newSealer(t, z, "lists.example").Seal(strings.NewReader(m), arc.None, "")
	require.NoError(t, err)
	r := verify(t, z, set+m)
	require.NoError(t, r.Err)
	signed := r.Sets[0].MessageSignature.Signed
	count := make(map[string]int)
	for _, name := range signed {
		count[name]++
	}
	require.Equal(t, 2, count["dkim-signature"])
	require.Equal(t, 2, count["from"], "oversigned")
	require.Equal(t, 1, count["cc"], "oversigned")
	for _, name := range []string{"received", "authentication-results", "arc-test", "arc-seal", "arc-message-signature"} {
		require.Zero(t, count[name], name)
	}
	require.ErrorIs(t, verify(t, z, set+"From: eve@example.org\r\n"+m).Err, dkim.ErrSignature)

	s := newSealer(t, z, "lists.example")
	s.Headers, s.Oversign = []string{"subject", "TO", "subject"}, []string{}
	set, err = s.Seal(strings.NewReader(m), arc.None, "")
	require.NoError(t, err)
	require.Equal(t, []string{"subject", "to", "from"}, verify(t, z, set+m).Sets[0].MessageSignature.Signed)
	require.Contains(t, arc.DefaultHeaders(), "DKIM-Signature")
}

func TestSealerOptions(t *testing.T) {
	t.Parallel()
	for _, key := range []crypto.Signer{smallKey(), rsaKey(), ed25519Key()} {
		for _, c := range []string{"", "relaxed/relaxed", "relaxed/simple", "Simple/Relaxed", "simple/simple"} {
			for _, sorted := range []bool{false, true} {
				z := new(zone)
				z.publish(t, key, "xn--bcher-kva.example", "arc")
				s := &arc.Sealer{
					Domain: "b\u00fccher.example", Selector: "ARC", Key: key, Canonicalization: c, SortTags: sorted, Now: atThen,
					AuthServID: `my "server"`,
				}
				m := "X: " + strings.Repeat("y", 300) + "\r\n" + message
				m = seal(t, s, arc.None, m)
				m = seal(t, s, arc.Pass, m)
				r := verify(t, z, m)
				require.NoError(t, r.Err)
				require.Zero(t, r.OldestPass)
				require.Equal(t, "xn--bcher-kva.example", r.Sets[0].Seal.Domain)
				require.Equal(t, `my "server"`, r.Sets[0].AuthServID)
			}
		}
	}
}

func TestUnusableSealers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *arc.Sealer){
		"no domain":             func(s *arc.Sealer) { s.Domain = "" },
		"bad domain":            func(s *arc.Sealer) { s.Domain = "a b" },
		"no selector":           func(s *arc.Sealer) { s.Selector = "" },
		"injecting selector":    func(s *arc.Sealer) { s.Selector = "a;\r\nX: y" },
		"long":                  func(s *arc.Sealer) { s.Selector = strings.Repeat("a.", 115) + "a" },
		"no key":                func(s *arc.Sealer) { s.Key = nil },
		"unknown key":           func(s *arc.Sealer) { s.Key = brokenKey{nil, nil} },
		"canonicalization":      func(s *arc.Sealer) { s.Canonicalization = "relaxed/none" },
		"signs results":         func(s *arc.Sealer) { s.Headers = []string{"Authentication-results"} },
		"signs ARC-Seal":        func(s *arc.Sealer) { s.Headers = []string{"ARC-Seal"} },
		"signs other ARC field": func(s *arc.Sealer) { s.Oversign = []string{"arc-message-signature"} },
		"signs ARC results":     func(s *arc.Sealer) { s.Headers = []string{"ARC-Authentication-Results"} },
		"no field name":         func(s *arc.Sealer) { s.Headers = []string{"a b"} },
		"long authserv-id":      func(s *arc.Sealer) { s.AuthServID = strings.Repeat("a", 300) },
	} {
		s := newSealer(t, new(zone), "lists.example")
		change(s)
		set, err := s.Seal(strings.NewReader(message), arc.None, "")
		require.ErrorIs(t, err, arc.ErrSealer, name)
		require.Empty(t, set, name)
	}
	_, err := (&arc.Sealer{Domain: "a.example", Selector: "s", Key: brokenKey{smallRSA(512).Public(), nil}}).
		Seal(strings.NewReader(message), arc.None, "")
	require.ErrorIs(t, err, dkim.ErrWeakKey)
}

type brokenKey struct {
	public crypto.PublicKey
	err    error
}

func (k brokenKey) Public() crypto.PublicKey { return k.public }

func (k brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, k.err }

// longKey makes signatures as long as those of RSA with 8192 bits.
type longKey struct{ crypto.PublicKey }

func (k longKey) Public() crypto.PublicKey { return k.PublicKey }

func (longKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 1024), nil
}

func TestLinesAreNeverTooLong(t *testing.T) {
	t.Parallel()
	for _, sorted := range []bool{false, true} {
		s := newSealer(t, new(zone), "lists.example")
		s.Key, s.SortTags = longKey{smallKey().Public()}, sorted
		set, err := s.Seal(strings.NewReader(message), arc.None, "")
		require.NoError(t, err)
		require.Contains(t, strings.Join(strings.Fields(set), ""), strings.Repeat("A", 1360))
		for line := range strings.SplitSeq(set, "\r\n") {
			require.LessOrEqual(t, len(line), 998) // RFC 5322 §2.1.1
		}
	}
}

func TestSealingFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s := newSealer(t, new(zone), "lists.example")
	_, err := s.Seal(iotest.ErrReader(broken), arc.None, "")
	require.ErrorIs(t, err, broken)
	_, err = s.Seal(strings.NewReader(" "+message), arc.None, "")
	require.ErrorIs(t, err, dkim.ErrMessage)
	for _, m := range []string{"", "\r\n" + message, "From: b@example.com\r\n" + message, "To: b@example.com\r\n\r\n"} {
		set, err := s.Seal(strings.NewReader(m), arc.None, "")
		require.ErrorIs(t, err, dkim.ErrFrom)
		require.Empty(t, set)
	}
	_, err = s.Seal(strings.NewReader(message), arc.None, strings.Repeat("x", 901))
	require.ErrorIs(t, err, arc.ErrResults)
	s.MaxHeader = 100
	_, err = s.Seal(strings.NewReader(message), arc.None, "")
	require.ErrorIs(t, err, dkim.ErrHeaderTooLarge)
	s.MaxHeader, s.Key = 0, brokenKey{smallKey().Public(), broken}
	_, err = s.Seal(strings.NewReader(message), arc.None, "")
	require.ErrorIs(t, err, broken)
}

// Whatever the results hold, the set is three fields, and the next server reads the results as they were.
func TestResultsCannotInject(t *testing.T) {
	t.Parallel()
	z := new(zone)
	for _, results := range []string{
		"", "none", "spf=pass\r\nBcc: eve@example.org", "spf=pass\r\n\r\nbody", "a\nb\rc\x00d", "b\u00fccher \xff\xfe", "; ;",
		"\"open",
		strings.Repeat("dkim=pass header.d=example.com; ", 200), strings.Repeat("x ", 5000) + strings.Repeat("y", 900),
		"spf=pass\r\n\t(fold)\r\n  smtp.mailfrom=a", "\u2028\u0085x",
	} {
		for _, id := range []string{"", "mx.example", "a\r\nX: y", "a;b", `"`, `\`, "\u00fc"} {
			s := newSealer(t, z, "lists.example")
			s.AuthServID = id
			set, err := s.Seal(strings.NewReader(message), arc.None, results)
			require.NoError(t, err)
			for line := range strings.SplitSeq(strings.TrimSuffix(set, "\r\n"), "\r\n") {
				require.True(t, line[0] == '\t' || strings.HasPrefix(line, "ARC-"), "%q", line)
				require.NotContains(t, line, "\n")
				require.NotContains(t, line, "\r")
				require.LessOrEqual(t, len(line), 998)
			}
			r := verify(t, z, set+message)
			require.NoError(t, r.Err)
			want := cleaned(results)
			if want == "" {
				want = "none"
			}
			require.Equal(t, want, r.Sets[0].Results)
			if id == "" {
				id = "lists.example"
			}
			require.Equal(t, cleaned(id), cleaned(r.Sets[0].AuthServID))
		}
	}
}

// cleaned is text as it can stand in a header.
func cleaned(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

func TestSealerInManyGoroutines(t *testing.T) {
	t.Parallel()
	z := new(zone)
	s := newSealer(t, z, "lists.example")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m := fmt.Sprintf("X-Number: %d\r\n%s", i, message)
			set, err := s.Seal(strings.NewReader(m), arc.None, "none")
			if err != nil || verify(t, z, set+m).Status != arc.Pass {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
}
