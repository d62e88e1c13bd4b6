package main

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/child"
	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// helloTime is how long a server may take to begin a session.
const helloTime = 30 * time.Second

// load sends messages to a server over connections that it keeps.
type load struct {
	server *child.Process
	conns  []*raw.Conn
	body   []byte // a message and the next one's envelope
	last   []byte // a message
}

// newLoad connects.
func newLoad(server *child.Process, w workload) (*load, error) {
	l := &load{server: server, last: raw.Message(w.size)}
	l.body = append(slices.Clone(l.last), raw.Envelope...)
	for range w.conns {
		c, err := raw.Dial(new(net.Dialer), server.Addr, helloTime)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close() // all that it was for is done
	}
}

// cost is one measurement.
type cost struct {
	cpu  float64 // microseconds of the server's CPU time a message
	rate float64 // messages a second
}

// measure sends messages over all connections for a time.
func (l *load) measure(atLeast time.Duration) (cost, error) {
	before, err := l.server.Usage()
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	counts, errs := make([]int, len(l.conns)), make([]error, len(l.conns))
	var wg sync.WaitGroup
	for i := range l.conns {
		wg.Go(func() { counts[i], errs[i] = l.send(l.conns[i], began.Add(atLeast)) })
	}
	wg.Wait()
	took := time.Since(began)
	after, err := l.server.Usage()
	if err != nil {
		return cost{}, err
	}
	sent := 0
	for i, n := range counts {
		if errs[i] != nil {
			return cost{}, errs[i]
		}
		sent += n
	}
	return cost{
		cpu:  float64((after.CPU - before.CPU).Nanoseconds()) / 1e3 / float64(sent),
		rate: float64(sent) / took.Seconds(),
	}, nil
}

// send sends messages over one connection until a time: a round trip each, as RFC 2920 §5 has it.
func (l *load) send(c *raw.Conn, until time.Time) (sent int, err error) {
	if _, err := c.Write([]byte(raw.Envelope)); err != nil {
		return 0, err
	}
	if err := c.Expect(250, 250, 354); err != nil {
		return 0, err
	}
	for time.Now().Before(until) {
		if _, err := c.Write(l.body); err != nil {
			return sent, err
		}
		if err := c.Expect(250, 250, 250, 354); err != nil {
			return sent, err
		}
		sent++
	}
	if _, err := c.Write(l.last); err != nil {
		return sent, err
	}
	return sent + 1, c.Expect(250)
}
