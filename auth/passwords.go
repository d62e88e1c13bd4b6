package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
)

// Defaults of an Authenticator.
const (
	// DefaultCacheFor is how long a verified log-in is good without hashing again.
	DefaultCacheFor = time.Minute
	// MaxName is the longest login name taken, in octets: RFC 5321 §4.5.3.1 allows 64 and 255 and the "@".
	MaxName = 320
)

// ErrNoUser is what [Users] answers for a name that is nobody's.
var ErrNoUser = errors.New("auth: no such user")

// User is what is known of who may log in.
type User struct {
	// Login is the canonical name, which becomes the Identity.
	Login string
	// Hash is the stored password, as VerifyPassword takes it.
	Hash string
}

// Users knows who may log in.
type Users interface {
	// User finds a user by the name that was typed. It fails with ErrNoUser; any other error is a temporary failure.
	User(ctx context.Context, name string) (User, error)
}

// Decoys is the ability of Users to give the hash of somebody for a name that is nobody's, so that refusing an unknown
// name costs what refusing a wrong password costs. The same name must give the same hash while the users stay the same;
// the empty string means that there are no users.
type Decoys interface {
	Decoy(name string) string
}

// Authenticator checks passwords with the mechanisms PLAIN and LOGIN. [Passwords] makes one; its fields may be changed
// before its first use.
type Authenticator struct {
	// Users knows the passwords.
	Users Users
	// Limiter slows down addresses from which guesses come; nil does not.
	Limiter *Limiter
	// MaxHashing is how many passwords are hashed at once: argon2id hashes take tens of MiB each. 0: the number of
	// processors.
	MaxHashing int
	// CacheFor is how long a verified log-in is good without hashing again; 0: DefaultCacheFor, negative: not at all. A
	// changed password and a deleted user count at once all the same.
	CacheFor time.Duration
	// Verified is called with the password of each exchange that proved it, before the log-in succeeds: it may open what the
	// password is the key of. Its error fails the log-in as something temporary. Nil: nothing is done. Verify does not call it.
	Verified func(ctx context.Context, peer mailbricks.Peer, id mailbricks.Identity, password string) error
	// Logger gets a line for each refused log-in, without the password; nil discards.
	Logger *slog.Logger

	once  sync.Once
	slots chan struct{}
	cache *verifiedCache
}

// Passwords makes an Authenticator with the default limits.
func Passwords(users Users) *Authenticator {
	return &Authenticator{Users: users, Limiter: &Limiter{}}
}

func (a *Authenticator) setUp() {
	a.once.Do(func() {
		n := a.MaxHashing
		if n <= 0 {
			n = runtime.GOMAXPROCS(0)
		}
		a.slots = make(chan struct{}, n)
		cacheFor := a.CacheFor
		if cacheFor == 0 {
			cacheFor = DefaultCacheFor
		}
		a.cache = newVerifiedCache(cacheFor)
		if a.Logger == nil {
			a.Logger = slog.New(slog.DiscardHandler)
		}
	})
}

// Mechanisms has the SASL mechanisms for a peer. Whether the connection is safe enough is the server's to say.
func (a *Authenticator) Mechanisms(mailbricks.Peer) []string { return []string{"PLAIN", "LOGIN"} }

// Start begins an exchange. It fails for an unknown mechanism; the name's case does not matter.
func (a *Authenticator) Start(_ context.Context, mechanism string, peer mailbricks.Peer) (mailbricks.Exchange, error) {
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		return &plain{auth: a, peer: peer}, nil
	case "LOGIN":
		return &login{auth: a, peer: peer}, nil
	}
	return nil, fmt.Errorf("auth: unknown SASL mechanism %.20q", mechanism)
}

// Verify checks a name and a password that came from addr. It fails with mailbricks.ErrAuth, whether the name is unknown
// or the password wrong, or with an error that wraps mailbricks.ErrTemporary. It may wait, as long as the Limiter says.
func (a *Authenticator) Verify(ctx context.Context, addr netip.Addr, name, password string) (*mailbricks.Identity, error) {
	a.setUp()
	if name == "" || len(name) > MaxName || checkPassword(password) != nil {
		name = "" // nobody's: refused below at the usual cost
	}
	user, err := a.Users.User(ctx, name)
	known := err == nil && name != ""
	if err != nil && !errors.Is(err, ErrNoUser) {
		return nil, temporary("look up user", err)
	}
	if known && a.cache.has(user, password) {
		return identity(user), nil
	}
	if err := a.Limiter.wait(ctx, addr); err != nil {
		return nil, err
	}
	if !known {
		user = User{Hash: a.decoyFor(name)}
	}
	ok, err := a.hash(ctx, user.Hash, password)
	if err != nil {
		return nil, temporary("verify password", err)
	}
	if !ok || !known {
		a.Limiter.failed(addr)
		a.Logger.Info("log-in refused", "addr", addr, "name", name)
		return nil, mailbricks.ErrAuth
	}
	a.cache.add(user, password)
	return identity(user), nil
}

// proved tells Verified.
func (a *Authenticator) proved(ctx context.Context, peer mailbricks.Peer, id *mailbricks.Identity, password string) error {
	if a.Verified == nil {
		return nil
	}
	if err := a.Verified(ctx, peer, *id, password); err != nil {
		return temporary("open account", err)
	}
	return nil
}

func identity(u User) *mailbricks.Identity {
	return &mailbricks.Identity{Login: u.Login, User: u.Login}
}

func temporary(what string, err error) error {
	return fmt.Errorf("auth: %s: %w: %w", what, mailbricks.ErrTemporary, err)
}

// hash verifies a password when its turn has come.
func (a *Authenticator) hash(ctx context.Context, hash, password string) (bool, error) {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return VerifyPassword(hash, password)
}

// decoyFor is a hash to check in vain for a name that is nobody's.
func (a *Authenticator) decoyFor(name string) string {
	if d, ok := a.Users.(Decoys); ok {
		if hash := d.Decoy(name); CheckHash(hash) == nil {
			return hash
		}
	}
	// A hash that no password fits: its salt and key are fixed, its cost is that of new hashes.
	return "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$bWFpbGJyaWNrcy1kZWNveQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
}
