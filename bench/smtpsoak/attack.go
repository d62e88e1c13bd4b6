package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// How attackers behave.
const (
	slowPause = 2 * time.Second // between the octets of a slow one
	again     = time.Second     // before one that was thrown out comes again
)

// attack is what goes on against the server.
type attack struct {
	addr string
	up   atomic.Int64 // connections that are held
	lost atomic.Int64 // connections that the server has ended
	wg   sync.WaitGroup
}

// begin sends all attackers, and returns once nearly all of them are connected. They stay until ctx ends.
func (a *attack) begin(ctx context.Context, p *plan) error {
	for n := range p.idle {
		a.wg.Go(func() { a.repeat(ctx, idleNet, n, a.beIdle) })
	}
	for n := range p.slow {
		how := a.slowCommand
		if n%2 == 1 {
			how = a.slowMessage
		}
		a.wg.Go(func() { a.repeat(ctx, slowNet, n, how) })
	}
	wanted := int64(p.idle+p.slow) * 99 / 100
	for began := time.Now(); a.up.Load() < wanted; {
		if time.Since(began) > 2*time.Minute || !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("only %d of %d attackers are connected", a.up.Load(), p.idle+p.slow)
		}
	}
	return nil
}

// repeat connects as often as the server lets it.
func (a *attack) repeat(ctx context.Context, kind, n int, how func(context.Context, *raw.Conn)) {
	if !pause(ctx, time.Duration(n)*500*time.Microsecond) { // not all at once: the system's queue is not what is measured
		return
	}
	for ctx.Err() == nil {
		if c, err := connect(ctx, source(kind, n), a.addr); err == nil {
			a.up.Add(1)
			how(ctx, c)
			a.up.Add(-1)
			_ = c.Close()
			if ctx.Err() == nil {
				a.lost.Add(1)
			}
		}
		pause(ctx, again)
	}
}

// beIdle waits until the server ends the connection.
func (a *attack) beIdle(_ context.Context, c *raw.Conn) {
	for err := error(nil); err == nil; {
		_, _, err = c.Reply()
	}
}

// slowCommand sends a command that never ends.
func (a *attack) slowCommand(ctx context.Context, c *raw.Conn) {
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{"NOOP "[min(i, 4)]}); err != nil || !pause(ctx, slowPause) {
			return
		}
	}
}

// slowMessage sends a message that never ends.
func (a *attack) slowMessage(ctx context.Context, c *raw.Conn) {
	if _, err := c.Write([]byte(raw.Envelope)); err != nil || c.Expect(250, 250, 354) != nil {
		return
	}
	for {
		if _, err := c.Write([]byte("x")); err != nil || !pause(ctx, slowPause) {
			return
		}
	}
}
