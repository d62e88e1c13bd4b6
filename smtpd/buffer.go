package smtpd

import (
	"sync"
	"time"
)

// The buffers that messages are read into, in octets. A message gets the next larger one when a read has filled the one that
// it has: so one that trickles in holds no more than an idle connection does.
const (
	dataBuffer  = 32 << 10
	largeBuffer = 256 << 10
)

// buffers keeps those that are not in use.
type buffers struct {
	data, large sync.Pool // *[]byte
}

// pool is where buffers of a size are kept.
func (b *buffers) pool(size int) *sync.Pool {
	if size == largeBuffer {
		return &b.large
	}
	return &b.data
}

// get gives a buffer of one of the two sizes.
func (b *buffers) get(size int) *[]byte {
	if buffer, ok := b.pool(size).Get().(*[]byte); ok {
		return buffer
	}
	return new(make([]byte, size))
}

// put takes it back.
func (b *buffers) put(buffer *[]byte) { b.pool(len(*buffer)).Put(buffer) }

// widen takes a larger buffer for a message that comes faster than the one it has allows.
func (c *conn) widen() {
	if !c.Filled() {
		return
	}
	switch {
	case c.wide == nil:
		c.wide = c.set.home.buffers.get(dataBuffer)
		c.small = c.SetBuffer(*c.wide)
	case len(*c.wide) == dataBuffer:
		wide := c.set.home.buffers.get(largeBuffer)
		c.SetBuffer(*wide)
		c.set.home.buffers.put(c.wide)
		c.wide = wide
	}
}

// shrink goes back to the buffer for lines after a message, if what waits fits into it.
func (c *conn) shrink() {
	if c.wide == nil || c.Pending() >= len(c.small) {
		return
	}
	c.SetBuffer(c.small)
	c.set.home.buffers.put(c.wide)
	c.small, c.wide = nil, nil
}

// waitForLine is ReadLine for a session that may have to wait long, which it does with a small buffer.
func (c *conn) waitForLine(deadline time.Time, idle bool) ([]byte, error) {
	c.shrink()
	return c.ReadLine(deadline, idle)
}
