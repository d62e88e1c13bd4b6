package ratelimit

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/smtpd"
)

// DefaultMaxBuckets is the default of Options.MaxBuckets.
const DefaultMaxBuckets = 100_000

// Options are what a Limiter limits. The zero value is [Inbound].
type Options struct {
	// Rules hold all at once: what one of them refuses is not charged to any. Nil: Inbound().
	Rules []Rule
	// MaxBuckets is how many buckets a rule has at most, of about 140 octets each; beyond, the fullest is dropped. Default
	// DefaultMaxBuckets.
	MaxBuckets int
	// Skip, if not nil, says which sessions are not limited.
	Skip func(*smtpd.Session) bool
	// OnLimit, if not nil, is told of what is refused: for metrics. It should return at once.
	OnLimit func(step *smtpd.Step, over Bucket)
}

// Limiter has the buckets of some rules. [New] makes one; its methods may be called by many goroutines at once. Several
// servers of a process can share it.
type Limiter struct {
	o       Options
	base    time.Time
	seeds   seeds
	buckets []*buckets
	phases  [smtpd.PhaseMessage + 1][]*buckets // those that count at a phase, in the order in which they are locked
	refunds bool
}

// New makes a Limiter. Its error wraps ErrRule.
func New(o Options) (*Limiter, error) {
	if o.Rules == nil {
		o.Rules = Inbound()
	}
	if o.MaxBuckets <= 0 {
		o.MaxBuckets = DefaultMaxBuckets
	}
	o.Rules = slices.Clone(o.Rules)
	l := &Limiter{o: o, base: time.Now(), seeds: seeds{maphash.MakeSeed(), maphash.MakeSeed()}}
	names := map[string]bool{}
	for i := range o.Rules {
		r := &o.Rules[i]
		if err := r.complete(); err != nil {
			return nil, err
		}
		if names[r.Name] {
			return nil, fmt.Errorf("ratelimit: two rules are called %q: %w", r.Name, ErrRule)
		}
		names[r.Name] = true
		b := newBuckets(r, o.MaxBuckets, l.seeds.a)
		l.buckets = append(l.buckets, b)
		l.phases[r.phase()] = append(l.phases[r.phase()], b)
		l.refunds = l.refunds || r.Refund
	}
	return l, nil
}

// Rules are the Limiter's rules, with their names and defaults filled in.
func (l *Limiter) Rules() []Rule { return slices.Clone(l.o.Rules) }

func (l *Limiter) now() int64 { return int64(time.Since(l.base)) }

// Bucket is the bucket of one value of a rule's key.
type Bucket struct {
	Rule string        // its name
	Key  string        // the value: an address, a network, a login ...
	Left int           // tokens in it
	Wait time.Duration // until there is one for what was refused or, in Status, until there is one
}

// bucket describes a bucket that is full at a time.
func (b *buckets) bucket(v value, text string, until, now int64) Bucket {
	owed := max(0, until-now)
	return Bucket{
		Rule: b.rule.Name, Key: b.rule.Key.show(v, text),
		Left: int(max(0, b.room-owed) / b.interval), Wait: time.Duration(max(0, owed+b.interval-b.room)),
	}
}

// Status lists the buckets that are empty now, those with the longest wait first in each rule.
func (l *Limiter) Status() []Bucket {
	var all []Bucket
	for _, b := range l.buckets {
		from := len(all)
		for i := range b.shards {
			all = b.shards[i].empty(b, l.now(), all)
		}
		slices.SortFunc(all[from:], func(a, b Bucket) int {
			return cmp.Or(cmp.Compare(b.Wait, a.Wait), cmp.Compare(a.Key, b.Key))
		})
	}
	return all
}

// empty appends the empty buckets of a shard.
func (s *shard) empty(b *buckets, now int64, all []Bucket) []Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.table.All() {
		if is := b.bucket(e.Key, e.Value, e.Until(), now); is.Left == 0 {
			all = append(all, is)
		}
	}
	return all
}

// Lookup gives the bucket of a rule for a key as Status shows it, or for an address in a network. ok is false for a rule or
// key that makes no sense; a bucket that was never used is full.
func (l *Limiter) Lookup(rule, key string) (is Bucket, ok bool) {
	b, v, ok := l.find(rule, key)
	if !ok {
		return Bucket{}, false
	}
	s, now := b.shard(v), l.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	until := now
	if e := s.table.Get(v); e != nil {
		until = e.Until()
	}
	return b.bucket(v, key, until, now), true
}

// Reset fills a bucket, and says whether there was anything to do. rule and key are as for Lookup; an empty rule stands for all
// rules that can have the key.
func (l *Limiter) Reset(rule, key string) bool {
	done := false
	for _, b := range l.buckets {
		if rule != "" && rule != b.rule.Name {
			continue
		}
		if v, ok := b.rule.Key.parse(key, &l.seeds); ok {
			s := b.shard(v)
			s.mu.Lock()
			done = s.table.Delete(v) || done
			s.mu.Unlock()
		}
	}
	return done
}

func (l *Limiter) find(rule, key string) (*buckets, value, bool) {
	for _, b := range l.buckets {
		if b.rule.Name == rule {
			v, ok := b.rule.Key.parse(key, &l.seeds)
			return b, v, ok
		}
	}
	return nil, value{}, false
}

// Len is how many buckets there are.
func (l *Limiter) Len() int {
	n := 0
	for _, b := range l.buckets {
		for i := range b.shards {
			s := &b.shards[i]
			s.mu.Lock()
			n += s.table.Len()
			s.mu.Unlock()
		}
	}
	return n
}
