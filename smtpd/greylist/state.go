package greylist

import "time"

// The file of the greylist, see package statelog.
const (
	format  = "mailbricks-greylist"
	version = 1
)

// record is the state of a triplet or a client. It has one of three forms:
//
//	First               a triplet that waits
//	Last                a triplet that came back
//	Successes ...       a client
type record struct {
	Key       key   `json:"k"`
	First     int64 `json:"f,omitempty"` // when it was first seen
	Last      int64 `json:"l,omitempty"` // its last mail
	Successes int   `json:"n,omitempty"`
	Counted   int64 `json:"c,omitempty"` // the last success that counted
}

// restore puts a record into the shard. Times to come, which a clock that was wrong has left, become now.
func (s *shard) restore(r record, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last, counted := min(r.First, now), min(r.Last, now), min(r.Counted, now)
	switch age := seconds(s.o.MaxAge); {
	case r.Successes > 0 && r.Key.isClient():
		if s.o.AutoWhitelist > 0 && last > now-age {
			s.putClient(r.Key, client{Successes: r.Successes, Counted: counted, Written: last}, last)
		}
	case last > 0:
		s.done(r.Key)
		if last > now-age {
			s.known.Put(r.Key, last, last+age)
		}
	case first > now-seconds(s.o.Window):
		s.known.Delete(r.Key)
		s.begin(r.Key, first)
	}
}

// records gives the state of the shard.
func (s *shard) records() []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, age := time.Now().Unix(), seconds(s.o.MaxAge)
	all := make([]record, 0, s.waiting.Len()+s.known.Len()+s.coming.Len()+s.good.Len())
	for e := range s.waiting.All() {
		if e.Until() > now {
			all = append(all, record{Key: e.Key, First: e.Value})
		}
	}
	for e := range s.known.All() {
		if e.Until() > now {
			e.Value = e.Until() - age
			all = append(all, record{Key: e.Key, Last: e.Value})
		}
	}
	for e := range s.coming.All() {
		if e.Until() > now {
			all = append(all, record{Key: e.Key, Successes: e.Value.Successes, Counted: e.Value.Counted, Last: e.Until() - age})
		}
	}
	for e := range s.good.All() {
		if e.Until() > now {
			e.Value.Written = e.Until() - age
			all = append(all, record{Key: e.Key, Successes: e.Value.Successes, Counted: e.Value.Counted, Last: e.Value.Written})
		}
	}
	return all
}
