package senderauth_test

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/stretchr/testify/require"
)

// warm is a resolver with a cache over a server in memory.
func warm(tb testing.TB) *resolver.Resolver {
	tb.Helper()
	dns, network := zones(tb, reject), mailtest.NewNetwork()
	pc, err := network.ListenPacket("udp", "192.0.2.53:53")
	require.NoError(tb, err)
	l, err := network.Listen("tcp", "192.0.2.53:53")
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = dns.Serve(ctx, pc, l) })
	tb.Cleanup(func() { cancel(); wg.Wait() })
	return &resolver.Resolver{Servers: []string{"192.0.2.53"}, Dialer: network.Dialer("").DialContext, MinTTL: time.Hour}
}

// usual is a message as servers get it, of 4 KiB with an RSA signature.
func usual(tb testing.TB) []byte {
	tb.Helper()
	header := "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nReply-To: ann@sender.example\r\nX-Mailer: Letters 4.2\r\n"
	raw := header + letter + strings.Repeat("Some text that goes on for a while, as letters do.\r\n", 60)
	received := "Received: from mail.sender.example (mail.sender.example [192.0.2.25])\r\n\tby mx.example.com (Postfix) with ESMTPS id 4XyZ1234\r\n\tfor <bob@example.com>; Tue, 24 Nov 2026 12:00:01 +0000 (UTC)\r\n"
	raw = received + signed(tb, raw, "rsa")
	require.InDelta(tb, 4<<10, len(raw), 400)
	return []byte(raw)
}

// full gives a message to the check as a server does.
func full(tb testing.TB, check smtpd.Check, raw []byte) *senderauth.Result {
	s := &smtpd.Session{Hostname: "mx.example.com", Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.25:4000"), Hello: "mail.sender.example"}}
	tx := &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: "ann@sender.example"}}
	if err := check.Mail(context.Background(), tx); err != nil {
		tb.Fatal(err)
	}
	msg := mailbricks.NewMessage(raw)
	defer msg.Close()
	if err := check.Message(context.Background(), tx, msg); err != nil {
		tb.Fatal(err)
	}
	r, _ := tx.Value(senderauth.ResultKey).(*senderauth.Result)
	return r
}

func bare(tb testing.TB, dns dkim.Resolver, raw []byte) {
	results, err := dkim.Verify(context.Background(), bytes.NewReader(raw), dns, dkim.Options{})
	if err != nil || results[0].Status != dkim.Pass {
		tb.Fatal(results, err)
	}
}

func BenchmarkFull(b *testing.B) {
	dns, raw := warm(b), usual(b)
	check := senderauth.Check(senderauth.Options{Resolver: dns, Policy: senderauth.Enforce()})
	require.Equal(b, dmarc.Pass, full(b, check, raw).DMARC.Result)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		full(b, check, raw)
	}
}

func BenchmarkBare(b *testing.B) {
	dns, raw := warm(b), usual(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		bare(b, dns, raw)
	}
}

// minRatio is how many times at least BenchmarkRatio measures, however short it is to run.
const minRatio = 11

// BenchmarkRatio runs both in turn; its ratio is that of the medians.
func BenchmarkRatio(b *testing.B) {
	dns, raw := warm(b), usual(b)
	check := senderauth.Check(senderauth.Options{Resolver: dns, Policy: senderauth.Enforce()})
	var all, one []time.Duration
	took := func(f func()) time.Duration {
		start := time.Now()
		f()
		return time.Since(start)
	}
	measure := func() {
		all = append(all, took(func() { full(b, check, raw) }))
		one = append(one, took(func() { bare(b, dns, raw) }))
	}
	for b.Loop() {
		measure()
	}
	b.StopTimer()
	for len(all) < minRatio { // one measurement says nothing, and its first is that of cold caches
		measure()
	}
	slices.Sort(all)
	slices.Sort(one)
	b.ReportMetric(float64(all[len(all)/2])/float64(one[len(one)/2]), "ratio")
	b.ReportMetric(float64(one[len(one)/2].Nanoseconds()), "bare-ns/op")
}

// BenchmarkMail is what is done at MAIL.
func BenchmarkMail(b *testing.B) {
	check := senderauth.Check(senderauth.Options{Resolver: warm(b)})
	b.ReportAllocs()
	for b.Loop() {
		s := &smtpd.Session{Hostname: "mx.example.com", Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.25:4000"), Hello: "mail.sender.example"}}
		if err := check.Mail(context.Background(), &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: "ann@sender.example"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkField is the writing of the Authentication-Results field.
func BenchmarkField(b *testing.B) {
	r := full(b, senderauth.Check(senderauth.Options{Resolver: warm(b)}), usual(b))
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Field("mx.example.com").String()
	}
}
