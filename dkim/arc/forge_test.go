package arc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// forgery is a message with a chain that need not be right, but whose signatures are: it is signed by what RFC 6376 and
// RFC 8617 say, without the package's help, so that a test sees the rule that it is about, and an oracle for the rest.
type forgery struct {
	fields []string // of the message, from top to bottom, each with its CRLF
	body   string
	sets   []forgedSet
	key    crypto.Signer
}

// forgedSet has the values of the fields of a set. SIG stands for the signature and BODYHASH for the hash of the body.
type forgedSet struct {
	results, message, seal string
	names                  []string // that the message signature covers, in the order of h=
	simple, simpleBody     bool     // how it canonicalizes
	old                    string   // not "": the body at the time
	tamper                 func(fields []string) []string
}

// forge begins a forgery with n sets that nothing is wrong with.
func forge(z *zone, t testing.TB, n int) *forgery {
	f := &forgery{key: smallKey()}
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	f.fields = slices.Collect(strings.Lines(header + "\r\n"))
	f.body = body
	for i := range n {
		z.publish(t, f.key, domainOf(i), "arc")
		cv := "pass"
		if i == 0 {
			cv = "none"
		}
		place := fmt.Sprintf("d=%s; s=arc; t=%d", domainOf(i), then.Unix())
		f.sets = append(f.sets, forgedSet{
			results: fmt.Sprintf("i=%d; mx.%s; spf=pass\r\n smtp.mailfrom=example.com", i+1, domainOf(i)),
			message: fmt.Sprintf("i=%d; a=rsa-sha256; c=relaxed/relaxed; %s;", i+1, place) +
				"\r\n\th=from:to:subject; bh=BODYHASH;\r\n\tb=SIG",
			seal:  fmt.Sprintf("i=%d; a=rsa-sha256; cv=%s; %s;\r\n\tb=SIG", i+1, cv, place),
			names: []string{"from", "to", "subject"},
		})
	}
	return f
}

// use makes another key sign all sets.
func (f *forgery) use(t testing.TB, z *zone, key crypto.Signer, algorithm string) *forgery {
	f.key = key
	for i := range f.sets {
		z.publish(t, key, domainOf(i), "arc")
		f.sets[i].message = mustReplace(f.sets[i].message, "rsa-sha256", algorithm)
		f.sets[i].seal = mustReplace(f.sets[i].seal, "rsa-sha256", algorithm)
	}
	return f
}

// message is the forged message.
func (f *forgery) message(t testing.TB) string {
	header := f.fields
	var covered strings.Builder // by the seals
	for _, s := range f.sets {
		body := f.body
		if s.old != "" {
			body = s.old
		}
		sum := sha256.Sum256([]byte(canonicalBody(body, s.simpleBody)))
		value := strings.Replace(s.message, "BODYHASH", base64.StdEncoding.EncodeToString(sum[:]), 1)
		message := "ARC-Message-Signature: " + f.sign(t, value, func(unsigned string) string {
			field := "ARC-Message-Signature: " + unsigned
			if !s.simple {
				field = relaxed(field)
			}
			return selected(header, s.names, s.simple) + field
		})
		results := "ARC-Authentication-Results: " + s.results
		covered.WriteString(relaxed(results) + "\r\n" + relaxed(message) + "\r\n")
		seal := "ARC-Seal: " + f.sign(t, s.seal, func(unsigned string) string {
			return covered.String() + relaxed("ARC-Seal: "+unsigned)
		})
		covered.WriteString(relaxed(seal) + "\r\n")
		fields := []string{seal, message, results}
		if s.tamper != nil {
			fields = s.tamper(fields)
		}
		for i := range fields {
			fields[i] += "\r\n"
		}
		header = slices.Concat(fields, header)
	}
	return strings.Join(header, "") + "\r\n" + f.body
}

// sign puts the signature of what covered makes of the value without it into a value.
func (f *forgery) sign(t testing.TB, value string, covered func(unsigned string) string) string {
	sum := sha256.Sum256([]byte(covered(strings.Replace(value, "SIG", "", 1))))
	hash := crypto.SHA256
	if isEd25519(f.key) {
		hash = 0
	}
	sig, err := f.key.Sign(rand.Reader, sum[:], hash)
	require.NoError(t, err)
	return strings.Replace(value, "SIG", base64.StdEncoding.EncodeToString(sig), 1)
}

var blanks = regexp.MustCompile(`[ \t\r\n]+`)

// relaxed is a field as RFC 6376 §3.4.2 has it, without its CRLF.
func relaxed(field string) string {
	name, value, _ := strings.Cut(field, ":")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Trim(blanks.ReplaceAllString(value, " "), " ")
}

// canonicalBody is RFC 6376 §3.4.3 and §3.4.4.
func canonicalBody(body string, simple bool) string {
	lines := strings.Split(body, "\r\n")
	for i, line := range lines {
		if !simple {
			lines[i] = strings.TrimRight(regexp.MustCompile(`[ \t]+`).ReplaceAllString(line, " "), " ")
		}
	}
	body = strings.TrimRight(strings.Join(lines, "\r\n"), "\r\n")
	if body != "" || simple {
		body += "\r\n"
	}
	return body
}

// selected are the fields with these names, the lowest first, in canonical form.
func selected(header, names []string, simple bool) string {
	left := slices.Clone(header)
	var all strings.Builder
	for _, name := range names {
		for i, field := range slices.Backward(left) {
			if begin, _, _ := strings.Cut(field, ":"); strings.EqualFold(strings.TrimRight(begin, " \t"), name) {
				if !simple {
					field = relaxed(field) + "\r\n"
				}
				all.WriteString(field)
				left = slices.Delete(left, i, i+1)
				break
			}
		}
	}
	return all.String()
}
