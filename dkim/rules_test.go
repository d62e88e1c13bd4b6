package dkim_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/stretchr/testify/require"
)

const letter = "From: a@example.com\r\nTo: b@example.net\r\nSubject: Hi\r\n\r\nHello.\r\nBye.\r\n"

// craft signs letter with a field of any tags.
func craft(t testing.TB, tags string, length int64) string {
	t.Helper()
	return craftOver(t, letter, tags, length)
}

// craftOver signs a message with a field of any tags: what stands in tags plus bh= (over length octets of the relaxed
// body) and b=, unless tags has them. It is the way to signatures that Signer would not make.
func craftOver(t testing.TB, message, tags string, length int64) string {
	t.Helper()
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	header += "\r\n"
	var b wire.Body
	sum := b.Hash(true, length)
	b.Write([]byte(body))
	b.Close()
	if !strings.Contains(tags, "bh=") {
		tags += "; bh=" + base64.StdEncoding.EncodeToString(sum.Sum)
	}
	field := "DKIM-Signature: " + tags + "; b="
	_, list, _ := strings.Cut(tags, "h=")
	list, _, _ = strings.Cut(list, ";")
	names := wire.SplitList(strings.ToLower(list))
	var signed []byte
	wire.Header(header).Select(names, -1, func(raw []byte) { signed = wire.AppendHeader(signed, raw, true) })
	signed = append(signed, strings.TrimSuffix(string(wire.AppendHeader(nil, []byte(field), true)), "\r\n")...)
	digest := sha256.Sum256(signed)
	key := testKeys()["rsa"]
	var hash crypto.Hash = crypto.SHA256
	if strings.Contains(tags, "s=ed25519") {
		key, hash = testKeys()["ed25519"], crypto.Hash(0)
	}
	sig, err := key.Sign(rand.Reader, digest[:], hash)
	require.NoError(t, err)
	return field + base64.StdEncoding.EncodeToString(sig) + "\r\n" + message
}

const goodTags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=rsa; h=from:to:subject"

var testNow = time.Unix(1_700_000_000, 0)

func atTestNow() dkim.Options { return dkim.Options{Now: func() time.Time { return testNow }} }

func TestRulesOfTheSignatureField(t *testing.T) {
	t.Parallel()
	edTags := strings.NewReplacer("rsa-sha256", "ed25519-sha256", "s=rsa", "s=ed25519").Replace(goodTags)
	replace := func(old, new string) string { return strings.Replace(goodTags, old, new, 1) }
	longSelector, manyNames := "s="+strings.Repeat("a.", 120)+"a", "from"+strings.Repeat(":x", dkim.MaxSignedNames)
	for name, c := range map[string]struct {
		tags   string
		length int64
		status dkim.Status
		err    error
	}{
		"good":                        {goodTags, wire.Whole, dkim.Pass, nil},
		"unknown tags":                {goodTags + "; xyz=1; B=2", wire.Whole, dkim.Pass, nil},
		"b= in z=":                    {goodTags + "; z=Subject:=20Bob=20b=3Dx|b=y", wire.Whole, dkim.Pass, nil},
		"white space around tags":     {replace("d=example.com", "d = \r\n example.com "), wire.Whole, dkim.Pass, nil},
		"upper case domain":           {replace("example.com", "EXAMPLE.com"), wire.Whole, dkim.Pass, nil},
		"upper case in h=":            {replace("from:to", "FROM : \r\n\tTo"), wire.Whole, dkim.Pass, nil},
		"algorithm in upper case":     {replace("rsa-sha256", "RSA-SHA256"), wire.Whole, dkim.Pass, nil},
		"oversigned":                  {replace("from:to", "from:to:from:cc:x"), wire.Whole, dkim.Pass, nil},
		"ed25519":                     {edTags, wire.Whole, dkim.Pass, nil},
		"duplicate tag":               {goodTags + "; d=example.com", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"no tag-list":                 {goodTags + "; ;", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"v=2":                         {replace("v=1", "v=2"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"v=01":                        {replace("v=1", "v=01"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"v= missing":                  {replace("v=1; ", ""), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"d= missing":                  {replace("d=example.com; ", ""), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"s= empty":                    {replace("s=rsa", "s="), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"d= no domain":                {replace("example.com", "exa mple.com"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"d= with final dot":           {replace("example.com", "example.com."), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"d= literal":                  {replace("example.com", "[192.0.2.1]"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"s= path":                     {replace("s=rsa", "s=../rsa"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"name too long":               {replace("s=rsa", longSelector), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"From not in h=":              {replace("h=from:", "h="), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"empty name in h=":            {replace("from:to", "from::to"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"h= without end":              {replace("from", manyNames), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"rsa-sha1":                    {replace("sha256", "sha1"), wire.Whole, dkim.PermError, dkim.ErrAlgorithm},
		"unknown algorithm":           {replace("rsa-sha256", "dsa-sha256"), wire.Whole, dkim.PermError, dkim.ErrAlgorithm},
		"algorithm of other key":      {replace("rsa-sha256", "ed25519-sha256"), wire.Whole, dkim.PermError, dkim.ErrKeyUse},
		"unknown canonicalization":    {replace("relaxed/relaxed", "nofws/simple"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"c= of three":                 {replace("relaxed/relaxed", "relaxed/relaxed/x"), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"other canonicalization":      {replace("relaxed/relaxed", "simple/relaxed"), wire.Whole, dkim.Fail, dkim.ErrSignature},
		"bh= no base64":               {goodTags + "; bh=*", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"bh= of another body":         {goodTags + "; bh=AAAA", wire.Whole, dkim.Fail, dkim.ErrBody},
		"i= of the domain":            {goodTags + "; i=a=40b@Example.COM", wire.Whole, dkim.Pass, nil},
		"i= in a subdomain":           {goodTags + "; i=@x.example.com", wire.Whole, dkim.Pass, nil},
		"i= folded":                   {goodTags + "; i=joe\r\n @exam\r\n ple.com", wire.Whole, dkim.Pass, nil},
		"i= elsewhere":                {goodTags + "; i=a@example.org", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"i= suffix without a dot":     {goodTags + "; i=a@badexample.com", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"i= without a domain":         {goodTags + "; i=a", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"i= badly encoded":            {goodTags + "; i=a=4@example.com", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"i= encoded in lower case":    {goodTags + "; i=a=3d@example.com", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"q= known":                    {goodTags + "; q=other/x : dns/txt", wire.Whole, dkim.Pass, nil},
		"q= unknown":                  {goodTags + "; q=dns/other", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"t= now":                      {goodTags + "; t=1700000000", wire.Whole, dkim.Pass, nil},
		"t= ahead within the skew":    {goodTags + "; t=1700003600", wire.Whole, dkim.Pass, nil},
		"t= ahead":                    {goodTags + "; t=1700003601", wire.Whole, dkim.Policy, dkim.ErrFuture},
		"t= no number":                {goodTags + "; t=-1", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"t= huge":                     {goodTags + "; t=" + strings.Repeat("9", 76), wire.Whole, dkim.Policy, dkim.ErrFuture},
		"x= ahead":                    {goodTags + "; t=1; x=1700000000", wire.Whole, dkim.Pass, nil},
		"x= passed within the skew":   {goodTags + "; x=1699996400", wire.Whole, dkim.Pass, nil},
		"x= passed":                   {goodTags + "; x=1699996399", wire.Whole, dkim.PermError, dkim.ErrExpired},
		"x= not after t=":             {goodTags + "; t=1700000000; x=1700000000", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"x= infinite":                 {goodTags + "; t=1; x=" + strings.Repeat("9", 30), wire.Whole, dkim.Pass, nil},
		"l= of the body":              {goodTags + "; l=14", 14, dkim.Pass, nil},
		"l= shorter":                  {goodTags + "; l=6", 6, dkim.Pass, nil},
		"l= nothing":                  {goodTags + "; l=0", 0, dkim.Pass, nil},
		"l= longer":                   {goodTags + "; l=15", wire.Whole, dkim.PermError, dkim.ErrBodyLength},
		"l= beyond 64 bits":           {goodTags + "; l=" + strings.Repeat("9", 76), wire.Whole, dkim.PermError, dkim.ErrBodyLength},
		"l= of too many digits":       {goodTags + "; l=" + strings.Repeat("9", 77), wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"l= negative":                 {goodTags + "; l=-1", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"l= empty":                    {goodTags + "; l=", wire.Whole, dkim.PermError, dkim.ErrSyntax},
		"bare top-level domain as d=": {replace("example.com", "com"), wire.Whole, dkim.PermError, dkim.ErrNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results := verify(t, craft(t, c.tags, c.length), keyZone(t), atTestNow())
			require.Len(t, results, 1)
			require.Equal(t, c.status, results[0].Status, "%v", results[0].Err)
			require.ErrorIs(t, results[0].Err, c.err)
		})
	}
}

func TestBodyLengthIsReported(t *testing.T) {
	t.Parallel()
	r := verify(t, craft(t, goodTags+"; l=6", 6), keyZone(t), dkim.Options{})[0]
	require.Equal(t, dkim.Pass, r.Status)
	require.True(t, r.BodyLimited)
	require.EqualValues(t, 6, r.BodyLength)
	require.EqualValues(t, 8, r.BodyUnsigned)

	grown := verify(t, craft(t, goodTags+"; l=14", 14)+"Buy now!\r\n", keyZone(t), dkim.Options{})[0]
	require.Equal(t, dkim.Pass, grown.Status)
	require.EqualValues(t, len("Buy now!\r\n"), grown.BodyUnsigned)
}

func TestInvalidSignatureIsStillDescribed(t *testing.T) {
	t.Parallel()
	tags := strings.Replace(goodTags, "sha256", "sha1", 1)
	r := verify(t, craft(t, tags, wire.Whole), keyZone(t), dkim.Options{})[0]
	require.Equal(t, "example.com", r.Domain)
	require.Equal(t, "rsa", r.Selector)
	require.Equal(t, "rsa-sha1", r.Algorithm)
	require.Len(t, r.Prefix, 8)
}

func TestWhatIsReportedHoldsNoControlCharacters(t *testing.T) {
	t.Parallel()
	message := "DKIM-Signature: v=1; a=x\r\n y; d=a\r\n b\xff.com; s=s\r\n\te; i=q\r\n w; b=\r\n abc\xc2\x85\r\n" + letter
	r := verify(t, message, zone{}, dkim.Options{})[0]
	require.Equal(t, dkim.PermError, r.Status)
	for _, s := range []string{r.Domain, r.Selector, r.Algorithm, r.Prefix, r.Identifier, r.Err.Error()} {
		require.NotContains(t, s, "\r")
		require.NotContains(t, s, "\n")
		require.NotContains(t, s, "\xff")
		require.NotContains(t, s, "\u0085")
	}
	require.Equal(t, "abc", r.Prefix)
}

func TestInternationalizedDomain(t *testing.T) {
	t.Parallel()
	s := &dkim.Signer{Domain: "b\u00fccher.example", Selector: "m\u00e4rz", Key: testKeys()["ed25519"],
		Identifier: "j\u00f6rg@mail.b\u00fccher.example"}
	record, err := dkim.NewRecord(s.Key.Public(), dkim.RecordOptions{Domain: s.Domain, Selector: s.Selector})
	require.NoError(t, err)
	require.Equal(t, "xn--mrz-qla._domainkey.xn--bcher-kva.example", record.Name)
	field, err := s.Sign(strings.NewReader(letter))
	require.NoError(t, err)
	require.Contains(t, field, "d=xn--bcher-kva.example;")
	for _, f := range []string{field, strings.Replace(field, "=C3=B6", "\u00f6", 1)} { // RFC 8616 §5: also unencoded
		r := verify(t, f+letter, zone{record.Name: {record.Value}}, dkim.Options{})[0]
		if f == field {
			require.NoError(t, r.Err)
		} else {
			require.ErrorIs(t, r.Err, dkim.ErrSignature) // read, though it is not what was signed
		}
		require.Equal(t, "xn--bcher-kva.example", r.Domain)
		require.Equal(t, "j\u00f6rg@mail.xn--bcher-kva.example", r.Identifier)
	}
	unicode := strings.Replace(goodTags, "d=example.com; s=rsa", "d=b\u00fccher.example; s=m\u00e4rz", 1)
	r := verify(t, craft(t, unicode, wire.Whole), zone{record.Name: keyZone(t)["rsa._domainkey.example.com"]}, dkim.Options{})[0]
	require.Equal(t, dkim.Pass, r.Status, "%v", r.Err)
	require.Equal(t, "xn--bcher-kva.example", r.Domain)
}

func TestKeyRecordRules(t *testing.T) {
	t.Parallel()
	good := keyZone(t)["rsa._domainkey.example.com"][0]
	p := good[strings.Index(good, "p="):]
	other, err := dkim.NewRecord(testKeys()["rsa2048"].Public(), dkim.RecordOptions{Domain: "example.com", Selector: "x"})
	require.NoError(t, err)
	ed := keyZone(t)["ed25519._domainkey.example.com"][0]
	sub := goodTags + "; i=@sub.example.com"
	for name, c := range map[string]struct {
		records []string
		tags    string
		status  dkim.Status
		err     error
	}{
		"key only":                {[]string{p}, goodTags, dkim.Pass, nil},
		"no record":               {[]string{}, goodTags, dkim.PermError, dkim.ErrNoKey},
		"revoked":                 {[]string{"v=DKIM1; p="}, goodTags, dkim.PermError, dkim.ErrKeyRevoked},
		"other version":           {[]string{"v=DKIM2; " + p}, goodTags, dkim.PermError, dkim.ErrKeySyntax},
		"wildcard record":         {[]string{"v=spf1 -all"}, goodTags, dkim.PermError, dkim.ErrKeySyntax},
		"wildcard record and key": {[]string{"v=spf1 -all", good}, goodTags, dkim.Pass, nil},
		"second key":              {[]string{other.Value, good}, goodTags, dkim.Pass, nil},
		"key of other type too":   {[]string{ed, good}, goodTags, dkim.Pass, nil},
		"revoked and key":         {[]string{"p=", good}, goodTags, dkim.Pass, nil},
		"junk and revoked":        {[]string{"junk", "p="}, goodTags, dkim.PermError, dkim.ErrKeyRevoked},
		"wrong key":               {[]string{other.Value}, goodTags, dkim.Fail, dkim.ErrSignature},
		"wrong keys":              {[]string{ed, other.Value}, goodTags, dkim.Fail, dkim.ErrSignature},
		"too many records":        {append(make([]string, dkim.MaxKeyRecords), good), goodTags, dkim.PermError, dkim.ErrKeySyntax},
		"for sha1":                {[]string{"h=sha1; " + p}, goodTags, dkim.PermError, dkim.ErrKeyUse},
		"for sha1 and sha256":     {[]string{"h=sha1:SHA256; " + p}, goodTags, dkim.Pass, nil},
		"for another service":     {[]string{"s=tlsrpt; " + p}, goodTags, dkim.PermError, dkim.ErrKeyUse},
		"for email":               {[]string{"s=x:email; " + p}, goodTags, dkim.Pass, nil},
		"for everything":          {[]string{"s=*; " + p}, goodTags, dkim.Pass, nil},
		"strict, subdomain":       {[]string{"t=s; " + p}, sub, dkim.PermError, dkim.ErrKeyUse},
		"strict, same domain":     {[]string{"t=s; " + p}, goodTags + "; i=@EXAMPLE.com", dkim.Pass, nil},
		"not strict, subdomain":   {[]string{p}, sub, dkim.Pass, nil},
		"testing":                 {[]string{"t=y; " + p}, goodTags, dkim.Pass, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := zone{"rsa._domainkey.example.com": c.records}
			r := verify(t, craft(t, c.tags, wire.Whole), z, dkim.Options{})[0]
			require.Equal(t, c.status, r.Status, "%v", r.Err)
			require.ErrorIs(t, r.Err, c.err)
			require.Equal(t, name == "testing", r.Testing)
			require.Equal(t, strings.HasPrefix(name, "strict"), r.Strict)
		})
	}
}

// 512 bits, nobody's key: it needs only to be read.
const weakRSA = "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALn9LzDxyzZmvTPdB9yRTyQqUUm5y8Q0mFYc5cZ0aVZs0oT0LQk8tqn7aR3kEe9VLo3M5kcF" +
	"cuFmQKZQ3j0iH7ECAwEAAQ=="

func TestKeySizes(t *testing.T) {
	t.Parallel()
	weak := verify(t, craft(t, goodTags, wire.Whole), zone{"rsa._domainkey.example.com": {weakRSA}}, dkim.Options{})[0]
	require.Equal(t, dkim.PermError, weak.Status)
	require.ErrorIs(t, weak.Err, dkim.ErrWeakKey)
	require.Equal(t, 512, weak.KeyBits)

	stricter := verify(t, craft(t, goodTags, wire.Whole), keyZone(t), dkim.Options{MinRSABits: 2048})[0]
	require.Equal(t, dkim.Policy, stricter.Status)
	require.ErrorIs(t, stricter.Err, dkim.ErrWeakKey)
	require.Equal(t, 1024, stricter.KeyBits)

	huge := verify(t, craft(t, goodTags, wire.Whole), zone{"rsa._domainkey.example.com": {hugeRSA(t)}}, dkim.Options{})[0]
	require.Equal(t, dkim.Policy, huge.Status)
	require.ErrorIs(t, huge.Err, dkim.ErrKeyTooLarge)
}

// resolverFunc is a Resolver.
type resolverFunc func(ctx context.Context, name string) ([]string, error)

func (f resolverFunc) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return f(ctx, name)
}

func TestLookupErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status dkim.Status
		is     error
	}{
		"time-out":          {&net.DNSError{IsTimeout: true}, dkim.TempError, dkim.ErrLookup},
		"SERVFAIL":          {&net.DNSError{IsTemporary: true}, dkim.TempError, dkim.ErrLookup},
		"wrapped temporary": {fmt.Errorf("cache: %w", &net.DNSError{IsTemporary: true}), dkim.TempError, dkim.ErrLookup},
		"not found":         {&net.DNSError{IsNotFound: true}, dkim.PermError, dkim.ErrNoKey},
		"wrapped not found": {fmt.Errorf("cache: %w", &net.DNSError{IsNotFound: true}), dkim.PermError, dkim.ErrNoKey},
		"permanent":         {&net.DNSError{Err: "no"}, dkim.PermError, dkim.ErrNoKey},
		"unknown":           {io.ErrUnexpectedEOF, dkim.TempError, dkim.ErrLookup},
		"cancelled":         {context.Canceled, dkim.TempError, context.Canceled},
	} {
		r := resolverFunc(func(context.Context, string) ([]string, error) { return nil, c.err })
		result := verify(t, craft(t, goodTags, wire.Whole), r, dkim.Options{})[0]
		require.Equal(t, c.status, result.Status, name)
		require.ErrorIs(t, result.Err, c.is, name)
	}
}

func TestLookupsRunSideBySideAndEndInTime(t *testing.T) {
	t.Parallel()
	message := craft(t, strings.Replace(goodTags, "s=rsa", "s=a", 1), wire.Whole)
	for _, selector := range []string{"b", "c", "b"} {
		field, _, _ := strings.Cut(craft(t, strings.Replace(goodTags, "s=rsa", "s="+selector, 1), wire.Whole), "From:")
		message = field + message
	}
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		hanging := resolverFunc(func(ctx context.Context, _ string) ([]string, error) {
			asked.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		results := verify(t, message, hanging, dkim.Options{Now: func() time.Time { return testNow }})
		require.Equal(t, dkim.DefaultLookupTimeout, time.Since(start))
		require.EqualValues(t, 3, asked.Load(), "the same key is asked for once")
		for _, r := range results {
			require.Equal(t, dkim.TempError, r.Status)
		}

		start = time.Now()
		verify(t, message, hanging, dkim.Options{LookupTimeout: time.Second})
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestMoreSignaturesThanTheLimit(t *testing.T) {
	t.Parallel()
	field, message, _ := strings.Cut(craft(t, goodTags, wire.Whole), "From:")
	message = strings.Repeat(field, 13) + "From:" + message
	var asked atomic.Int64
	z := keyZone(t)
	counting := resolverFunc(func(ctx context.Context, name string) ([]string, error) {
		asked.Add(1)
		return z.LookupTXT(ctx, name)
	})
	for limit, evaluated := range map[int]int{0: dkim.DefaultMaxSignatures, 3: 3, 13: 13} {
		results := verify(t, message, counting, dkim.Options{MaxSignatures: limit})
		for _, r := range results[:evaluated] {
			require.Equal(t, dkim.Pass, r.Status)
		}
		if evaluated == 13 {
			require.Len(t, results, 13)
			continue
		}
		require.Len(t, results, evaluated+1)
		last := results[evaluated]
		require.Equal(t, dkim.Neutral, last.Status)
		require.ErrorIs(t, last.Err, dkim.ErrTooManySignatures)
		require.ErrorContains(t, last.Err, fmt.Sprint(13-evaluated))
	}
	require.EqualValues(t, 3, asked.Load())
}

// Fields that need no look-up do not count, up to a limit of their own.
func TestInvalidSignaturesHideNoValidOne(t *testing.T) {
	t.Parallel()
	message := craft(t, goodTags, wire.Whole)
	for junk, want := range map[int]dkim.Status{3: dkim.Pass, 7: dkim.Pass, 8: dkim.Neutral} {
		results := verify(t, strings.Repeat("DKIM-Signature: x\r\n", junk)+message, keyZone(t), dkim.Options{MaxSignatures: 2})
		require.Len(t, results, junk+1)
		for _, r := range results[:junk] {
			require.Equal(t, dkim.PermError, r.Status)
		}
		require.Equal(t, want, results[junk].Status)
	}
}

func TestPrefixesTellSignaturesApart(t *testing.T) {
	t.Parallel()
	message := ""
	for _, b := range []string{"AAAABBBBCC", "AAAABBBBCD", "AAAA BBBC", "AB", "AAAABBBBCC"} {
		message += "DKIM-Signature: " + goodTags + "; bh=AAAA; b=" + b + "\r\n"
	}
	results := verify(t, message+letter, keyZone(t), dkim.Options{})
	want := []string{"AAAABBBBCC", "AAAABBBBCD", "AAAABBBC", "AB", "AAAABBBBCC"}
	for i, r := range results {
		require.Equal(t, want[i], r.Prefix)
	}
}

func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	field, _, _ := strings.Cut(craft(t, goodTags, wire.Whole), "From:")
	header, _, _ := strings.Cut(field+letter, "\r\n\r\n")
	size := len(header) + len("\r\n")
	ok := verify(t, field+letter, keyZone(t), dkim.Options{MaxHeader: size})
	require.Equal(t, dkim.Pass, ok[0].Status)
	none := resolverFunc(func(context.Context, string) ([]string, error) { panic("asked") })
	large := verify(t, field+letter, none, dkim.Options{MaxHeader: size - 1})
	require.Len(t, large, 1)
	require.Equal(t, dkim.PermError, large[0].Status)
	require.ErrorIs(t, large[0].Err, dkim.ErrHeaderTooLarge)

	large = verify(t, strings.Repeat("X: "+strings.Repeat("x", 100)+"\r\n", 1<<20/100)+letter, none, dkim.Options{})
	require.ErrorIs(t, large[0].Err, dkim.ErrHeaderTooLarge)
}

func TestNoSignature(t *testing.T) {
	t.Parallel()
	none := resolverFunc(func(context.Context, string) ([]string, error) { panic("asked") })
	for _, message := range []string{"", "\r\n", letter, "no field\r\n", "X: DKIM-Signature: v=1\r\n\r\nDKIM-Signature: v=1\r\n"} {
		require.Equal(t, []dkim.Result{{Status: dkim.None}}, verify(t, message, none, dkim.Options{}))
	}
}

func TestMessageOfHeaderOnly(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"From: a@example.com\r\nSubject: x\r\n", "From: a@example.com\r\nSubject: x", "From: a@example.com\r\nSubject: x\r\n\r\n",
	} {
		for _, c := range []string{"relaxed/relaxed", "simple/simple", "simple/relaxed"} {
			s := signer("ed25519")
			s.Canonicalization = c
			signed := sign(t, message, s) + message
			require.Equal(t, dkim.Pass, verify(t, signed, keyZone(t), dkim.Options{})[0].Status, "%q", message)
		}
	}
}

func TestBareLineFeedsCountAsLineEnds(t *testing.T) {
	t.Parallel()
	z := keyZone(t)
	for _, c := range []string{"relaxed/relaxed", "simple/simple"} {
		s := signer("ed25519")
		s.Canonicalization = c
		unix := strings.ReplaceAll(letter, "\r\n", "\n")
		require.Equal(t, dkim.Pass, verify(t, sign(t, letter, s)+unix, z, dkim.Options{})[0].Status)
		require.Equal(t, dkim.Pass, verify(t, sign(t, unix, s)+letter, z, dkim.Options{})[0].Status)
	}
	// A header that ends early for others ends early here: what follows is body, and not what was signed.
	signed := sign(t, letter, signer("ed25519"))
	attack := signed + "From: a@example.com\nSubject: evil\n\nevil\r\n" + letter
	require.Equal(t, dkim.Fail, verify(t, attack, z, dkim.Options{})[0].Status)
}

func TestSignatureDoesNotSignItself(t *testing.T) {
	t.Parallel()
	tags := strings.Replace(goodTags, "from:", "dkim-signature:from:dkim-signature:", 1)
	require.Equal(t, dkim.Pass, verify(t, craft(t, tags, wire.Whole), keyZone(t), dkim.Options{})[0].Status)
	// Another one is signed like any field.
	inner := sign(t, letter, signer("ed25519"))
	outer := signer("rsa")
	outer.Headers = []string{"From", "DKIM-Signature"}
	both := sign(t, inner+letter, outer) + inner + letter
	for _, r := range verify(t, both, keyZone(t), dkim.Options{}) {
		require.Equal(t, dkim.Pass, r.Status, "%v", r.Err)
	}
	results := verify(t, strings.Replace(both, inner, "", 1), keyZone(t), dkim.Options{})
	require.Equal(t, dkim.Fail, results[0].Status)
}

func TestAddedFieldBreaksOversigning(t *testing.T) {
	t.Parallel()
	signed := sign(t, letter, signer("ed25519"))
	for name, status := range map[string]dkim.Status{
		"From": dkim.Fail, "To": dkim.Fail, "Cc": dkim.Fail, "Reply-To": dkim.Fail, "Content-Type": dkim.Fail,
		"Sender": dkim.Pass, "List-Id": dkim.Pass, "Received": dkim.Pass, "Return-Path": dkim.Pass, "Date": dkim.Pass,
		"Message-ID": dkim.Pass, "Resent-From": dkim.Pass, "X-Other": dkim.Pass,
	} {
		for _, added := range []string{name + ": x\r\n" + signed + letter, signed + name + ": x\r\n" + letter} {
			require.Equal(t, status, verify(t, added, keyZone(t), dkim.Options{})[0].Status, name)
		}
	}
}

func TestVerifyPassesOnWhatTheReaderSays(t *testing.T) {
	t.Parallel()
	fault := errors.New("disk")
	r := io.MultiReader(strings.NewReader(rfc8463Message), iotest.ErrReader(fault))
	_, err := dkim.Verify(t.Context(), r, rfcZone(), dkim.Options{})
	require.ErrorIs(t, err, fault)
}

// goleak in TestMain says whether anything stays behind.
func TestAbandonedVerifierLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	field, _, _ := strings.Cut(rfc8463Message, "From:")
	for range 50 {
		v := dkim.NewVerifier(rfcZone(), dkim.Options{})
		_, err := io.WriteString(v, strings.Repeat(field, 5)+rfc8463Unsigned)
		require.NoError(t, err)
	}
}

func TestResultsCanBeAskedTwiceAndEndTheMessage(t *testing.T) {
	t.Parallel()
	v := dkim.NewVerifier(rfcZone(), dkim.Options{})
	n, err := io.Copy(v, iotest.OneByteReader(strings.NewReader(rfc8463Message)))
	require.NoError(t, err)
	require.EqualValues(t, len(rfc8463Message), n)
	first := v.Results(t.Context())
	require.Equal(t, dkim.Pass, first[0].Status)
	require.Equal(t, first, v.Results(t.Context()))
	_, err = v.Write([]byte("more"))
	require.Error(t, err)
}

func hugeRSA(t testing.TB) string {
	n := make([]byte, dkim.MaxRSABits/8+1)
	n[0], n[len(n)-1] = 1, 1
	// RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }
	der := append([]byte{0x30, 0x82, 0, 0, 0x02, 0x82, byte(len(n) >> 8), byte(len(n))}, n...)
	der = append(der, 0x02, 0x03, 1, 0, 1)
	der[2], der[3] = byte((len(der)-4)>>8), byte(len(der)-4)
	txt := "p=" + base64.StdEncoding.EncodeToString(der)
	key, err := dkim.ParseKey(txt)
	require.NoError(t, err)
	require.Equal(t, dkim.MaxRSABits+1, key.Bits())
	return txt
}
