package maildir

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/sealed"
)

const (
	// maxDerivations is how many keys are made of passwords at the same time at most, each with 64 MiB of memory. It is less
	// where there are fewer processors.
	maxDerivations = 4
	// refusedAge is how long a password that did not fit a key file is not tried again, maxRefused how many are remembered.
	refusedAge = time.Minute
	maxRefused = 1000
)

// deriver bounds what it takes to make keys of passwords.
type deriver struct {
	slots  chan struct{}
	secret []byte // what is remembered of passwords is no use without it
	// ended is called when a key was made, while nobody has used it yet; nil: nothing. It is for tests.
	ended func()

	mu      sync.Mutex
	turns   map[string]*turn // by account's folder
	refused map[[sha256.Size]byte]time.Time
}

// turn is taken by who opens one account.
type turn struct {
	taken   chan struct{}
	waiting int
}

func (d *deriver) init() {
	d.slots = make(chan struct{}, min(maxDerivations, runtime.NumCPU()))
	d.secret = make([]byte, sha256.Size)
	_, _ = rand.Read(d.secret) // never fails
	d.turns, d.refused = map[string]*turn{}, map[[sha256.Size]byte]time.Time{}
}

// begin waits until a key may be made. done is called when it is.
func (d *deriver) begin(ctx context.Context) (done func(), err error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return func() {
		<-d.slots
		if d.ended != nil {
			d.ended()
		}
	}, nil
}

// turn waits until nobody else opens the account, which may be open then.
func (d *deriver) turn(ctx context.Context, dir string) (done func(), err error) {
	d.mu.Lock()
	t := d.turns[dir]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		d.turns[dir] = t
	}
	t.waiting++
	d.mu.Unlock()
	leave := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(d.turns, dir)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// attempt names a password for a key file.
func (d *deriver) attempt(file *sealed.KeyFile, password string) (id [sha256.Size]byte) {
	h := hmac.New(sha256.New, d.secret)
	h.Write(file.Sum()) // which all have one length
	h.Write([]byte(password))
	h.Sum(id[:0])
	return id
}

// wasRefused says whether a password did not fit a short time ago.
func (d *deriver) wasRefused(id [sha256.Size]byte, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.refused[id]
	return ok && now.Sub(at) < refusedAge && !now.Before(at)
}

// refuse remembers that a password does not fit.
func (d *deriver) refuse(id [sha256.Size]byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.refused) >= maxRefused {
		clear(d.refused)
	}
	d.refused[id] = now
}
