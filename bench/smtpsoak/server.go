package main

import (
	"context"
	"net"
	"strconv"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/bench/internal/child"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Questions that the server answers.
const (
	askMemory   = "memory"   // child.Memory
	askReceived = "received" // how often each message came
)

// field is the header field with a message's number.
const field = "X-Soak"

// hostname is the server's.
const hostname = "mail.example.com"

// server is the role of the child. Its arguments are how many connections it may have, and "tls" or "".
func server(args []string) (*child.Server, error) {
	connections, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, err
	}
	got := &inbox{count: make(map[string]int)}
	srv := &smtpd.Server{Hostname: hostname, Handler: got, MaxConnections: connections} // all else as it is by default
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if args[1] == "tls" {
		srv.TLSConfig = mailtest.NewCA().ServerConfig(hostname)
		go srv.ServeTLS(l) // ends with the process, as Serve does
	} else {
		go srv.Serve(l)
	}
	return &child.Server{Addr: l.Addr().String(), Ask: func(question string) (any, error) {
		if question == askReceived {
			return got.all(), nil
		}
		return child.MeasureMemory(), nil
	}}, nil
}

// inbox counts the messages that come.
type inbox struct {
	mu    sync.Mutex
	count map[string]int
}

// Handle takes a message.
func (i *inbox) Handle(_ context.Context, _ *mailbricks.Envelope, msg *mailbricks.Message) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count[msg.Get(field)]++
	return nil
}

// all gives the counts, and begins anew.
func (i *inbox) all() map[string]int {
	i.mu.Lock()
	defer i.mu.Unlock()
	count := i.count
	i.count = make(map[string]int)
	return count
}
