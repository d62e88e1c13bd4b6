package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// How honest senders behave.
const (
	think     = 250 * time.Millisecond // between two messages of a sender, on average
	retryWait = 200 * time.Millisecond // after a refusal for now, doubled each time
	maxTries  = 8
)

// sent is what came of honest senders.
type sent struct {
	mu      sync.Mutex
	seconds []float64       // how long each message took, from the first try to connect
	acked   map[string]bool // those that the server has taken, by their numbers
	retries int
	failed  []error // messages that did not get through
}

// deliver has honest senders deliver one message after the other for a time, and gives what came of it.
func deliver(addr, name string, senders int, d time.Duration) *sent {
	s := &sent{acked: make(map[string]bool)}
	until := time.Now().Add(d)
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			time.Sleep(time.Duration(rand.Int64N(int64(think))))
			for i := 0; time.Now().Before(until); i++ {
				s.one(addr, source(honestNet, n), fmt.Sprintf("%s-%d-%d", name, n, i))
				time.Sleep(think/2 + time.Duration(rand.Int64N(int64(think))))
			}
		})
	}
	wg.Wait()
	return s
}

// one delivers one message, which each try gives a number of its own: who does not hear that it was taken must send it again.
func (s *sent) one(addr string, d *net.Dialer, name string) {
	began, wait := time.Now(), retryWait
	var err error
	for try := range maxTries {
		id := fmt.Sprintf("%s-%d", name, try)
		if err = try1(addr, d, id); err == nil {
			s.note(id, time.Since(began), try)
			return
		}
		if !passes(err) {
			break
		}
		time.Sleep(wait)
		wait *= 2
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, fmt.Errorf("message %s: %w", name, err))
}

func (s *sent) note(id string, took time.Duration, retries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seconds = append(s.seconds, took.Seconds())
	s.acked[id] = true
	s.retries += retries
}

// passes says whether a sender tries again: after a refusal for now, and a connection that broke.
func passes(err error) bool {
	reply, ok := errors.AsType[*raw.UnexpectedReply](err)
	return !ok || reply.Code/100 == 4
}

// try1 is one session with one message.
func try1(addr string, d *net.Dialer, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := connect(ctx, d, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte(raw.Envelope)); err != nil {
		return err
	}
	if err := c.Expect(250, 250, 354); err != nil {
		return err
	}
	message := append([]byte(field+": "+id+"\r\n"), raw.Message(2<<10)...)
	if _, err := c.Write(append(message, "QUIT\r\n"...)); err != nil {
		return err
	}
	if err := c.Expect(250); err != nil {
		return err
	}
	_ = c.Expect(221) // it has been taken, whatever comes
	return nil
}
