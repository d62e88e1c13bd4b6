package arc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

// manySets has n sets that look right, with a domain of their own each.
func manySets(n int) string {
	var b strings.Builder
	for i := n; i > 0; i-- {
		cv := "pass"
		if i == 1 {
			cv = "none"
		}
		fmt.Fprintf(&b, "ARC-Seal: i=%d; a=rsa-sha256; cv=%s; d=d%d.example; s=arc; b=AAAA\r\n", i, cv, i)
		fmt.Fprintf(&b, "ARC-Message-Signature: i=%d; a=rsa-sha256; d=d%d.example; s=arc; h=from; bh=AAAA; b=AAAA\r\n", i, i)
		fmt.Fprintf(&b, "ARC-Authentication-Results: i=%d; d%d.example; none\r\n", i, i)
	}
	return b.String()
}

func TestTooManySets(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{
		"51 sets":                   manySets(51),
		"500 sets":                  manySets(500),
		"10,000 seals":              strings.Repeat("ARC-Seal: i=1; cv=none\r\n", 10_000),
		"10,000 seals of nothing":   strings.Repeat("arc-seal:\r\n", 10_000),
		"10,000 message signatures": strings.Repeat("ARC-Message-Signature: i=50\r\n", 10_000),
		"10,000 results":            strings.Repeat("ARC-Authentication-Results: i=3; a; none\r\n", 10_000),
	} {
		z := new(zone)
		r := verify(t, z, fields+message)
		require.Equal(t, arc.Fail, r.Status, name)
		require.ErrorIs(t, r.Err, arc.ErrTooManySets, name)
		require.Nil(t, r.Sets, name)
		require.Empty(t, z.asked, name)
	}
	z := new(zone)
	require.ErrorIs(t, verify(t, z, manySets(50)+message).Err, dkim.ErrBody)
	require.Empty(t, z.asked)
}

// The fields of a chain that is too long are counted, not read.
func TestTooManySetsTakeNoWork(t *testing.T) {
	work := func(n int) float64 {
		m := strings.Repeat("ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.com; s=arc; b=AAAA\r\n", n) + message
		return testing.AllocsPerRun(3, func() { verify(t, new(zone), m) })
	}
	require.Less(t, work(10_000), work(100)+1.1*9_900, "reading one takes ten times as much")
}

func TestLargeHeader(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]string{
		"one field":   "X: " + strings.Repeat("x", 10<<20) + "\r\n" + message,
		"many fields": strings.Repeat("ARC-Seal: i=1; cv=none\r\n", 10<<20/24) + message,
		"no end":      strings.Repeat("y", 10<<20),
	} {
		z := new(zone)
		r := verify(t, z, m)
		require.Equal(t, arc.Fail, r.Status, name)
		require.ErrorIs(t, r.Err, dkim.ErrHeaderTooLarge, name)
		require.Empty(t, z.asked, name)
	}
	r, err := arc.Verify(context.Background(), strings.NewReader(message), nil, arc.Options{MaxHeader: 20})
	require.NoError(t, err)
	require.ErrorIs(t, r.Err, dkim.ErrHeaderTooLarge)
}

// A chain whose newest set is right and whose others name victims costs these no more than a question each for the first.
func TestVictimsAreNotAsked(t *testing.T) {
	t.Parallel()
	z := new(zone)
	f := forge(z, t, 50)
	for i := range f.sets[:49] {
		f.sets[i].message = mustReplace(f.sets[i].message, "d="+domainOf(i), fmt.Sprintf("d=m%d.victim.example", i))
		f.sets[i].seal = mustReplace(f.sets[i].seal, "d="+domainOf(i), fmt.Sprintf("d=s%d.victim.example", i))
	}
	r := verify(t, z, f.message(t))
	require.ErrorIs(t, r.Err, arc.ErrSeal)
	require.Equal(t, 49, r.Instance)
	require.Equal(t, []string{"arc._domainkey." + domainOf(49), "arc._domainkey.m48.victim.example",
		"arc._domainkey.s48.victim.example"}, z.asked)
}

// RFC 8617 §9.2: up to two questions a set, if all keys differ and all signatures verify.
func TestMostQuestions(t *testing.T) {
	t.Parallel()
	z := new(zone)
	f := forge(z, t, 50)
	for i := range f.sets {
		z.publish(t, f.key, domainOf(i), "seal")
		f.sets[i].seal = mustReplace(f.sets[i].seal, "s=arc", "s=seal")
	}
	r := verify(t, z, f.message(t))
	require.NoError(t, r.Err)
	require.Len(t, z.asked, 100)

	z = new(zone)
	f = forge(z, t, 50)
	for i := range f.sets {
		f.sets[i].message = mustReplace(f.sets[i].message, "d="+domainOf(i), "d=aa.example")
		f.sets[i].seal = mustReplace(f.sets[i].seal, "d="+domainOf(i), "d=aa.example")
	}
	r = verify(t, z, f.message(t))
	require.NoError(t, r.Err)
	require.Len(t, z.asked, 1, "one key is asked for once")
}

func TestHostileFields(t *testing.T) {
	t.Parallel()
	set := func(results, message, seal string) string {
		return "ARC-Authentication-Results:" + results + "\r\nARC-Message-Signature:" + message + "\r\nARC-Seal:" + seal + "\r\n"
	}
	const ams = "i=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=AAAA; b=AAAA"
	const as = "i=1; cv=none; a=rsa-sha256; d=a.example; s=s; b=AAAA"
	for name, fields := range map[string]string{
		"open comments":    set(strings.Repeat("(", 500_000), ams, as),
		"closed comments":  set(strings.Repeat("()", 250_000)+"i=1; a; none", ams, as),
		"nested comments":  set(strings.Repeat("(", 250_000)+strings.Repeat(")", 250_000)+"i=1; a; none", ams, as),
		"open string":      set("i=1; \""+strings.Repeat("\\", 500_000), ams, as),
		"many tags":        set("i=1; a; none", ams+strings.Repeat("; x=", 100_000), as),
		"many other tags":  set("i=1; a; none", ams+manyTags(10_000), as),
		"many names":       set("i=1; a; none", "i=1; h=from"+strings.Repeat(":a", 400_000)+ams[4:], as),
		"many empty names": set("i=1; a; none", "i=1; h=from"+strings.Repeat(":", 500_000)+ams[4:], as),
		"long signature":   set("i=1; a; none", ams, as+strings.Repeat("AAAA", 100_000)),
		"long domain":      set("i=1; a; none", ams, strings.Replace(as, "a.example", strings.Repeat("a.", 200_000)+"example", 1)),
		"no values":        set("", "", ""),
		"only semicolons":  set(strings.Repeat(";", 100_000), strings.Repeat(";", 100_000), strings.Repeat(";", 100_000)),
		"binary":           set("i=1;\x00\xff", "\x00", "\xfe"),
	} {
		z := new(zone)
		r := verify(t, z, fields+message)
		require.Equal(t, arc.Fail, r.Status, name)
		require.Error(t, r.Err, name)
		require.Empty(t, z.asked, name)
		for _, s := range r.Sets {
			require.NotContains(t, s.Results+s.AuthServID+s.Seal.Domain, "\x00", name)
		}
	}
}

func manyTags(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "; t%d=", i)
	}
	return b.String()
}

// The body is hashed as it passes; none of it is kept, nor anything once the outcome is clear.
func TestBodyTakesNoMemory(t *testing.T) {
	chain := forge(new(zone), t, 3).message(t)
	piece := bytes.Repeat([]byte("A line of the body that is neither long nor short.\r\n"), 1000)
	for name, head := range map[string]string{
		"chain": chain, "no chain": message, "bad chain": "ARC-Seal: i=1\r\n" + message,
		"large header": strings.Repeat("x", 2<<20),
	} {
		v := arc.NewVerifier(new(zone), arc.Options{Now: atThen})
		_, err := io.WriteString(v, head)
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 200 { // 10 MB
			if _, err := v.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<10), name)
		v.Result(context.Background())
	}
}
