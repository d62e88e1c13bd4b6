// Package dnserror reads the errors of resolvers that are as *net.Resolver's.
package dnserror

import (
	"errors"
	"net"
)

// NotFound says that a name, or the type asked for, does not exist: err is a *net.DNSError with IsNotFound, or has one in its
// chain.
func NotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
