package main

import (
	"context"
	"net"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// Who connects, as the second octet of the loopback address: each kind has addresses of its own.
const (
	honestNet = 10 + iota
	slowNet
	idleNet
)

// perAddress is how many connections of an attack come from each address; each address is in a network (/24) of its own.
const perAddress = 20

// dialTime is how long connecting and EHLO may take.
const dialTime = 30 * time.Second

// dialer gives connections from the n-th address of a kind.
func dialer(kind, n int) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(kind+n/250), byte(1+n%250), 1)}, Timeout: dialTime}
}

// kindStride keeps the addresses of the kinds apart: each has this many times 250.
const kindStride = 10

// source is dialer for the kinds of an attack, of which several connections share an address.
func source(kind, n int) *net.Dialer { return dialer(kind*kindStride, n/perAddress) }

// connect begins a session; when ctx ends it does.
func connect(ctx context.Context, d *net.Dialer, addr string) (*raw.Conn, error) {
	c, err := raw.Dial(d, addr, dialTime)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, nil
}

// pause waits, or until ctx ends, which it says by false.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
