package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// How attackers behave.
const (
	slowPause = 2 * time.Second  // between the octets of a slow one
	again     = 2 * time.Second  // before one that was thrown out comes again, at most
	ramp      = time.Millisecond // between one that comes for the first time and the next
)

// attackTime is how long the attackers may take to be there.
const attackTime = 2 * time.Minute

// bots is how many idle attackers there are for each idle connection that is to be held: a server under stress throws them
// out again and again.
const bots = 1.15

// attack is what goes on against the server.
type attack struct {
	addr string
	up   atomic.Int64 // connections that are held
	lost atomic.Int64 // connections that the server has ended
	wg   sync.WaitGroup
}

// begin sends all attackers, and returns once as many as wanted are connected. They stay until ctx ends.
func (a *attack) begin(ctx context.Context, p *plan) error {
	for n := range int(bots * float64(p.idle)) {
		a.wg.Go(func() { a.repeat(ctx, idleNet, n, a.beIdle) })
	}
	for n := range p.slow {
		how := a.slowCommand
		if n%2 == 1 {
			how = a.slowMessage
		}
		a.wg.Go(func() { a.repeat(ctx, slowNet, n, how) })
	}
	wanted := int64(p.idle + p.slow)
	for began := time.Now(); a.up.Load() < wanted; {
		if time.Since(began) > attackTime || !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("only %d of %d attackers are connected", a.up.Load(), wanted)
		}
	}
	return nil
}

// repeat connects as often as the server lets it.
func (a *attack) repeat(ctx context.Context, kind, n int, how func(context.Context, *raw.Conn)) {
	if !pause(ctx, time.Duration(n)*ramp) { // those of a botnet do not act as one
		return
	}
	for ctx.Err() == nil {
		if c, err := connect(ctx, source(kind, n/perAddress), a.addr); err == nil {
			a.up.Add(1)
			how(ctx, c)
			a.up.Add(-1)
			_ = c.Close()
			if ctx.Err() == nil {
				a.lost.Add(1)
			}
		}
		pause(ctx, time.Duration(rand.Int64N(int64(again))))
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
