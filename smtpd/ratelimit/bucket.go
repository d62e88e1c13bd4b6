package ratelimit

import (
	"hash/maphash"
	"sync"

	"github.com/mailbricks/mailbricks/smtpd/internal/expiring"
)

// A bucket is one number: the time at which it is full again (the generic cell rate algorithm). Times are nanoseconds since
// the Limiter was made. To take a token puts the time off by the interval between two tokens; a bucket that would be full only
// after Burst intervals is empty. A bucket whose time has come is as good as none, and of those in a full table the one whose
// time comes first is the fullest: both is what package expiring wants to know.

// shards is into how many parts the buckets of a rule are divided, each with a lock of its own; a small limit makes one.
const (
	shards         = 32
	minShardLimit  = 256
	expireAtInsert = 2 // buckets that are full again go whenever a new one comes
)

// buckets are those of a rule.
type buckets struct {
	rule     *Rule
	interval int64 // between two tokens
	room     int64 // Burst intervals
	seed     maphash.Seed
	shards   []shard
}

type shard struct {
	mu    sync.Mutex
	table *expiring.Table[value, string] // the text of the value, for people
}

func newBuckets(r *Rule, limit int, seed maphash.Seed) *buckets {
	b := &buckets{rule: r, interval: int64(r.Per) / int64(r.Count), seed: seed}
	b.room = b.interval * int64(r.Burst)
	n := max(1, min(shards, limit/minShardLimit))
	b.shards = make([]shard, n)
	for i := range b.shards {
		b.shards[i].table = expiring.New[value, string]((limit+n-1)/n, nil)
	}
	return b
}

func (b *buckets) shard(v value) *shard {
	return &b.shards[maphash.Comparable(b.seed, v)%uint64(len(b.shards))]
}

// charge is what one step takes from one bucket.
type charge struct {
	from  *buckets
	in    *shard
	value value
	text  string
	cost  int64 // in time
}

// wait is how long there are too few tokens; 0: there are enough. The shard is locked.
func (c *charge) wait(now int64) int64 {
	full := now
	if e := c.in.table.Get(c.value); e != nil {
		full = max(full, e.Until())
	}
	return max(0, full+c.cost-now-c.from.room)
}

// take takes the tokens. The shard is locked.
func (c *charge) take(now int64) {
	if e := c.in.table.Get(c.value); e != nil {
		c.in.table.Reschedule(e, max(now, e.Until())+c.cost)
		return
	}
	c.in.table.Expire(now, expireAtInsert)
	c.in.table.Put(c.value, c.text, now+c.cost)
}

// refund gives the tokens back.
func (c *charge) refund() {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if e := c.in.table.Get(c.value); e != nil {
		c.in.table.Reschedule(e, e.Until()-c.cost)
	}
}
