package earlytalker

import (
	"net/netip"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd/internal/expiring"
)

// The defaults of Clients.
const (
	DefaultTTL        = 24 * time.Hour
	DefaultMaxClients = 50_000
)

// Clients remembers the addresses of clients that have waited for their greeting. The zero value is ready for use, by several
// goroutines at once. It is kept in memory only: after a restart all wait again.
type Clients struct {
	// TTL is for how long a client is remembered; default DefaultTTL. Negative: none is.
	TTL time.Duration
	// Max is how many are remembered; default DefaultMaxClients. When there are more, those who came first are forgotten.
	Max int

	mu    sync.Mutex
	born  time.Time // from which times are counted
	table *expiring.Table[netip.Addr, struct{}]
}

// Has says whether a client is remembered.
func (c *Clients) Has(client netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table == nil {
		return false
	}
	entry := c.table.Get(ipaddr.Plain(client))
	return entry != nil && entry.Until() > c.now()
}

// Add remembers a client from now on.
func (c *Clients) Add(client netip.Addr) {
	ttl, most := c.TTL, c.Max
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if most <= 0 {
		most = DefaultMaxClients
	}
	if client = ipaddr.Plain(client); ttl < 0 || !client.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table == nil {
		c.born, c.table = time.Now(), expiring.New[netip.Addr, struct{}](most, nil)
	}
	now := c.now()
	c.table.Expire(now, 2) // more than come, so that the table shrinks
	c.table.Put(client, struct{}{}, now+int64(ttl))
}

// Remove forgets a client.
func (c *Clients) Remove(client netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table != nil {
		c.table.Delete(ipaddr.Plain(client))
	}
}

// Len is how many clients are remembered, with some of those whose time is over.
func (c *Clients) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table == nil {
		return 0
	}
	return c.table.Len()
}

// now is the time since Clients was first used: a clock that is set does not matter.
func (c *Clients) now() int64 { return int64(time.Since(c.born)) }
