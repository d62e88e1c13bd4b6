package resolver

import (
	"context"
	"strings"
	"time"
)

// flight is a question under way to the servers, and the look-ups that wait for it. It has a context of its own, so
// that it survives the look-up that began it, and ends early when the last one has left.
type flight struct {
	done    chan struct{} // closed when entry is there
	entry   entry
	waiting int // guarded by Resolver.mu
	cancel  context.CancelFunc
}

// pending is a look-up that was begun: answered already, or on a flight.
type pending struct {
	q      question
	entry  entry
	flight *flight // nil: entry has the answer
}

// begin finds a question's answer in the cache, joins its flight, or starts one.
func (r *Resolver) begin(q question) pending {
	now := time.Now()
	r.mu.Lock()
	if e, ok := r.cache.get(q, now); ok {
		r.mu.Unlock()
		if r.conf.trace.CacheHit != nil {
			r.conf.trace.CacheHit(q.name, q.typeName())
		}
		e.answer.TTL = e.expires.Sub(now)
		return pending{q: q, entry: e}
	}
	defer r.mu.Unlock()
	f := r.flights[q]
	if f == nil {
		q.name = strings.Clone(q.name) // what is kept must not hold the caller's text, of which it may be a part
		ctx, cancel := context.WithTimeout(context.Background(), r.conf.flightTime)
		f = &flight{done: make(chan struct{}), cancel: cancel}
		r.flights[q] = f
		go r.fly(ctx, q, f)
	}
	f.waiting++
	return pending{q: q, flight: f}
}

// wait gives the entry of a look-up, or the context's error when it ends before.
func (r *Resolver) wait(ctx context.Context, p pending) (entry, error) {
	if p.flight == nil {
		return p.entry, nil
	}
	select {
	case <-p.flight.done:
		return p.flight.entry, nil
	case <-ctx.Done():
		r.leave(p)
		return entry{}, ctx.Err()
	}
}

// leave takes a look-up off its flight. The last one ends it, and who asks anew starts another.
func (r *Resolver) leave(p pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.flight.waiting--; p.flight.waiting > 0 {
		return
	}
	p.flight.cancel()
	if r.flights[p.q] == p.flight {
		delete(r.flights, p.q)
	}
}

// fly asks the servers and hands the outcome to all who wait.
func (r *Resolver) fly(ctx context.Context, q question, f *flight) {
	defer f.cancel()
	f.entry = r.resolve(ctx, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flights[q] == f { // otherwise nobody waits any more, and the failure is only that of being given up
		delete(r.flights, q)
		r.cache.put(q, f.entry, time.Now())
	}
	close(f.done)
}

// resolve asks the servers, also for what a CNAME leads to if they leave that to their client.
func (r *Resolver) resolve(ctx context.Context, q question) entry {
	answer := Answer{Authentic: true}
	ttl, at := r.conf.maxTTL, q
	for links := 0; ; {
		rep, err := r.ask(ctx, at)
		if err != nil {
			return entry{err: err, expires: time.Now().Add(FailureTTL)}
		}
		answer.Authentic = answer.Authentic && rep.authentic && r.conf.trustAD
		ttl = min(ttl, rep.ttl)
		if links += rep.links; links > MaxChain {
			err := &failure{text: "too many CNAME records", server: rep.server}
			return entry{err: err, expires: time.Now().Add(FailureTTL)}
		}
		if rep.partial {
			at.name = rep.name
			continue
		}
		answer.Name, answer.Records, answer.NXDomain = rep.name+".", rep.records, rep.nxdomain
		break
	}
	if len(answer.Records) == 0 {
		ttl = min(ttl, r.conf.maxNegative)
	} else {
		ttl = max(ttl, min(r.conf.minTTL, r.conf.maxTTL))
	}
	answer.TTL = ttl
	return entry{answer: answer, expires: time.Now().Add(ttl)}
}
