package relay_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/relay"
)

var benchText = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 60)

// BenchmarkEnqueue is a durable enqueue of 4 KiB, from one and from many goroutines.
func BenchmarkEnqueue(b *testing.B) {
	for name, parallel := range map[string]int{"1": 0, "many": 10} {
		b.Run(name, func(b *testing.B) {
			q, err := relay.Open(b.TempDir(), relay.Options{Hostname: "h.test", MaxMessages: 1 << 30})
			require.NoError(b, err)
			defer q.Close()
			env := envelope("ann@example.com", "bob@example.net")
			msg := message(benchText)
			b.SetBytes(int64(len(benchText)))
			b.ReportAllocs()
			if parallel == 0 {
				for b.Loop() {
					if err := q.Handle(b.Context(), env, msg); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.SetParallelism(parallel)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := q.Handle(b.Context(), env, msg); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkDrain is a delivery of a queued message to a Handler, with all its notes on disk.
func BenchmarkDrain(b *testing.B) {
	dir := b.TempDir()
	arrived := make(chan struct{}, 1<<20)
	sink := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return nil })
	q, err := relay.Open(dir, relay.Options{
		Hostname: "h.test", MaxMessages: 1 << 30, Transport: relay.ToHandler(sink), MaxPerDestination: 20,
		OnEvent: func(ev relay.Event) {
			if ev.Kind == relay.Delivered {
				arrived <- struct{}{}
			}
		},
	})
	require.NoError(b, err)
	for range b.N {
		require.NoError(b, q.Handle(b.Context(), envelope("ann@example.com", "bob@example.net"), message(benchText)))
	}
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- q.Run(context.Background()) }()
	for range b.N {
		<-arrived
	}
	b.StopTimer()
	require.NoError(b, q.Close())
	require.NoError(b, <-done)
}

// BenchmarkOpen is the start with a thousand messages.
func BenchmarkOpen(b *testing.B) {
	opts := relay.Options{Hostname: "h.test"}
	dir := b.TempDir()
	q, err := relay.Open(dir, opts)
	require.NoError(b, err)
	for range 1000 {
		require.NoError(b, q.Handle(b.Context(), envelope("ann@example.com", "bob@example.net"), message(benchText)))
	}
	require.NoError(b, q.Close())
	for b.Loop() {
		q, err := relay.Open(dir, opts)
		require.NoError(b, err)
		require.NoError(b, q.Close())
	}
}

// BenchmarkRelay is all of it: a message is stored, sent over a socket to a server, and its end noted; 20 at a time.
func BenchmarkRelay(b *testing.B) {
	_, port := startOther(b, nil)
	q, err := relay.Open(b.TempDir(), relay.Options{
		Hostname: "h.test", MaxMessages: 1 << 30, Transport: &relay.MX{Port: port}, MaxPerDestination: 20,
	})
	require.NoError(b, err)
	done := make(chan error, 1)
	go func() { done <- q.Run(context.Background()) }()
	work := make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range work {
				id, err := q.Send(context.Background(), envelope("ann@example.com", "bob@[127.0.0.1]"), message(benchText))
				if err != nil {
					b.Error(err)
				}
				for range q.Events(context.Background(), id) {
				}
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.StopTimer()
	require.NoError(b, q.Close())
	require.NoError(b, <-done)
}
