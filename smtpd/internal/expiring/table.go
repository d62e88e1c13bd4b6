// Package expiring has the map that checks keep what they know of peers in: it has a bound, and each entry a time from
// which on it is worth nothing. When the map is full the entry whose time comes first makes room, so that a flood of entries
// that are worth little cannot push out those that are worth much.
package expiring

import "iter"

// Table is the map. It is not safe for use by several goroutines at once. [New] makes one.
//
// Get and Reschedule cost one look-up: the order of the times, which is a heap, is put right only when Put or Expire ask
// who comes first. Over time that is O(log n) for each call that there was.
type Table[K comparable, V any] struct {
	dropped func(K, V)
	max     int
	index   map[K]int32
	slots   []Entry[K, V]
	free    []int32
	heap    []node
	work    uint64
}

// Entry is what a key stands for. Key is not to be changed.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
	until int64
	pos   int32 // in the heap
}

// Until is the time from which on the entry is worth nothing, in the caller's unit.
func (e *Entry[K, V]) Until() int64 { return e.until }

// node is a place in the heap: what is in the slot is due at this time or later.
type node struct {
	at   int64
	slot int32
}

// New makes a table of at most max entries, at least one. dropped, if not nil, is told of what Put and Expire drop, once
// that is gone; it may not change the table.
func New[K comparable, V any](max int, dropped func(K, V)) *Table[K, V] {
	if max < 1 {
		max = 1
	}
	return &Table[K, V]{max: max, dropped: dropped, index: make(map[K]int32)}
}

// Len is how many entries there are.
func (t *Table[K, V]) Len() int { return len(t.index) }

// Work is how many steps the heap has taken so far: for tests of what a flood costs.
func (t *Table[K, V]) Work() uint64 { return t.work }

// Get gives the entry of a key, or nil. It is good until the next Put or Delete.
func (t *Table[K, V]) Get(key K) *Entry[K, V] {
	i, ok := t.index[key]
	if !ok {
		return nil
	}
	return &t.slots[i]
}

// Reschedule changes the time of an entry that Get gave.
func (t *Table[K, V]) Reschedule(e *Entry[K, V], until int64) {
	e.until = until
	if n := &t.heap[e.pos]; until < n.at {
		n.at = until
		t.up(int(e.pos))
	}
}

// Put sets what a key stands for. If the key is new and the table full, the entry whose time comes first is dropped.
func (t *Table[K, V]) Put(key K, value V, until int64) {
	if e := t.Get(key); e != nil {
		e.Value = value
		t.Reschedule(e, until)
		return
	}
	if len(t.index) >= t.max {
		t.drop(t.first())
	}
	var i int32
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		i = int32(len(t.slots))
		t.slots = append(t.slots, Entry[K, V]{})
	}
	t.slots[i] = Entry[K, V]{Key: key, Value: value, until: until, pos: int32(len(t.heap))}
	t.index[key] = i
	t.heap = append(t.heap, node{until, i})
	t.up(len(t.heap) - 1)
}

// Delete removes a key and says whether it was there.
func (t *Table[K, V]) Delete(key K) bool {
	e := t.Get(key)
	if e != nil {
		t.remove(e)
	}
	return e != nil
}

// Expire drops entries whose time is now or was before, atMost of them, and says how many.
func (t *Table[K, V]) Expire(now int64, atMost int) int {
	n := 0
	for ; n < atMost && len(t.heap) > 0; n++ {
		e := t.first()
		if e.until > now {
			break
		}
		t.drop(e)
	}
	return n
}

// All gives the entries in no order. The table may not be changed meanwhile.
func (t *Table[K, V]) All() iter.Seq[*Entry[K, V]] {
	return func(yield func(*Entry[K, V]) bool) {
		for _, n := range t.heap {
			if !yield(&t.slots[n.slot]) {
				return
			}
		}
	}
}

// first is the entry whose time comes first. There must be one.
func (t *Table[K, V]) first() *Entry[K, V] {
	for {
		n := &t.heap[0]
		e := &t.slots[n.slot]
		if e.until <= n.at {
			return e
		}
		n.at = e.until // it was put off
		t.down(0)
	}
}

func (t *Table[K, V]) drop(e *Entry[K, V]) {
	key, value := e.Key, e.Value
	t.remove(e)
	if t.dropped != nil {
		t.dropped(key, value)
	}
}

func (t *Table[K, V]) remove(e *Entry[K, V]) {
	pos, slot, last := int(e.pos), t.heap[e.pos].slot, len(t.heap)-1
	delete(t.index, e.Key)
	*e = Entry[K, V]{} // lets go of what it points to
	t.free = append(t.free, slot)
	if pos != last {
		t.place(pos, t.heap[last])
	}
	t.heap = t.heap[:last]
	if pos != last {
		t.down(pos)
		t.up(pos)
	}
}

func (t *Table[K, V]) place(pos int, n node) {
	t.heap[pos] = n
	t.slots[n.slot].pos = int32(pos)
	t.work++
}

func (t *Table[K, V]) up(pos int) {
	n := t.heap[pos]
	for pos > 0 {
		parent := (pos - 1) / 2
		if t.heap[parent].at <= n.at {
			break
		}
		t.place(pos, t.heap[parent])
		pos = parent
	}
	t.place(pos, n)
}

func (t *Table[K, V]) down(pos int) {
	n := t.heap[pos]
	for {
		child := 2*pos + 1
		if child >= len(t.heap) {
			break
		}
		if right := child + 1; right < len(t.heap) && t.heap[right].at < t.heap[child].at {
			child = right
		}
		if n.at <= t.heap[child].at {
			break
		}
		t.place(pos, t.heap[child])
		pos = child
	}
	t.place(pos, n)
}
