package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

// maxVerified is how many verified log-ins are remembered, 40 octets and a map entry each.
const maxVerified = 10_000

// verifiedCache remembers log-ins that were verified, by a keyed hash of the stored hash and the password: what is in
// memory gives no password away, and a changed password finds nothing.
type verifiedCache struct {
	ttl time.Duration
	key [32]byte

	mu      sync.Mutex
	expires map[[sha256.Size]byte]time.Time
}

func newVerifiedCache(ttl time.Duration) *verifiedCache {
	c := &verifiedCache{ttl: ttl, expires: map[[sha256.Size]byte]time.Time{}}
	_, _ = rand.Read(c.key[:]) // never fails (crypto/rand)
	return c
}

func (c *verifiedCache) sum(u User, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, c.key[:])
	for _, part := range []string{u.Login, u.Hash, password} {
		writePart(mac, part)
	}
	mac.Sum(sum[:0])
	return sum
}

// writePart hashes a string with its length, so that no two lists of strings give the same sum.
func writePart(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

func (c *verifiedCache) has(u User, password string) bool {
	sum := c.sum(u, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.expires[sum])
}

func (c *verifiedCache) add(u User, password string) {
	if c.ttl <= 0 {
		return
	}
	sum := c.sum(u, password)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.expires) >= maxVerified {
		c.makeRoom(now)
	}
	c.expires[sum] = now.Add(c.ttl)
}

// makeRoom drops what has expired and, if that is not enough, everything: hashing again costs time, not correctness.
func (c *verifiedCache) makeRoom(now time.Time) {
	for sum, expires := range c.expires {
		if !now.Before(expires) {
			delete(c.expires, sum)
		}
	}
	if len(c.expires) >= maxVerified {
		clear(c.expires)
	}
}
