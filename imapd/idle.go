package imapd

import (
	"context"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// idle is IDLE (RFC 2177). While it lasts a second goroutine reads; this one writes.
func (c *conn) idle(ctx context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	wake, stop := c.watch()
	defer stop()
	c.enc.Raw("+ idling\r\n")
	if err := c.syncAndFlush(); err != nil { // what came between the last command and the watch
		return err
	}
	done := make(chan error, 1)
	c.idling = true
	c.setWaiting(true, time.Now().Add(c.set.idle))
	go func() { done <- c.dec.NextLine() }()
	err, ended := c.idleLoop(ctx, wake, done)
	if !ended {
		c.Drain() // the session is over
		<-done
	}
	c.setWaiting(false, time.Time{})
	c.idling = false
	if err != nil {
		return err
	}
	if line := c.dec.Rest(); !strings.EqualFold(line, "DONE") {
		return bad("Expected DONE")
	}
	return nil
}

// watch asks to be woken when the selected mailbox changes.
func (c *conn) watch() (wake chan struct{}, stop func()) {
	wake = make(chan struct{}, 1)
	if c.sel != nil {
		if w, can := c.sel.box.(mailbox.Watcher); can {
			return wake, w.Watch(wake)
		}
	}
	return wake, func() {}
}

// idleLoop tells of changes until the client ends it, which gives ended, or the session must end. The mailbox is looked
// at with every keep-alive too, since wake-ups may be lost.
func (c *conn) idleLoop(ctx context.Context, wake <-chan struct{}, done <-chan error) (err error, ended bool) {
	keepAlive := time.NewTicker(c.set.keepAlive)
	defer keepAlive.Stop()
	for {
		select {
		case err := <-done:
			return c.waitError(err), true
		case <-ctx.Done():
			return context.Cause(ctx), false
		case <-c.set.home.life.Draining():
			return c.bye("", "Server is shutting down"), false
		case <-wake:
		case <-keepAlive.C:
			c.enc.Raw("* OK Still here\r\n")
		}
		if err := c.syncAndFlush(); err != nil {
			return err, false
		}
	}
}

func (c *conn) syncAndFlush() error {
	if c.sel != nil {
		if err := c.syncOrLeave(true); err != nil {
			return err
		}
	}
	return c.enc.Flush()
}
