package arc_test

import (
	"crypto"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// travel lets a message pass some servers that seal it. Some change it before. It tells the oldest message signature that
// must still verify.
func travel(t *rapid.T, tt *testing.T, z *zone) (m string, oldest int) {
	m, oldest = message, 1
	status := arc.None
	for i := 1; i <= rapid.IntRange(1, 7).Draw(t, "servers"); i++ {
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			m = strings.Replace(m, "At one?", fmt.Sprintf("At one? (%d)", i), 1)
			oldest = i
		case 1:
			m = strings.Replace(m, "Subject: ", fmt.Sprintf("Subject: [%d] ", i), 1)
			oldest = i
		case 2:
			m = "Received: by somebody\r\n" + m
		case 3:
			m = "Authentication-Results: mx.example; none\r\nX-Note: \xc3\xa4\r\n" + m
		}
		key := rapid.SampledFrom([]crypto.Signer{smallKey(), rsaKey(), ed25519Key()}).Draw(t, "key")
		domain := rapid.SampledFrom([]string{"a.example", "b.example", "c.example"}).Draw(t, "domain")
		selector := fmt.Sprintf("s%d", i)
		z.publish(tt, key, domain, selector)
		s := &arc.Sealer{
			Domain: domain, Selector: selector, Key: key, Now: atThen, SortTags: rapid.Bool().Draw(t, "sorted"),
			Canonicalization: rapid.SampledFrom([]string{
				"relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"}).Draw(t, "c"),
		}
		m = seal(tt, s, status, m)
		status = arc.Pass
	}
	if oldest == 1 {
		oldest = 0
	}
	return m, oldest
}

func TestAnyChainPasses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		z := new(zone)
		m, oldest := travel(rt, t, z)
		r := verify(t, z, m)
		require.NoError(rt, r.Err)
		require.Equal(rt, arc.Pass, r.Status)
		require.Equal(rt, oldest, r.OldestPass)
	})
}

// coveredFields are those that all sealers here sign, and those of the chain.
var coveredFields = regexp.MustCompile(`(?i)^(from|to|subject|date|message-id|arc-seal|arc-message-signature|` +
	`arc-authentication-results)$`)

// coveredPlaces are the octets of a message that the newest set covers: those of the body and of the values of covered
// fields that are not white space. The end of the newest seal's b= is left out, as it says some bits that do not matter.
func coveredPlaces(m string) []int {
	header, body, _ := strings.Cut(m, "\r\n\r\n")
	var places []int
	covered, at, newest := false, 0, true
	for line := range strings.Lines(header + "\r\n") {
		value := 0
		if line[0] != '\t' && line[0] != ' ' {
			name, _, _ := strings.Cut(line, ":")
			covered, newest = coveredFields.MatchString(name), at == 0
			value = len(name) + 1
		}
		for i := value; i < len(line); i++ {
			last := newest && (i > len(line)-8 && strings.HasPrefix(header[at+len(line):], "ARC-Message-Signature") ||
				strings.HasPrefix(line[i+1:], "=;") || strings.HasPrefix(line[i+1:], "==;")) // b= is not the last tag when sorted
			if covered && line[i] > ' ' && !last {
				places = append(places, at+i)
			}
		}
		at += len(line)
	}
	for i := range body {
		if body[i] > ' ' {
			places = append(places, len(header)+4+i)
		}
	}
	return places
}

func TestAnyChangeFails(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		z := new(zone)
		m, _ := travel(rt, t, z)
		places := coveredPlaces(m)
		for range 5 {
			at := rapid.SampledFrom(places).Draw(rt, "at")
			octet := byte('x')
			if m[at] == 'x' {
				octet = 'y'
			}
			changed := m[:at] + string(octet) + m[at+1:]
			r := verify(t, z, changed)
			require.Equal(rt, arc.Fail, r.Status, "%s\n%s", m[max(at-30, 0):at], m[at:min(at+30, len(m))])
			require.Error(rt, r.Err)
		}
	})
}
