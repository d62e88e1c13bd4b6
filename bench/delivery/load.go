package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/raw"
	"github.com/mailbricks/mailbricks/bench/internal/stats"
)

const (
	helloTime    = 30 * time.Second       // for a session to begin
	deliveryTime = 2 * time.Minute        // for all messages of a measurement to be in the mailboxes
	settleTime   = 200 * time.Millisecond // for what a server still does afterwards, such as removing files of its queue
	watchShare   = 50                     // of the time goes into looking for messages, and slows the server: 1/50
)

// result is one measurement.
type result struct {
	accepted, delivered float64 // messages a second
	latency             float64 // median time from a message's last dot to its 250, in milliseconds
	cpu                 float64 // seconds of CPU time for 1000 messages
}

// measure sends messages over connections that are set up before, and waits until all are in the mailboxes.
func measure(ctx context.Context, s *server, w workload) (result, error) {
	before, err := s.messages()
	if err != nil {
		return result{}, err
	}
	conns, err := connect(ctx, s.addr, w.conns)
	defer func() {
		for _, c := range conns {
			_ = c.Close() // all that it was for is done
		}
	}()
	if err != nil {
		return result{}, err
	}
	flushDisks() // what others have left is not this server's to write
	cpuBefore, err := cpuTime(s.roots)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	times, err := send(ctx, conns, w.messages)
	took := time.Since(began)
	s.sent += len(times)
	if err != nil {
		return result{}, err
	}
	last, err := s.await(ctx, before+w.messages)
	if err != nil {
		return result{}, err
	}
	whole := max(took, last.Sub(began))
	time.Sleep(settleTime)
	cpuAfter, err := cpuTime(s.roots)
	n := float64(w.messages)
	return result{
		accepted: n / took.Seconds(), delivered: n / whole.Seconds(), latency: stats.Median(times),
		cpu: (cpuAfter - cpuBefore).Seconds() * 1000 / n,
	}, err
}

// await waits until there are n messages in all mailboxes, and tells when the last one came.
func (s *server) await(ctx context.Context, n int) (time.Time, error) {
	for began := time.Now(); ; {
		counting := time.Now()
		have, err := s.messages()
		if err != nil {
			return time.Time{}, err
		}
		if have >= n {
			return s.newest()
		}
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		if time.Since(began) > deliveryTime {
			return time.Time{}, fmt.Errorf("%d messages have not come", n-have)
		}
		time.Sleep(max(pollTime, watchShare*time.Since(counting)))
	}
}

// connect sets up sessions, those that it could also where it fails.
func connect(ctx context.Context, addr string, n int) (conns []*raw.Conn, err error) {
	for range n {
		c, err := raw.Dial(new(net.Dialer), addr, helloTime)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		if err := c.SetDeadline(time.Now().Add(deliveryTime)); err != nil {
			return conns, err
		}
	}
	return conns, ctx.Err()
}

// send sends n messages in all, and gives the times from their last dots to the replies, in milliseconds.
func send(ctx context.Context, conns []*raw.Conn, n int) ([]float64, error) {
	var next atomic.Int64
	times, errs := make([][]float64, len(conns)), make([]error, len(conns))
	body := raw.Message(messageSize)
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			for errs[i] == nil && ctx.Err() == nil {
				number := int(next.Add(1)) - 1
				if number >= n {
					return
				}
				var took time.Duration
				if took, errs[i] = transaction(c, number, body); errs[i] == nil {
					times[i] = append(times[i], took.Seconds()*1e3)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return slices.Concat(times...), err
		}
	}
	return slices.Concat(times...), ctx.Err()
}

// transaction sends a message, a command at a time.
func transaction(c *raw.Conn, number int, body []byte) (time.Duration, error) {
	if err := c.Command(250, "MAIL FROM:<ann@example.net>\r\n"); err != nil {
		return 0, err
	}
	if err := c.Command(250, "RCPT TO:<"+user(number)+"@"+domain+">\r\n"); err != nil {
		return 0, err
	}
	if err := c.Command(354, "DATA\r\n"); err != nil {
		return 0, err
	}
	message := append(fmt.Appendf(nil, "X-Number: %d\r\n", number), body...) // no two are the same
	began := time.Now()
	if _, err := c.Write(message); err != nil {
		return 0, err
	}
	err := c.Expect(250)
	return time.Since(began), err
}
