package senderauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
)

// What one message may ask the DNS at the very most, by the limits of the methods.
const (
	perSPF     = 1 + spf.DefaultMaxLookups*(1+spf.DefaultMaxMX) + 1 /* exp */ + 1 /* ptr */ + spf.DefaultMaxPTR
	perIPRev   = 1 + iprev.MaxNames
	perDKIM    = dkim.DefaultMaxSignatures
	perARC     = 2 * arc.MaxSets
	perDMARC   = dmarc.DefaultMaxAuthorDomains * 8 * (1 + 16) // the author's walk, and those of the identifiers
	perMessage = 2*perSPF + perIPRev + perDKIM + perARC + perDMARC
)

// bomb is a zone in which everything that may cost look-ups does.
func bomb(t *testing.T) *mailtest.DNS {
	t.Helper()
	var z strings.Builder
	for _, domain := range []string{"evil.example", "helo.evil.example"} {
		fmt.Fprintf(&z, "%s. TXT \"v=spf1", domain)
		for i := range 20 {
			fmt.Fprintf(&z, " mx:m%d.%s", i, domain)
		}
		z.WriteString(" -all exp=why.evil.example\"\n")
		for i := range 20 {
			for j := range 10 {
				fmt.Fprintf(&z, "m%d.%s. MX %d h%d-%d.%[2]s.\nh%[1]d-%[4]d.%[2]s. A 203.0.113.9\n", i, domain, j, i, j)
			}
		}
	}
	for i := range 100 {
		fmt.Fprintf(&z, "99.2.0.192.in-addr.arpa. PTR p%d.evil.example.\np%[1]d.evil.example. A 203.0.113.9\n", i)
	}
	return mailtest.MustZone(t, z.String())
}

func TestHostileMessagesCostLimitedLookups(t *testing.T) {
	t.Parallel()
	signature := func(i int) string {
		return fmt.Sprintf("DKIM-Signature: v=1; a=rsa-sha256; d=d%d.evil.example; s=s%d; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA%d\r\n", i, i, i)
	}
	set := func(i int) string {
		cv := "pass"
		if i == 1 {
			cv = "none"
		}
		return fmt.Sprintf("ARC-Seal: i=%d; a=rsa-sha256; d=a%d.evil.example; s=s; cv=%s; b=AAAA\r\n"+
			"ARC-Message-Signature: i=%[1]d; a=rsa-sha256; d=m%[2]d.evil.example; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"+
			"ARC-Authentication-Results: i=%[1]d; x; dmarc=pass header.from=sender.example\r\n", i, i, cv)
	}
	repeat := func(n int, f func(int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i + 1))
		}
		return b.String()
	}
	authors := "From: " + repeat(5000, func(i int) string { return fmt.Sprintf("a@x.y.z.a%d.evil.example,\r\n ", i) }) + "b@evil.example\r\n\r\n"
	deep := "From: a@" + strings.Repeat("a.", 100) + "evil.example\r\n\r\n"
	signatures, chain := repeat(10_000, signature), repeat(500, set)
	for _, c := range []struct {
		name, raw string
		dkim, arc string // outcomes
		most      int    // questions that the message may cost besides those about the client
	}{
		{"10,000 signatures", signatures + letter, "permerror", "none", perDKIM + perDMARC},
		{"10 MiB of signatures", repeat(70_000, signature) + letter, "permerror", "none", perDMARC},
		{"10 MiB of one field", "X: " + strings.Repeat("a", 10<<20) + "\r\n" + letter, "permerror", "none", perDMARC},
		{"10 MiB of fields that claim to be ours", strings.Repeat("Authentication-Results: mx.example.com; dmarc=pass\r\n", 200_000) + letter, "permerror", "none", perDMARC},
		{"10 MiB of comments that claim to be ours", "Authentication-Results: " + strings.Repeat("(mx.example.com", 700_000) + ";\r\n" + letter, "permerror", "none", perDMARC},
		{"a chain of 500", chain + letter, "none", "fail", perDMARC},
		{"a chain of 50", repeat(50, set) + letter, "none", "fail", 1 + perDMARC},
		{"5,000 authors", authors, "none", "none", perDMARC},
		{"5,000 From fields", strings.Repeat("From: a@evil.example\r\nFrom: b@mail.evil.example\r\n", 2500) + "\r\n", "none", "none", perDMARC},
		{"a deep author", deep, "none", "none", 8},
		{"all of it", repeat(200, signature) + repeat(50, set) + authors, "permerror", "fail", perDKIM + perARC + perDMARC},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dns := bomb(t)
			o := senderauth.Options{Resolver: plainResolver{dns.Resolver()}, CheckHelo: true, DKIM: dkim.Options{MaxHeader: 2 << 20}, TrustedSealers: []string{"a500.evil.example", "a50.evil.example"}}
			r, field, err := outcome(t, o, mail{ip: "192.0.2.99", helo: "helo.evil.example", from: "x@evil.example", raw: c.raw})
			require.NoError(t, err)
			require.Equal(t, []any{spf.PermError, spf.PermError, "fail"}, []any{r.SPF.Result, r.Helo.Result, r.IPRev.Value})
			require.Equal(t, []string{c.dkim, c.arc}, []string{string(r.DKIM[0].Status), string(r.ARC.Status)})
			require.LessOrEqual(t, len(r.DKIM), 4*perDKIM+1) // with those that need no look-up
			require.Less(t, len(field), 8<<10)
			total, keys := 0, 0
			for q, n := range dns.Queries() {
				require.Equal(t, 1, n, q)
				total += n
				if strings.Contains(q, "._domainkey.") {
					keys++
				}
			}
			require.LessOrEqual(t, keys, perDKIM+perARC)
			if c.arc == "none" {
				require.LessOrEqual(t, keys, perDKIM)
			}
			require.LessOrEqual(t, total, 2*perSPF+perIPRev+c.most)
			t.Logf("%d octets, %d questions", len(c.raw), total)
		})
	}
	require.Less(t, perMessage, 1000)
}

// broken is a message whose body cannot be read.
func broken(t *testing.T, raw string) *mailbricks.Message {
	t.Helper()
	spool := &mailbricks.Spool{Dir: t.TempDir(), Threshold: 1}
	w := spool.Writer()
	_, err := io.WriteString(w, raw)
	require.NoError(t, err)
	msg, err := w.Message()
	require.NoError(t, err)
	require.NoError(t, msg.Close())
	return msg
}

// The look-ups that were begun while the message was read end with it. TestMain looks for goroutines that are left.
func TestAnAbortedReadLeavesNothing(t *testing.T) {
	t.Parallel()
	raw := signed(t, sealed(t, letter, "list.example", arc.None, sawPass), "rsa", "ed") + strings.Repeat("x\r\n", 1<<16)
	check := senderauth.Check(senderauth.Options{Resolver: hung{}, MaxTime: time.Hour})
	s := &smtpd.Session{Hostname: "mx.example.com"}
	tx := &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{}}
	start := time.Now()
	err := check.Message(t.Context(), tx, broken(t, raw))
	require.Error(t, err)
	require.True(t, mailbricks.IsTemporary(err))
	var reply *mailbricks.Reply
	require.False(t, errors.As(err, &reply), "why is not the peer's business")
	require.Less(t, time.Since(start), time.Minute, "MaxTime is longer")
}

// A client that leaves ends all look-ups, at whatever step; the bubble does not end with one under way.
func TestAClientThatLeavesLeavesNothing(t *testing.T) {
	t.Parallel()
	raw := signed(t, sealed(t, letter, "list.example", arc.None, sawPass), "rsa", "ed")
	synctest.Test(t, func(t *testing.T) {
		asked := &counting{Resolver: hung{}}
		check := senderauth.Check(senderauth.Options{Resolver: asked, MaxTime: time.Hour, CheckHelo: true})
		s := &smtpd.Session{Hostname: "mx.example.com", Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.25:4000"), Hello: "mail.sender.example"}}
		tx := &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: "a@sender.example"}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		require.NoError(t, check.Mail(ctx, tx))
		require.Equal(t, 3*time.Second, time.Since(start))
		require.EqualValues(t, 3, asked.n.Swap(0), "PTR and two SPF records")

		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		msg := mailbricks.NewMessage([]byte(raw))
		defer msg.Close()
		start = time.Now()
		require.NoError(t, check.Message(ctx, tx, msg))
		require.Equal(t, 5*time.Second, time.Since(start))
		require.EqualValues(t, 4, asked.n.Load(), "two keys of DKIM, one of ARC, a policy")
	})
}

// counting counts the questions.
type counting struct {
	senderauth.Resolver
	n atomic.Int32
}

func (c *counting) LookupTXT(ctx context.Context, name string) ([]string, error) {
	c.n.Add(1)
	return c.Resolver.LookupTXT(ctx, name)
}

func (c *counting) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	c.n.Add(1)
	return c.Resolver.LookupAddr(ctx, addr)
}
