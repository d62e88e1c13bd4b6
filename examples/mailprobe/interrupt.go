package main

import (
	"context"
	"errors"
	"io"
	"time"
)

var errInterrupted = errors.New("interrupted")

// patience is how long a command that is interrupted may take to end. One that waits for its input never would.
const patience = time.Second

// runUntil is run, but ends with the context.
func (p *process) runUntil(ctx context.Context) int {
	done := make(chan int, 1)
	go func() { done <- p.run(ctx) }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
	}
	select {
	case code := <-done:
		return code
	case <-time.After(patience):
		return p.fail(errInterrupted, exitError)
	}
}

// interruptible takes nothing once the context has ended.
type interruptible struct {
	ctx context.Context
	io.Writer
}

func (w interruptible) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, errInterrupted
	}
	return w.Writer.Write(b)
}
