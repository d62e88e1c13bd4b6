package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth"
)

// Of "password", cheap.
const passwordHash = "{BLF-CRYPT}$2y$05$XAuUyuC5GWq2ZeeZ8/i5h.B9r6Z11/I7E1ZLe4q1/iSsKyOXoqVIG"

// users are auth.Users with the password "password".
type users struct {
	mu     sync.Mutex
	hash   map[string]string
	fail   error
	decoys int
}

func newUsers(names ...string) *users {
	u := &users{hash: map[string]string{}}
	for _, name := range names {
		u.hash[name] = passwordHash
	}
	return u
}

func (u *users) User(_ context.Context, name string) (auth.User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fail != nil {
		return auth.User{}, u.fail
	}
	hash, ok := u.hash[name]
	if !ok {
		return auth.User{}, auth.ErrNoUser
	}
	return auth.User{Login: name, Hash: hash}, nil
}

func (u *users) Decoy(string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.decoys++
	return passwordHash
}

func (u *users) set(name, hash string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hash[name] = hash
}

var here = mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:1234")}

// run plays an exchange: response by response, nil for none.
func run(t *testing.T, a *auth.Authenticator, mechanism string, responses ...[]byte) (challenges []string, id *mailbricks.Identity, err error) {
	t.Helper()
	x, err := a.Start(t.Context(), mechanism, here)
	require.NoError(t, err)
	for _, r := range responses {
		var challenge []byte
		challenge, id, err = x.Next(t.Context(), r)
		if id != nil || err != nil {
			return challenges, id, err
		}
		challenges = append(challenges, string(challenge))
	}
	return challenges, nil, nil
}

// RFC 4616 §4: the second example, with and without initial response.
func TestPlain(t *testing.T) {
	t.Parallel()
	a := auth.Passwords(newUsers("tim", "kurt"))
	_, id, err := run(t, a, "plain", []byte("\x00tim\x00password"))
	require.NoError(t, err)
	require.Equal(t, &mailbricks.Identity{Login: "tim", User: "tim"}, id)
	challenges, id, err := run(t, a, "PLAIN", nil, []byte("tim\x00tim\x00password"))
	require.NoError(t, err)
	require.Equal(t, []string{""}, challenges)
	require.Equal(t, "tim", id.User)

	_, _, err = run(t, a, "PLAIN", []byte("Ursel\x00kurt\x00password"))
	require.ErrorIs(t, err, mailbricks.ErrAuth, "acting for another is refused")
	for _, malformed := range []string{"", "a", "a\x00b", "a\x00b\x00c\x00d"} {
		_, _, err = run(t, a, "PLAIN", []byte(malformed))
		require.Error(t, err)
		require.NotErrorIs(t, err, mailbricks.ErrAuth)
		require.NotErrorIs(t, err, mailbricks.ErrTemporary)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	a := auth.Passwords(newUsers("tim"))
	challenges, id, err := run(t, a, "LOGIN", nil, []byte("tim"), []byte("password"))
	require.NoError(t, err)
	require.Equal(t, []string{"Username:", "Password:"}, challenges)
	require.Equal(t, "tim", id.Login)
	_, id, err = run(t, a, "LOGIN", []byte("tim"), []byte("password"))
	require.NoError(t, err, "with the name as initial response")
	require.Equal(t, "tim", id.Login)
	_, _, err = run(t, a, "LOGIN", nil, []byte("tim"), []byte("wrong"))
	require.ErrorIs(t, err, mailbricks.ErrAuth)
	_, err = a.Start(t.Context(), "CRAM-MD5", here)
	require.Error(t, err)
	require.Equal(t, []string{"PLAIN", "LOGIN"}, a.Mechanisms(here))
}

// Who keeps what only the password opens is told of each password that was proved, also of one that is known already.
func TestVerifiedIsToldOfProvedPasswords(t *testing.T) {
	t.Parallel()
	a := auth.Passwords(newUsers("tim"))
	var told []string
	var fault error
	a.Verified = func(_ context.Context, peer mailbricks.Peer, id mailbricks.Identity, password string) error {
		require.Equal(t, here, peer)
		told = append(told, id.User+" "+password)
		return fault
	}
	for range 2 {
		_, _, err := run(t, a, "PLAIN", []byte("\x00tim\x00password"))
		require.NoError(t, err)
	}
	_, _, err := run(t, a, "LOGIN", []byte("tim"), []byte("password"))
	require.NoError(t, err)
	require.Equal(t, []string{"tim password", "tim password", "tim password"}, told)
	for _, response := range []string{"\x00tim\x00wrong", "\x00nobody\x00password", "ursel\x00tim\x00password"} {
		_, _, err = run(t, a, "PLAIN", []byte(response))
		require.ErrorIs(t, err, mailbricks.ErrAuth)
	}
	require.Len(t, told, 3)
	fault = errors.New("disk")
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		responses := [][]byte{[]byte("\x00tim\x00password")}
		if mechanism == "LOGIN" {
			responses = [][]byte{[]byte("tim"), []byte("password")}
		}
		_, id, err := run(t, a, mechanism, responses...)
		require.Nil(t, id)
		require.ErrorIs(t, err, mailbricks.ErrTemporary)
		require.ErrorIs(t, err, fault)
	}
}

func TestVerifyTreatsUnknownUsersLikeWrongPasswords(t *testing.T) {
	t.Parallel()
	u := newUsers("tim")
	a := auth.Passwords(u)
	_, unknown := a.Verify(t.Context(), here.Addr.Addr(), "nobody", "password")
	_, wrong := a.Verify(t.Context(), here.Addr.Addr(), "tim", "wrong")
	require.Equal(t, wrong, unknown)
	require.Equal(t, 1, u.decoys, "a hash is checked for the unknown user too")
	_, empty := a.Verify(t.Context(), here.Addr.Addr(), "", "")
	require.Equal(t, wrong, empty)
}

func TestVerifyBackEndFaultIsTemporary(t *testing.T) {
	t.Parallel()
	u := newUsers("tim")
	u.fail = errors.New("database is down")
	_, err := auth.Passwords(u).Verify(t.Context(), here.Addr.Addr(), "tim", "password")
	require.ErrorIs(t, err, mailbricks.ErrTemporary)
	u = newUsers()
	u.set("tim", "{MYSTERY}x")
	_, err = auth.Passwords(u).Verify(t.Context(), here.Addr.Addr(), "tim", "password")
	require.ErrorIs(t, err, mailbricks.ErrTemporary, "a damaged hash is the server's fault")
	require.ErrorIs(t, err, auth.ErrScheme)
}

func TestChangedPasswordCountsAtOnce(t *testing.T) {
	t.Parallel()
	u := newUsers("tim")
	a := auth.Passwords(u)
	_, err := a.Verify(t.Context(), here.Addr.Addr(), "tim", "password")
	require.NoError(t, err)
	fresh, err := auth.HashPassword("fresh")
	require.NoError(t, err)
	u.set("tim", fresh)
	_, err = a.Verify(t.Context(), here.Addr.Addr(), "tim", "password")
	require.ErrorIs(t, err, mailbricks.ErrAuth)
	_, err = a.Verify(t.Context(), here.Addr.Addr(), "tim", "fresh")
	require.NoError(t, err)
}

func TestVerifiedLogInIsNotHashedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUsers("tim")
		a := auth.Passwords(u)
		_, err := a.Verify(t.Context(), here.Addr.Addr(), "tim", "password")
		require.NoError(t, err)
		for range 5 { // the address is slowed down now, the verified log-in is not
			_, err = a.Verify(t.Context(), here.Addr.Addr(), "tim", "wrong")
			require.ErrorIs(t, err, mailbricks.ErrAuth)
		}
		start := time.Now()
		_, err = a.Verify(t.Context(), here.Addr.Addr(), "tim", "password")
		require.NoError(t, err)
		require.Less(t, time.Since(start), time.Second)
		time.Sleep(auth.DefaultCacheFor)
		start = time.Now()
		_, err = a.Verify(t.Context(), here.Addr.Addr(), "tim", "password")
		require.NoError(t, err)
		require.Zero(t, time.Since(start), "its turn has long come")
	})
}

func TestGuessesFromOneAddressSlowDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := auth.Passwords(newUsers("tim"))
		attempt := func(addr string) time.Duration {
			start := time.Now()
			_, err := a.Verify(t.Context(), netip.MustParseAddr(addr), "tim", "wrong")
			require.ErrorIs(t, err, mailbricks.ErrAuth)
			return time.Since(start)
		}
		var waits []time.Duration
		for range 9 {
			waits = append(waits, attempt("2001:db8::1"))
		}
		s := time.Second
		require.Equal(t, []time.Duration{0, 0, 0, s, 2 * s, 4 * s, 8 * s, 16 * s, 16 * s}, waits)
		require.NotZero(t, attempt("2001:db8::2"), "the same /64")
		require.Zero(t, attempt("2001:db8:0:1::1"), "another /64")
		require.Zero(t, attempt("192.0.2.9"))
		time.Sleep(auth.DefaultForgetAfter + time.Second)
		require.Zero(t, attempt("2001:db8::1"), "forgotten")
	})
}

func TestGuessesAtOnceQueueUpAndAreThenRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := auth.Passwords(newUsers("tim"))
		addr := netip.MustParseAddr("192.0.2.1")
		for range auth.DefaultFreeFailures {
			_, err := a.Verify(t.Context(), addr, "tim", "wrong")
			require.ErrorIs(t, err, mailbricks.ErrAuth)
		}
		start := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		refused, tooMany := 0, 0
		for i := range 100 {
			wg.Go(func() {
				_, err := a.Verify(t.Context(), addr, "tim", fmt.Sprint("guess ", i))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, auth.ErrTooMany):
					tooMany++
				case errors.Is(err, mailbricks.ErrAuth):
					refused++
				}
			})
		}
		wg.Wait()
		require.Equal(t, 100, refused+tooMany)
		require.LessOrEqual(t, refused, 31, "one a second at the most")
		require.LessOrEqual(t, time.Since(start), auth.DefaultMaxWait+time.Second)
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := auth.Passwords(newUsers("tim"))
		for range 8 {
			_, _ = a.Verify(t.Context(), here.Addr.Addr(), "tim", "wrong")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := a.Verify(ctx, here.Addr.Addr(), "tim", "wrong")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, mailbricks.ErrTemporary)
	})
}

func BenchmarkVerifyCached(b *testing.B) {
	a := auth.Passwords(newUsers("tim"))
	for b.Loop() {
		if _, err := a.Verify(b.Context(), here.Addr.Addr(), "tim", "password"); err != nil {
			b.Fatal(err)
		}
	}
}
