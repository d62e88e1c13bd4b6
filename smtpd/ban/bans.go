package ban

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd/internal/expiring"
	"github.com/mailbricks/mailbricks/smtpd/internal/statelog"
)

// Errors of Ban.
var (
	// ErrNever says that a network is one that is never banned.
	ErrNever = errors.New("ban: never banned")
	// ErrPrefix says that a network is none, or all addresses at once.
	ErrPrefix = errors.New("ban: no network")
)

// Ban is one network that is kept out.
type Ban struct {
	// Prefix is the network, often of a single address.
	Prefix netip.Prefix
	// Since is when it was banned; in the file, and so after Open, it has whole seconds.
	Since time.Time
	// Until is when the ban ends; zero: when it is lifted.
	Until time.Time `json:",omitzero"`
	// Reason is what for, in one line of at most 200 octets: what made the last points, or what Ban was told.
	Reason string
	// Count is which ban it is of that peer, from 1 on.
	Count int
	// Manual says that it is by [Bans.Ban].
	Manual bool
}

// Ends says whether the ban has an end.
func (b Ban) Ends() bool { return !b.Until.IsZero() }

// Bans is who is banned, and who is on the way to it. [Open] makes it; its methods may be called by many goroutines at
// once. Several servers of a process can share it.
type Bans struct {
	o   Options
	own own
	log *statelog.Log[record] // nil: in memory only

	mu        sync.RWMutex
	bans      *expiring.Table[netip.Prefix, Ban]
	lengths   map[length]int // of the networks that are banned, and how many there are
	v4, v6    []int          // the lengths alone
	offenders *expiring.Table[netip.Prefix, offender]
}

// length is that of a network.
type length struct {
	is4  bool
	bits int
}

func lengthOf(p netip.Prefix) length { return length{p.Addr().Is4(), p.Bits()} }

// forever is when a ban without end is over, as a Unix time.
const forever = int64(1) << 62

// Open makes Bans that are kept in the file with that name, in a folder that there is, or with an empty name in memory only.
// It fails when the file cannot be read, when it is not one of bans, when a newer version of this package has written it, when it is open already, and
// when there is no such folder or it may not be used. What is damaged in it is left out, with a line in the log. When the disk
// is full, or fails otherwise as it is written to, all is in memory until it works again, as it is later on.
func Open(file string, o Options) (*Bans, error) {
	return open(durable.OS(), file, o)
}

func open(fsys durable.FS, file string, o Options) (*Bans, error) {
	o.complete()
	b := &Bans{o: o, own: own{ask: o.Own}, lengths: map[length]int{}}
	b.o.Never = nil
	for _, p := range o.Never {
		if p, ok := normal(p); ok {
			b.o.Never = append(b.o.Never, p)
		}
	}
	b.bans = expiring.New(o.MaxBans, func(p netip.Prefix, _ Ban) { b.count(p, -1) })
	b.offenders = expiring.New[netip.Prefix, offender](o.MaxOffenders, nil)
	if file == "" {
		return b, nil
	}
	log, err := statelog.Open(statelog.Config[record]{
		FS: fsys, Name: filepath.Clean(file), Format: format, Version: version, Logger: o.Logger,
		Restore: b.restore, Snapshot: b.snapshot,
	})
	if err != nil {
		return nil, fmt.Errorf("ban: %w", err)
	}
	b.log = log
	return b, nil
}

// Close writes what was not yet written. Bans hold on in memory.
func (b *Bans) Close() error {
	if b.log == nil {
		return nil
	}
	b.log.Rewrite() // with the points, which are not written one by one
	if err := b.log.Close(); err != nil {
		return fmt.Errorf("ban: %w", err)
	}
	return nil
}

// normal gives the one form of a network: IPv4 as itself, no zone, no bits behind its length.
func normal(p netip.Prefix) (netip.Prefix, bool) {
	p = ipaddr.Network(p)
	return p, p.IsValid()
}

// unit is what is banned for an address.
func (b *Bans) unit(addr netip.Addr) (netip.Prefix, bool) {
	addr = ipaddr.Plain(addr)
	bits := addr.BitLen()
	if addr.Is6() {
		bits = b.o.IPv6Bits
	}
	p, err := addr.Prefix(bits)
	return p, err == nil && addr.IsValid()
}

// count keeps the lengths. mu is held.
func (b *Bans) count(p netip.Prefix, by int) {
	l, before := lengthOf(p), len(b.lengths)
	if b.lengths[l] += by; b.lengths[l] <= 0 {
		delete(b.lengths, l)
	}
	if len(b.lengths) == before {
		return
	}
	b.v4, b.v6 = nil, nil
	for l := range b.lengths {
		if l.is4 {
			b.v4 = append(b.v4, l.bits)
		} else {
			b.v6 = append(b.v6, l.bits)
		}
	}
}

// put adds or changes a ban. mu is held.
func (b *Bans) put(ban Ban) {
	if b.bans.Get(ban.Prefix) == nil {
		b.count(ban.Prefix, 1)
	}
	until := forever
	if ban.Ends() {
		until = ban.Until.Unix()
	}
	b.bans.Put(ban.Prefix, ban, until)
}

// lift removes a ban. mu is held.
func (b *Bans) lift(p netip.Prefix) bool {
	if !b.bans.Delete(p) {
		return false
	}
	b.count(p, -1)
	return true
}

// Banned says whether an address is banned. It is cheap: for servers to ask at each connection.
func (b *Bans) Banned(addr netip.Addr) bool {
	_, banned := b.Lookup(addr)
	return banned
}

// Lookup gives the ban of an address, of several the one that holds longest: after [Bans.Unban] one of a larger network.
func (b *Bans) Lookup(addr netip.Addr) (Ban, bool) {
	addr = ipaddr.Plain(addr)
	found, ok := b.lookup(addr)
	if !ok || b.never(netip.PrefixFrom(addr, addr.BitLen())) {
		return Ban{}, false
	}
	return found, true
}

func (b *Bans) lookup(addr netip.Addr) (found Ban, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	lengths := b.v6
	if addr.Is4() {
		lengths = b.v4
	}
	if len(lengths) == 0 || !addr.IsValid() {
		return Ban{}, false
	}
	latest := time.Now().Unix()
	for _, bits := range lengths {
		p, _ := addr.Prefix(bits) // it fits
		if e := b.bans.Get(p); e != nil && e.Until() > latest {
			found, ok, latest = e.Value, true, e.Until()
		}
	}
	return found, ok
}

// List gives all bans that hold, by network.
func (b *Bans) List() []Ban {
	b.mu.RLock()
	now := time.Now().Unix()
	all := make([]Ban, 0, b.bans.Len())
	for e := range b.bans.All() {
		if e.Until() > now {
			all = append(all, e.Value)
		}
	}
	b.mu.RUnlock()
	slices.SortFunc(all, func(x, y Ban) int {
		if c := x.Prefix.Addr().Compare(y.Prefix.Addr()); c != 0 {
			return c
		}
		return x.Prefix.Bits() - y.Prefix.Bits()
	})
	return all
}

// Ban bans a network for a time, 0 or less: until it is lifted. It takes the place of a ban that there is. The error is
// ErrNever for a network that may not be banned, and ErrPrefix for one that is none or has no bits. Addresses that may not be
// banned within a larger network are not.
func (b *Bans) Ban(p netip.Prefix, d time.Duration, reason string) error {
	p, ok := normal(p)
	if !ok || p.Bits() == 0 {
		return ErrPrefix
	}
	if b.never(p) && !b.partly(p) {
		return fmt.Errorf("%w: %s", ErrNever, p)
	}
	now := time.Now()
	ban := Ban{Prefix: p, Since: now, Reason: clean(reason), Count: 1, Manual: true}
	if d > 0 {
		ban.Until = now.Add(d)
	}
	b.mu.Lock()
	b.put(ban)
	b.note(ban.record())
	b.mu.Unlock()
	b.tell(ban)
	return nil
}

// partly says whether a network that holds something that is never banned holds more than that.
func (b *Bans) partly(p netip.Prefix) bool {
	if p.IsSingleIP() || p.Addr().IsLoopback() {
		return false
	}
	return !slices.ContainsFunc(b.o.Never, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Overlaps(p) })
}

// Unban lifts the bans of all networks within p, and if p is an address also that which its abuse has led to (an IPv6
// network), and forgets their points. It says how many bans it has lifted. A larger network that holds p stays banned.
func (b *Bans) Unban(p netip.Prefix) int {
	p, ok := normal(p)
	if !ok {
		return 0
	}
	if p.IsSingleIP() {
		if unit, ok := b.unit(p.Addr()); ok {
			p = unit
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lifted := b.forget(p)
	for _, q := range lifted {
		b.o.Logger.Info("ban: lifted", "network", q)
	}
	b.note(record{Kind: kindUnban, Prefix: p})
	return len(lifted)
}

// forget removes all that is known of the networks within p, and gives those that were banned. mu is held.
func (b *Bans) forget(p netip.Prefix) (lifted []netip.Prefix) {
	var forgotten []netip.Prefix
	within := func(q netip.Prefix) bool { return q.Bits() >= p.Bits() && p.Overlaps(q) }
	for e := range b.bans.All() {
		if within(e.Key) {
			lifted = append(lifted, e.Key)
		}
	}
	for e := range b.offenders.All() {
		if within(e.Key) {
			forgotten = append(forgotten, e.Key)
		}
	}
	for _, q := range lifted {
		b.lift(q)
	}
	for _, q := range forgotten {
		b.offenders.Delete(q)
	}
	return lifted
}

// tell tells of a new ban.
func (b *Bans) tell(ban Ban) {
	b.o.Logger.Warn("ban: banned", "network", ban.Prefix, "until", ban.Until, "reason", ban.Reason, "count", ban.Count,
		"manual", ban.Manual)
	if b.o.OnBan != nil {
		b.o.OnBan(ban)
	}
}

// maxReason is how many octets of a reason are kept.
const maxReason = 200

// clean makes one line of text of a reason.
func clean(reason string) string {
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' { // the last two separate lines and paragraphs
			return ' '
		}
		return r
	}, reason)
}
