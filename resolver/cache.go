package resolver

import (
	"container/list"
	"time"

	"github.com/miekg/dns"
)

// entry is what is known about a question until a point in time: an answer or a failure.
type entry struct {
	answer  Answer
	err     *failure
	expires time.Time
}

// cache keeps entries; those unused for longest make room for new ones. Its memory is bounded by a number of entries
// and of octets. The Resolver's lock guards it.
type cache struct {
	maxEntries, maxBytes int
	bytes                int
	items                map[question]*list.Element
	used                 *list.List // of *item, the last used first
}

type item struct {
	q     question
	entry entry
	size  int
}

func newCache(entries, bytes int) *cache {
	return &cache{maxEntries: entries, maxBytes: bytes, items: map[question]*list.Element{}, used: list.New()}
}

// get finds what is known about a question now. That a name does not exist is known for all types at once
// (RFC 2308 §5, RFC 8020 §2): put keeps it without a type.
func (c *cache) get(q question, now time.Time) (entry, bool) {
	if e, ok := c.find(q, now); ok {
		return e, true
	}
	return c.find(question{q.name, dns.TypeNone}, now)
}

func (c *cache) find(q question, now time.Time) (entry, bool) {
	el, ok := c.items[q]
	if !ok {
		return entry{}, false
	}
	it := el.Value.(*item)
	if !now.Before(it.entry.expires) {
		c.remove(el)
		return entry{}, false
	}
	c.used.MoveToFront(el)
	return it.entry, true
}

// put keeps an entry in place of an older one, if it has any time to live.
func (c *cache) put(q question, e entry, now time.Time) {
	if e.err == nil && e.answer.NXDomain && e.answer.Name == q.fqdn() {
		q.typ = dns.TypeNone
	}
	if el, ok := c.items[q]; ok {
		c.remove(el)
	}
	it := &item{q: q, entry: e, size: sizeOf(q, e)}
	if !now.Before(e.expires) || it.size > c.maxBytes || c.maxEntries <= 0 {
		return
	}
	for len(c.items) >= c.maxEntries || c.bytes+it.size > c.maxBytes {
		c.remove(c.used.Back())
	}
	c.items[q] = c.used.PushFront(it)
	c.bytes += it.size
}

func (c *cache) remove(el *list.Element) {
	it := c.used.Remove(el).(*item)
	delete(c.items, it.q)
	c.bytes -= it.size
}

// itemOverhead is about what an entry takes besides its strings: the item, its place in list and map, the failure.
const itemOverhead = 400

func sizeOf(q question, e entry) int {
	size := itemOverhead + len(q.name) + len(e.answer.Name)
	for _, record := range e.answer.Records {
		size += 16 + len(record) // 16: the string's header
	}
	return size
}
