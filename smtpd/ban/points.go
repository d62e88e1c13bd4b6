package ban

import (
	"math"
	"net/netip"
	"time"
)

// offender is a peer with points, or with bans behind it.
type offender struct {
	Points   float64 // as they were
	At       int64   // at this time; all times are Unix times
	Bans     int     // how many there were
	Remember int64   // until when they count
}

// enough is the part of the threshold that bans: the first points have become fewer when the last ones come, and six times a
// sixth would never do.
const enough = 0.95

// negligible is the part of the threshold that is as good as nothing.
const negligible = 0.01

// now gives what is left of the points.
func (o *offender) now(now int64, halfLife time.Duration) float64 {
	age := max(0, now-o.At)
	return o.Points * math.Exp2(-float64(age)/halfLife.Seconds())
}

// until is when the offender is as new: of two the one with more points is worth longer.
func (o *offender) until(opt *Options) int64 {
	gone := o.At
	if none := negligible * opt.Threshold; o.Points > none {
		gone += int64(math.Ceil(math.Log2(o.Points/none) * opt.HalfLife.Seconds()))
	}
	return max(gone, o.Remember)
}

// expireBatch is how many that are as new, and how many bans that are over, go at each report.
const expireBatch = 4

// Report adds points for something that a peer has done, and bans it (of IPv6 its network) when it has too many. It is for
// other servers of the process: imapd and pop3d for log-ins that fail, say, with Options.AuthFailure for each. reason says
// what it was, for people: one short line.
//
// What is reported of a peer that is banned already, by connections that were open, counts for nothing.
func (b *Bans) Report(addr netip.Addr, points float64, reason string) {
	p, ok := b.unit(addr)
	if !ok || !(points > 0) || b.never(p) { // NaN is not
		return
	}
	if ban, banned := b.add(p, min(points, b.o.Threshold), reason); banned {
		b.tell(ban)
	}
}

// add adds points and says whether that has led to a ban.
func (b *Bans) add(p netip.Prefix, points float64, reason string) (Ban, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := time.Now()
	now := t.Unix()
	b.offenders.Expire(now, expireBatch)
	b.bans.Expire(now, expireBatch)
	if e := b.bans.Get(p); e != nil && e.Until() > now {
		return Ban{}, false
	}
	var o offender
	if e := b.offenders.Get(p); e != nil {
		o = e.Value
	}
	if o.Remember <= now {
		o.Bans = 0
	}
	o.Points, o.At = o.now(now, b.o.HalfLife)+points, now
	var ban Ban
	banned := o.Points >= enough*b.o.Threshold
	if banned {
		o.Bans, o.Points = o.Bans+1, 0
		d := b.o.duration(o.Bans)
		ban = Ban{Prefix: p, Since: t, Until: t.Add(d), Reason: clean(reason), Count: o.Bans}
		o.Remember = ban.Until.Add(b.o.ForgetAfter).Unix()
		b.put(ban)
		b.note(ban.record())
		b.note(o.record(p))
	}
	b.offenders.Put(p, o, o.until(&b.o))
	return ban, banned
}

// duration is how long the n-th ban lasts.
func (o *Options) duration(n int) time.Duration {
	d := o.FirstBan
	for ; n > 1 && d < o.MaxBan; n-- {
		if d *= 2; d <= 0 {
			return o.MaxBan
		}
	}
	return min(d, o.MaxBan)
}

// Points is how many points an address has now.
func (b *Bans) Points(addr netip.Addr) float64 {
	p, ok := b.unit(addr)
	if !ok {
		return 0
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	e := b.offenders.Get(p)
	if e == nil {
		return 0
	}
	return e.Value.now(time.Now().Unix(), b.o.HalfLife)
}
