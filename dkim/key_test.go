package dkim_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func TestParseKeyReadsAllTags(t *testing.T) {
	t.Parallel()
	p := rfc8463RSAKey[strings.Index(rfc8463RSAKey, "p="):]
	k, err := dkim.ParseKey("v=DKIM1; h=sha1:sha256; k=rsa; n=a note; s=email:*; t=y:s:x; other=1; " + p + ";")
	require.NoError(t, err)
	require.Equal(t, "rsa", k.Type)
	require.Equal(t, 1024, k.Bits())
	require.Equal(t, []string{"sha1", "sha256"}, k.Hashes)
	require.Equal(t, []string{"email", "*"}, k.Services)
	require.True(t, k.Testing)
	require.True(t, k.Strict)
	require.Equal(t, "a note", k.Notes)

	k, err = dkim.ParseKey(p)
	require.NoError(t, err)
	require.Equal(t, "rsa", k.Type)
	require.Nil(t, k.Hashes)
	require.Nil(t, k.Services)
	require.False(t, k.Testing || k.Strict)

	k, err = dkim.ParseKey(rfc8463Ed25519Key)
	require.NoError(t, err)
	require.IsType(t, ed25519.PublicKey{}, k.Public)
	require.Equal(t, 256, k.Bits())
}

func TestParseKeyTakesBothFormsOfRSA(t *testing.T) {
	t.Parallel()
	pub := testKeys()["rsa"].Public().(*rsa.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(pub)
	require.NoError(t, err)
	for _, der := range [][]byte{spki, x509.MarshalPKCS1PublicKey(pub)} {
		k, err := dkim.ParseKey("p=" + base64Of(der))
		require.NoError(t, err)
		require.Equal(t, pub, k.Public)
	}
}

func TestParseKeySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ecDER, err := x509.MarshalPKIXPublicKey(ec.Public())
	require.NoError(t, err)
	rsaKey := testKeys()["rsa"].Public().(*rsa.PublicKey)
	even := x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: rsaKey.N, E: 4})
	rsaDER, err := x509.MarshalPKIXPublicKey(rsaKey)
	require.NoError(t, err)
	p := base64Of(rsaDER)
	for txt, want := range map[string]struct {
		tag    string
		offset int
		words  string
	}{
		"":                                    {"", 0, "empty"},
		" \t":                                 {"", 0, "empty"},
		`"v=DKIM1; p=` + p + `"`:              {"", 0, "quotation marks"},
		`v=DKIM1; p=` + p[:8] + `" "`:         {"p", 19, "quotation marks"},
		`v=DKIM1\; k=rsa\; p=AA`:              {"v", 2, "backslash"},
		"v=DKIM1; k=rsa":                      {"p", 14, "p= is missing"},
		"v=DKIM1; k rsa; p=AA":                {"", 9, "no tag"},
		"v=DKIM1;; p=AA":                      {"", 8, "no tag"},
		"v=DKIM1; p=AA; p=AA":                 {"p", 15, "duplicate tag p="},
		"v=dkim1; p=AA":                       {"v", 2, "not v=DKIM1"},
		"v=DKIM1.0; p=AA":                     {"v", 2, "not v=DKIM1"},
		"k=rsa; v = DKIM1; p=AA":              {"v", 11, "not the first tag"},
		"p=A":                                 {"p", 3, "cut off"},
		"p= A*AA":                             {"p", 4, "'*', which is no base64"},
		"p=AA==AA":                            {"p", 4, "behind the padding"},
		"p=AAAA":                              {"p", 2, "no RSA key"},
		"v=DKIM1; p=" + p[:100]:               {"p", 11, "cut off, of 162 octets there are 75"},
		"v=DKIM1; p=" + p + p:                 {"p", 11, "behind its 162 octets there are 162 more"},
		"v=DKIM1; p=" + p + "v=DKIM1; p=" + p: {"p", 236, "two records"},
		"v=DKIM1; p=" + p + "; v=DKIM1":       {"v", 229, "two records"},
		"p=-----BEGIN PUBLIC KEY-----" + p:    {"p", 2, "PEM"},
		"k=dsa; p=AAAA":                       {"k", 2, "unknown"},
		"k=ed25519; p=AAAA":                   {"p", 13, "has 3 octets, an Ed25519 key has 32"},
		"k=ed25519; p=MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=": {"p", 13, "leave its SubjectPublicKeyInfo away"},
		"p=" + base64Of(ecDER):            {"p", 2, "*ecdsa.PublicKey"},
		"p=" + base64Of(even):             {"p", 2, "cannot be"},
		"k=ed25519; p=" + base64Of(ecDER): {"p", 13, "octets"},
		"v=spf1 include:example.com -all": {"v", 2, "a record of another kind"},
		"v=DMARC1; p=none":                {"v", 2, "a record of another kind"},
		"google-site-verification=abc":    {"", 0, "no tag"},
		"k=x\r\nEvil: 1; p=AAAA":          {"k", 2, "unknown"},
		"v=DKIM1; k=rsa; p=AA\x00AA":      {"p", 16, "control characters"},
	} {
		_, err := dkim.ParseKey(txt)
		require.ErrorIs(t, err, dkim.ErrKeySyntax, "%q", txt)
		var wrong *dkim.KeyError
		require.ErrorAs(t, err, &wrong)
		require.ErrorContains(t, err, want.words, "%q", txt)
		require.Equal(t, want.tag, wrong.Tag, "%q: %v", txt, err)
		require.Equal(t, want.offset, wrong.Offset, "%q: %v", txt, err)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err = dkim.ParseKey("v=DKIM1; k=rsa; p=\t")
	require.ErrorIs(t, err, dkim.ErrKeyRevoked)
}

func TestParseKeyToleratesWhatTheStandardAllows(t *testing.T) {
	t.Parallel()
	p := rfc8463RSAKey[strings.Index(rfc8463RSAKey, "p="):]
	for _, txt := range []string{
		p, "v=DKIM1;" + p, " v = DKIM1 ; " + p + " ; ", "v=DKIM1; k=RSA; " + p, // k= is in lower case everywhere else
		"v=DKIM1; " + p[:50] + " \t " + p[50:90] + "\r\n " + p[90:], // RFC 6376 §2.10
		`v=DKIM1; n="DKIM1" says ----- v=spf1; ` + p,                // a qp-section may hold anything
		"v=DKIM1; g=*; h=sha256; s=*; t=; x=1; " + p,
	} {
		_, err := dkim.ParseKey(txt)
		require.NoError(t, err, "%q", txt)
	}
	unpadded := strings.TrimSuffix(rfc8463Ed25519Key, "=")
	require.NotEqual(t, rfc8463Ed25519Key, unpadded)
	_, err := dkim.ParseKey(unpadded) // RFC 6376 §2.10: padding is optional
	require.NoError(t, err)
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	opts := dkim.RecordOptions{Domain: "example.com", Selector: "s", Strict: true}
	good, err := dkim.NewRecord(testKeys()["rsa2048"].Public(), opts)
	require.NoError(t, err)
	p := good.Value[strings.Index(good.Value, "p="):]
	rsa2048 := testKeys()["rsa2048"].Public().(*rsa.PublicKey)
	for txt, want := range map[string][]string{
		good.Value:                         nil,
		rfc8463Ed25519Key:                  nil,
		rfc8463RSAKey:                      {"1024 bits"},
		weakRSA:                            {"512 bits; verifiers refuse", "v=DKIM1 is missing"},
		hugeRSA(t):                         {"8193 bits; verifiers need not", "RSAPublicKey", "v=DKIM1"},
		"v=DKIM1; h=sha1; " + p:            {"no signature can use"},
		"v=DKIM1; h=sha1:sha256:md5; " + p: {`"md5" in h=`},
		"v=DKIM1; s=tlsrpt; " + p:          {"not for mail", `"tlsrpt" in s=`},
		"v=DKIM1; t=y:s:z; " + p:           {"tried out", `"z" in t=`},
		"v=DKIM1; g=x*; x=1; " + p:         {"g= has no meaning", "x= is unknown"},
		"v=DKIM1; p=" + base64Of(x509.MarshalPKCS1PublicKey(rsa2048)): {"erratum 3017"},
	} {
		k, err := dkim.ParseKey(txt)
		require.NoError(t, err, "%q", txt)
		warnings := k.Warnings()
		require.Len(t, warnings, len(want), "%q: %q", txt, warnings)
		for i, words := range want {
			require.Contains(t, warnings[i], words)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	opts := dkim.RecordOptions{Domain: "Example.com", Selector: "mail"}
	rsa2048 := testKeys()["rsa2048"].Public()
	r, err := dkim.NewRecord(rsa2048, opts)
	require.NoError(t, err)
	require.Equal(t, "mail._domainkey.example.com", r.Name)
	require.Regexp(t, `^v=DKIM1; k=rsa; p=[A-Za-z0-9+/=]+$`, r.Value)
	parts := r.Strings()
	require.Len(t, parts, 2)
	require.Len(t, parts[0], 255)
	require.Equal(t, r.Value, strings.Join(parts, ""))
	require.Equal(t, `"`+parts[0]+`" "`+parts[1]+`"`, r.Quoted())
	require.Equal(t, `mail._domainkey.example.com. IN TXT ( "`+parts[0]+`" "`+parts[1]+`" )`, r.Zone())

	opts.Testing = true
	r, err = dkim.NewRecord(testKeys()["ed25519"].Public(), opts)
	require.NoError(t, err)
	require.Regexp(t, `^v=DKIM1; k=ed25519; t=y; p=.{44}$`, r.Value)
	require.Len(t, r.Strings(), 1)
	opts.Strict = true
	r, err = dkim.NewRecord(rsa2048, opts)
	require.NoError(t, err)
	k, err := dkim.ParseKey(r.Value)
	require.NoError(t, err)
	require.True(t, k.Testing && k.Strict)
	opts.Testing = false
	r, err = dkim.NewRecord(rsa2048, opts)
	require.NoError(t, err)
	require.Contains(t, r.Value, "; t=s; ")

	require.Equal(t, `"a\"b\\"`, dkim.Record{Value: `a"b\`}.Quoted())
}

// What is published is read back from a zone file as it was, by a parser that reads what BIND does.
func TestZoneIsReadBack(t *testing.T) {
	t.Parallel()
	rsa4096 := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 4095, 1), E: 65537} // nobody's
	for _, key := range []crypto.PublicKey{rsa4096, testKeys()["rsa2048"].Public(), testKeys()["ed25519"].Public()} {
		r, err := dkim.NewRecord(key, dkim.RecordOptions{Domain: "b\u00fccher.example", Selector: "a.b_c", Testing: true})
		require.NoError(t, err)
		rr, err := dns.NewRR(r.Zone())
		require.NoError(t, err)
		txt, ok := rr.(*dns.TXT)
		require.True(t, ok)
		require.Equal(t, "a.b_c._domainkey.xn--bcher-kva.example.", txt.Hdr.Name)
		require.Equal(t, r.Strings(), txt.Txt)
		published, err := dkim.ParseKey(strings.Join(txt.Txt, ""))
		require.NoError(t, err)
		require.Equal(t, key, published.Public)
	}
}

func TestRecordRefuses(t *testing.T) {
	t.Parallel()
	pub := testKeys()["ed25519"].Public()
	for _, opts := range []dkim.RecordOptions{
		{}, {Domain: "example.com"}, {Selector: "s"}, {Domain: "../x", Selector: "s"}, {Domain: "example.com", Selector: "a/b"},
		{Domain: "example.com", Selector: "a\r\nb"}, {Domain: strings.Repeat("a.", 120) + "b", Selector: "selector"},
	} {
		_, err := dkim.NewRecord(pub, opts)
		require.Error(t, err, "%+v", opts)
	}
	_, err := dkim.NewRecord("no key", dkim.RecordOptions{Domain: "example.com", Selector: "s"})
	require.Error(t, err)
}

func TestPrivateKeysSurviveTheirFile(t *testing.T) {
	t.Parallel()
	for name, key := range testKeys() {
		text, err := dkim.MarshalPrivateKey(key)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(text), "-----BEGIN PRIVATE KEY-----\n"))
		again, err := dkim.ParsePrivateKey(text)
		require.NoError(t, err, name)
		require.Equal(t, key.Public(), again.Public())
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKeys()["rsa"].(*rsa.PrivateKey)),
	})
	again, err := dkim.ParsePrivateKey(append([]byte("a note\n"), pkcs1...))
	require.NoError(t, err)
	require.Equal(t, testKeys()["rsa"].Public(), again.Public())
}

func TestParsePrivateKeyRefuses(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	require.NoError(t, err)
	sec1, err := x509.MarshalECPrivateKey(ec)
	require.NoError(t, err)
	_, err = dkim.MarshalPrivateKey(ec)
	require.ErrorIs(t, err, dkim.ErrPrivateKey)
	block := func(typ string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}) }
	for words, data := range map[string][]byte{
		"there is no private key": []byte("v=DKIM1; p="),
		"no private key in PEM":   block("PUBLIC KEY", ecDER),
		"encrypted":               block("ENCRYPTED PRIVATE KEY", ecDER),
		"*ecdsa.PrivateKey":       block("PRIVATE KEY", ecDER),
		"no keys of type EC":      block("EC PRIVATE KEY", sec1),
		"no keys of type DSA":     block("DSA PRIVATE KEY", []byte("x")),
		"asn1":                    block("PRIVATE KEY", []byte("x")),
		"unusable private key":    block("RSA PRIVATE KEY", []byte("x")),
		"it is encrypted": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")}),
	} {
		_, err := dkim.ParsePrivateKey(data)
		require.ErrorIs(t, err, dkim.ErrPrivateKey, words)
		require.ErrorContains(t, err, words)
	}
}

func TestGenerateKey(t *testing.T) {
	t.Parallel()
	key, err := dkim.GenerateKey("rsa", 0)
	require.NoError(t, err)
	require.Equal(t, dkim.DefaultRSABits, key.Public().(*rsa.PublicKey).N.BitLen())
	key, err = dkim.GenerateKey("ed25519", 2048)
	require.NoError(t, err)
	require.IsType(t, ed25519.PublicKey{}, key.Public())
	for _, bits := range []int{-1, 512, 1023, 4097, 1 << 20} {
		_, err = dkim.GenerateKey("rsa", bits)
		require.Error(t, err)
	}
	_, err = dkim.GenerateKey("dsa", 0)
	require.Error(t, err)
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{rfc8463RSAKey, rfc8463Ed25519Key, "p=", "v=DKIM1; h=sha256; s=email; t=y:s; n=x; p=AAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		k, err := dkim.ParseKey(txt)
		if err != nil {
			require.Nil(t, k)
			return
		}
		r, err := dkim.NewRecord(k.Public, dkim.RecordOptions{
			Domain: "example.com", Selector: "s", Testing: k.Testing, Strict: k.Strict,
		})
		require.NoError(t, err)
		again, err := dkim.ParseKey(r.Value)
		require.NoError(t, err)
		require.Equal(t, k.Public, again.Public)
	})
}
