package main

import (
	"context"
	"net"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// Who connects, as the second octet of the first of their loopback addresses.
const (
	honestNet = 100
	slowNet   = 150
	idleNet   = 200
)

// perAddress is how many connections of an attack come from each address.
const perAddress = 20

// dialTime is how long connecting may take, and the greeting and EHLO.
const dialTime = 30 * time.Second

// source gives connections from the n-th address of a kind, each of which is in a network (/24) of its own.
func source(kind, n int) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(kind+n/250), byte(1+n%250), 1)}, Timeout: dialTime}
}

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
