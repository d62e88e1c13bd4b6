package auth_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mailbricks/mailbricks/auth"
)

// Anything that finds a user by name can be logged in to.
type team map[string]string

func (t team) User(_ context.Context, name string) (auth.User, error) {
	hash, ok := t[name]
	if !ok {
		return auth.User{}, auth.ErrNoUser
	}
	return auth.User{Login: name, Hash: hash}, nil
}

func Example() {
	hash, _ := auth.HashPassword("correct horse")
	login := auth.Passwords(team{"ann@example.com": hash})

	from := netip.MustParseAddr("192.0.2.1")
	id, err := login.Verify(context.Background(), from, "ann@example.com", "correct horse")
	fmt.Println(id.Login, err)
	_, err = login.Verify(context.Background(), from, "ann@example.com", "battery staple")
	fmt.Println(err)
	// Output:
	// ann@example.com <nil>
	// mailbricks: authentication failed
}
