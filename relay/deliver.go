package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
)

// Limits of connections that are kept for the next message.
const (
	// idleTime is how long a connection waits for another message.
	idleTime = 2 * time.Second
	// maxIdle is how many connections wait, in all.
	maxIdle = 50
	// maxUses is how many transactions a connection has.
	maxUses = 100
)

// sender brings messages to servers, with connections that are used again. It belongs to a transport.
type sender struct {
	client
	pool *pool
}

// deliver brings the message to one server for the recipients at some indexes of env, and files the outcomes in out. It
// says whether the server was reached.
func (s *sender) deliver(ctx context.Context, t target, env *mailbricks.Envelope, msg *mailbricks.Message, at []int, out []Outcome) bool {
	reached := false
	for len(at) > 0 {
		now := at[:min(len(at), maxTransaction)]
		at = at[len(now):]
		tx, err := s.transact(ctx, t, env, msg, now, out)
		if err != nil {
			o := openOutcome(t, err)
			for _, i := range append(now, at...) {
				out[i] = o
			}
			return reached
		}
		reached = true
		at = append(slices.Clip(tx.later), at...) // fewer than now, as at least one was taken
		lost := slices.IndexFunc(now, func(i int) bool { return mailbricks.IsTemporary(out[i].Err) })
		if tx.broken && len(tx.taken) == 0 && lost >= 0 { // the rest would fare the same, each time with all the waiting
			for _, i := range at {
				out[i] = out[now[lost]]
			}
			return reached
		}
	}
	return reached
}

// openOutcome is the outcome when no session came about.
func openOutcome(t target, err error) Outcome {
	o := Outcome{Err: err, Host: t.host, Unreachable: true}
	if se, ok := errors.AsType[*sessionError](err); ok {
		o.Err, o.Addr = se.err, se.addr
		if se.reply != nil {
			o.Reply = se.reply.String()
		}
	}
	return o
}

// transact makes one transaction, on a connection that waits or a new one.
func (s *sender) transact(ctx context.Context, t target, env *mailbricks.Envelope, msg *mailbricks.Message, at []int, out []Outcome) (*transaction, error) {
	for {
		old := s.pool.get(t)
		sess := old
		if old == nil {
			var err error
			if sess, err = s.open(ctx, t); err != nil {
				return nil, err
			}
		} else {
			sess.use(ctx)
		}
		tx := &transaction{session: sess, env: env, msg: msg, at: slices.Clone(at), out: out}
		tx.run()
		if tx.broken {
			sess.abandon()
		} else {
			sess.unuse()
			s.pool.put(t, sess)
		}
		if old != nil && tx.broken && !tx.started && ctx.Err() == nil {
			continue // it had closed while it waited, so nothing has been tried yet
		}
		return tx, nil
	}
}

// pool has the connections that wait for another message, each for idleTime at most.
type pool struct {
	mu     sync.Mutex
	closed bool
	idle   map[target][]*idleSession
	count  int
	ending sync.WaitGroup
}

type idleSession struct {
	*session
	timer *time.Timer
}

// get takes a connection, or gives nil.
func (p *pool) get(t target) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[t]
	for len(list) > 0 {
		last := list[len(list)-1]
		list = list[:len(list)-1]
		p.keep(t, list)
		if last.timer.Stop() { // or else it is being closed
			p.ending.Done()
			return last.session
		}
	}
	return nil
}

// keep sets the list of a target; p.mu is held.
func (p *pool) keep(t target, list []*idleSession) {
	p.count += len(list) - len(p.idle[t])
	if len(list) == 0 {
		delete(p.idle, t)
		return
	}
	p.idle[t] = list
}

// put gives a connection back after a transaction.
func (p *pool) put(t target, s *session) {
	p.mu.Lock()
	if p.closed || p.count >= maxIdle || s.sent >= maxUses {
		p.mu.Unlock()
		s.quit()
		return
	}
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle = map[target][]*idleSession{}
	}
	i := &idleSession{session: s}
	p.ending.Add(1)
	i.timer = time.AfterFunc(idleTime, func() {
		defer p.ending.Done()
		p.mu.Lock()
		list := p.idle[t]
		if at := slices.Index(list, i); at >= 0 {
			p.keep(t, slices.Delete(slices.Clone(list), at, at+1))
		}
		p.mu.Unlock()
		s.quit()
	})
	p.keep(t, append(slices.Clip(p.idle[t]), i))
}

// close ends all that wait, and whatever is put back later.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var ending []*session
	for t, list := range p.idle {
		for _, i := range list {
			if i.timer.Stop() {
				p.ending.Done()
				ending = append(ending, i.session)
			}
		}
		p.keep(t, nil)
	}
	p.mu.Unlock()
	for _, s := range ending {
		p.ending.Go(s.quit)
	}
	p.ending.Wait()
}
