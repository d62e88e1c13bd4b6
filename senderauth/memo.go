package senderauth

import (
	"context"
	"slices"
	"sync"
)

// maxRemembered limits the answers of one kind that are remembered for one message. The limits of the methods allow a few
// hundred questions; what is beyond is asked again where it is wanted again.
const maxRemembered = 256

// memo remembers the answers to one kind of question for one message, failures included, and makes one question of
// those that are asked at the same time. The zero value is ready for use.
type memo[T any] struct {
	mu    sync.Mutex
	known []*answer[T] // mostly one or two
}

// answer is what is known or, until it is ready, asked for. Once ready it does not change.
type answer[T any] struct {
	question string
	ready    bool
	wait     chan struct{} // closed when somebody must look again; nil while nobody waits
	value    T
	err      error
}

// get gives the answer to a question, from ask where it is not known. Who comes while it is asked waits; when the one
// who asks gives up because its own time is over, the next one asks. The answer is shared: nobody may change it.
func (m *memo[T]) get(ctx context.Context, question string, ask func(context.Context) (T, error)) (none T, err error) {
	for {
		m.mu.Lock()
		a := m.find(question)
		switch {
		case a == nil && ctx.Err() != nil:
			m.mu.Unlock()
			return none, ctx.Err()
		case a == nil && len(m.known) >= maxRemembered:
			m.mu.Unlock()
			return ask(ctx)
		case a == nil:
			a = &answer[T]{question: question}
			m.known = append(m.known, a)
			m.mu.Unlock()
			return m.fill(ctx, a, ask)
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
			return none, ctx.Err()
		}
	}
}

func (m *memo[T]) find(question string) *answer[T] {
	for _, a := range m.known {
		if a.question == question {
			return a
		}
	}
	return nil
}

// fill asks, and wakes those who wait. When the time of the one who asks was over, or ask panicked, it is as if nobody
// had asked.
func (m *memo[T]) fill(ctx context.Context, a *answer[T], ask func(context.Context) (T, error)) (value T, err error) {
	returned := false
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if returned && (err == nil || ctx.Err() == nil) {
			a.ready, a.value, a.err = true, value, err
		} else {
			m.known = slices.DeleteFunc(m.known, func(other *answer[T]) bool { return other == a })
		}
		if a.wait != nil {
			close(a.wait)
		}
	}()
	value, err = ask(ctx)
	returned = true
	return value, err
}
