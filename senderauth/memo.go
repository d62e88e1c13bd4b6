package senderauth

import (
	"context"
	"sync"
)

// maxRemembered limits the answers of one kind that are remembered for one message. The limits of the methods allow a few
// hundred questions; what is beyond is asked again where it is wanted again.
const maxRemembered = 256

// memo remembers the answers to one kind of question for one message, failures included, and makes one question of
// those that are asked at the same time. The zero value is ready for use.
type memo[T any] struct {
	mu    sync.Mutex
	known map[string]*answer[T]
}

// answer is what is known or, until it is ready, asked for. Once ready it does not change.
type answer[T any] struct {
	ready bool
	wait  chan struct{} // closed when somebody must look again; nil while nobody waits
	value T
	err   error
}

// get gives the answer to a question, from ask where it is not known. Who comes while it is asked waits; when the one
// who asks gives up because its own time is over, the next one asks. The answer is shared: nobody may change it.
func (m *memo[T]) get(ctx context.Context, question string, ask func(context.Context) (T, error)) (T, error) {
	for {
		m.mu.Lock()
		a := m.known[question]
		switch {
		case a == nil && len(m.known) >= maxRemembered:
			m.mu.Unlock()
			return ask(ctx)
		case a == nil:
			if m.known == nil {
				m.known = make(map[string]*answer[T])
			}
			a = new(answer[T])
			m.known[question] = a
			m.mu.Unlock()
			return m.fill(ctx, question, ask)
		case a.ready:
			m.mu.Unlock()
			return a.value, a.err
		case a.wait == nil:
			a.wait = make(chan struct{})
		}
		wait := a.wait
		m.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
}

// fill asks, and wakes those who wait. When the time of the one who asks was over, or ask panicked, it is as if nobody
// had asked.
func (m *memo[T]) fill(ctx context.Context, question string, ask func(context.Context) (T, error)) (value T, err error) {
	returned := false
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		a := m.known[question]
		if returned && (err == nil || ctx.Err() == nil) {
			a.ready, a.value, a.err = true, value, err
		} else {
			delete(m.known, question)
		}
		if a.wait != nil {
			close(a.wait)
		}
	}()
	value, err = ask(ctx)
	returned = true
	return value, err
}
