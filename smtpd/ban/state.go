package ban

import (
	"math"
	"net/netip"
	"time"
)

// The file of the bans, see package statelog.
const (
	format  = "mailbricks-bans"
	version = 1
)

// What a record is of.
const (
	kindBan      = "ban"
	kindUnban    = "unban"    // of all within Prefix
	kindOffender = "offender" // written when there is a ban, and for all when the file is written anew
)

// record is a ban, the end of bans, or an offender. Times are Unix times.
type record struct {
	Kind   string       `json:"k"`
	Prefix netip.Prefix `json:"p"`

	Since  int64  `json:"s,omitempty"`
	Until  int64  `json:"u,omitempty"`
	Reason string `json:"r,omitempty"`
	Manual bool   `json:"m,omitempty"`

	Count    int     `json:"n,omitempty"`
	Points   float64 `json:"pt,omitempty"`
	At       int64   `json:"at,omitempty"`
	Remember int64   `json:"rm,omitempty"`
}

func (b Ban) record() record {
	r := record{Kind: kindBan, Prefix: b.Prefix, Since: b.Since.Unix(), Reason: b.Reason, Count: b.Count, Manual: b.Manual}
	if b.Ends() {
		r.Until = b.Until.Unix()
	}
	return r
}

func (o *offender) record(p netip.Prefix) record {
	return record{Kind: kindOffender, Prefix: p, Count: o.Bans, Points: o.Points, At: o.At, Remember: o.Remember}
}

// note gives a change to the file. mu is held, so that changes come in their order.
func (b *Bans) note(r record) {
	if b.log != nil {
		b.log.Add(r)
	}
}

// maxCount is the highest number of bans that a file is believed.
const maxCount = 1000

// restore takes a record of the file. Times that lie ahead of what this package writes, which a clock that was wrong has left,
// are brought back.
func (b *Bans) restore(r record) {
	p, ok := normal(r.Prefix)
	if !ok || p.Bits() == 0 && r.Kind != kindUnban { // all may be lifted, but not banned, at once
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now().Unix()
	count := min(max(r.Count, 0), maxCount)
	switch r.Kind {
	case kindBan:
		ban := Ban{Prefix: p, Since: time.Unix(min(r.Since, now), 0), Reason: clean(r.Reason), Count: count, Manual: r.Manual}
		until := r.Until
		if !r.Manual {
			until = min(until, now+int64(b.o.MaxBan/time.Second))
		}
		switch {
		case until == 0 && r.Manual:
		case until > now && until < forever:
			ban.Until = time.Unix(until, 0)
		default:
			b.lift(p)
			return
		}
		b.put(ban)
	case kindUnban:
		b.forget(p)
	case kindOffender:
		o := offender{Points: min(max(r.Points, 0), b.o.Threshold), At: min(r.At, now), Bans: count}
		o.Remember = min(r.Remember, now+int64((b.o.MaxBan+b.o.ForgetAfter)/time.Second))
		if until := o.until(&b.o); until > now && !math.IsNaN(o.Points) {
			b.offenders.Put(p, o, until)
		}
	}
}

// snapshot gives the whole state.
func (b *Bans) snapshot(yield func(record) bool) {
	for _, r := range b.records() {
		if !yield(r) {
			return
		}
	}
}

func (b *Bans) records() []record {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := time.Now().Unix()
	all := make([]record, 0, b.bans.Len()+b.offenders.Len())
	for e := range b.bans.All() {
		if e.Until() > now {
			all = append(all, e.Value.record())
		}
	}
	for e := range b.offenders.All() {
		if e.Until() > now {
			all = append(all, e.Value.record(e.Key))
		}
	}
	return all
}
