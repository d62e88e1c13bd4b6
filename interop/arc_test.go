//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

// arcPython is Debian's Python, which has Debian's dkimpy; another may come first in the path.
const arcPython = "/usr/bin/python3"

// arcWorld has the keys of some servers.
type arcWorld struct {
	t    *testing.T
	key  crypto.Signer
	pem  string
	zone map[string]string
}

func newARCWorld(t *testing.T) *arcWorld {
	need(t, arcPython)
	key, err := dkim.GenerateKey("rsa", 2048)
	require.NoError(t, err)
	pem, err := dkim.MarshalPrivateKey(key)
	require.NoError(t, err)
	return &arcWorld{t: t, key: key, pem: string(pem), zone: make(map[string]string)}
}

// LookupTXT makes the world a resolver.
func (w *arcWorld) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := w.zone[strings.TrimSuffix(name, ".")]; ok {
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// sealer is one of ours, whose key is in the DNS.
func (w *arcWorld) sealer(domain string) *arc.Sealer {
	record, err := dkim.NewRecord(w.key.Public(), dkim.RecordOptions{Domain: domain, Selector: "arc"})
	require.NoError(w.t, err)
	w.zone[record.Name] = record.Value
	return &arc.Sealer{Domain: domain, Selector: "arc", Key: w.key, AuthServID: "mx." + domain}
}

// dkimpyAnswer is what dkimpy says of a message.
type dkimpyAnswer struct {
	CV       string `json:"cv"`
	Reason   string `json:"reason"`
	Messages []bool `json:"messages"` // whether the message signatures verify, newest first
	Set      []byte `json:"set"`
}

// dkimpy lets dkimpy do something with a message.
func (w *arcWorld) dkimpy(do, message, domain string) dkimpyAnswer {
	job, err := json.Marshal(map[string]any{
		"do": do, "message": []byte(message), "zone": w.zone, "domain": domain, "selector": "arc", "key": w.pem,
		"authserv": "mx." + domain,
	})
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, arcPython, "testdata/arc.py")
	cmd.Stdin = bytes.NewReader(job)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(w.t, err, "%s", stderr.String())
	var answer dkimpyAnswer
	require.NoError(w.t, json.Unmarshal(out, &answer), "%s", out)
	return answer
}

// byUs seals a message with our sealer.
func (w *arcWorld) byUs(message, domain string, status arc.Status) string {
	set, err := w.sealer(domain).Seal(strings.NewReader(message), status, "spf=pass smtp.mailfrom=example.com; dmarc=pass")
	require.NoError(w.t, err)
	require.NotEmpty(w.t, set)
	return set + message
}

// byDkimpy seals a message with dkimpy, which takes status and results from an Authentication-Results field.
func (w *arcWorld) byDkimpy(message, domain string, status arc.Status) string {
	w.sealer(domain)
	results := fmt.Sprintf("mx.%s; arc=%s;\r\n\tspf=pass smtp.mailfrom=example.com\r\n", domain, status)
	message = "Authentication-Results: " + results + message
	set := w.dkimpy("seal", message, domain).Set
	require.NotEmpty(w.t, set)
	return string(set) + message
}

func (w *arcWorld) verify(message string) arc.Result {
	r, err := arc.Verify(context.Background(), strings.NewReader(message), w, arc.Options{})
	require.NoError(w.t, err)
	return r
}

// requirePass checks that both verifiers take a chain.
func (w *arcWorld) requirePass(message string, sets int, what string) arc.Result {
	r := w.verify(message)
	require.NoError(w.t, r.Err, what)
	require.Equal(w.t, arc.Pass, r.Status, what)
	require.Len(w.t, r.Sets, sets, what)
	theirs := w.dkimpy("verify", message, "")
	require.Equal(w.t, "pass", theirs.CV, "%s: %s", what, theirs.Reason)
	for i, ok := range theirs.Messages {
		require.Equal(w.t, r.Sets[sets-1-i].MessageSignature.Status == arc.Pass, ok, what)
	}
	return r
}

const arcMessage = "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; h=from; bh=; b=\r\n" +
	"Received: from a by b; Fri, 17 May 2024 12:00:00 +0000\r\nFrom: \"Ann B\u00fccher\" <ann@example.com>\r\n" +
	"To: list@example.net,\r\n\t Bob <bob@example.net>\r\nSubject:  Lunch \u2615\r\n  at  one \r\n" +
	"Date: Fri, 17 May 2024 11:59:00 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
	"At  one? \t\r\n\r\n\u00dcbermorgen.\r\n\r\n\r\n"

// Three servers in a row, each with our sealer or dkimpy's: both verifiers take the chain behind each of them, and agree
// which message signatures still verify when a server in the middle changed the message.
func TestARCThreeHopsWithDkimpy(t *testing.T) {
	t.Parallel()
	w := newARCWorld(t)
	var walk func(message, way string, status arc.Status)
	walk = func(message, way string, status arc.Status) {
		hop := len(way) + 1
		if hop > 3 {
			return
		}
		if hop == 2 {
			message = strings.Replace(message, "Subject: ", "Subject: [list]", 1) + "-- \r\nA footer\r\n"
		}
		domain := fmt.Sprintf("hop%d.example", hop)
		ours, theirs := w.byUs(message, domain, status), w.byDkimpy(message, domain, status)
		for who, m := range map[string]string{"u": ours, "d": theirs} {
			r := w.requirePass(m, hop, way+who)
			require.Equal(t, map[int]int{1: 0, 2: 2, 3: 2}[hop], r.OldestPass, way+who)
			require.Equal(t, "mx."+domain, r.Sets[hop-1].AuthServID)
			walk(m, way+who, arc.Pass)
		}
	}
	walk(arcMessage, "", arc.None)
}

func TestARCFormsWithDkimpy(t *testing.T) {
	t.Parallel()
	w := newARCWorld(t)
	large := arcMessage + strings.Repeat("A line of a large message, with text in it.\r\n", 30_000)
	for name, m := range map[string]string{
		"small": arcMessage, "no body": strings.SplitAfter(arcMessage, "\r\n\r\n")[0], "large": large,
	} {
		for _, c := range []string{"relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"} {
			s := w.sealer("forms.example")
			s.Canonicalization = c
			set, err := s.Seal(strings.NewReader(m), arc.None, "spf=pass")
			require.NoError(t, err)
			w.requirePass(set+m, 1, name+" "+c)
		}
	}
}

func TestARCFailuresWithDkimpy(t *testing.T) {
	t.Parallel()
	w := newARCWorld(t)
	sealed := map[string]string{
		"ours":     w.byUs(w.byUs(arcMessage, "one.example", arc.None), "two.example", arc.Pass),
		"dkimpy's": w.byDkimpy(w.byDkimpy(arcMessage, "one.example", arc.None), "two.example", arc.Pass),
	}
	for who, m := range sealed {
		for what, change := range map[string][2]string{
			"body":        {"At  one?", "At  two?"},
			"subject":     {"Lunch", "Dinner"},
			"results":     {"spf=pass", "spf=fail"},
			"old domain":  {"d=one.example", "d=two.example"},
			"seal's cv":   {"cv=none", "cv=pass"},
			"an instance": {"i=1;", "i=2;"},
		} {
			require.Contains(t, m, change[0])
			changed := strings.ReplaceAll(m, change[0], change[1])
			require.Equal(t, arc.Fail, w.verify(changed).Status, "%s, %s", who, what)
			require.NotEqual(t, "pass", w.dkimpy("verify", changed, "").CV, "%s, %s", who, what)
		}
		broken := strings.Replace(m, "At  one?", "At  two?", 1)
		for sealer, marked := range map[string]string{
			"us": w.byUs(broken, "three.example", arc.Fail), "dkimpy": w.byDkimpy(broken, "three.example", arc.Fail),
		} {
			require.ErrorIs(t, w.verify(marked).Err, arc.ErrMarkedFail, "%s by %s", who, sealer)
			theirs := w.dkimpy("verify", marked, "")
			require.Contains(t, theirs.Reason, "reported failure", "%s by %s", who, sealer)
			set, err := w.sealer("four.example").Seal(strings.NewReader(marked), arc.Fail, "")
			require.NoError(t, err)
			require.Empty(t, set)
		}
	}
}
