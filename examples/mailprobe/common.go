package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/resolver"
)

// output are the options of what is printed.
type output struct {
	JSON bool `name:"json" help:"Print all that is known as JSON."`
}

// questions are the options of commands that ask the DNS.
type questions struct {
	Resolver server `placeholder:"HOST:PORT" help:"The DNS server to ask (default: the system's)."`
}

// dns is the resolver to ask.
func (q questions) dns() *resolver.Resolver {
	if q.Resolver == "" {
		return &resolver.Resolver{}
	}
	return &resolver.Resolver{Servers: []string{string(q.Resolver)}}
}

// server is the address of a DNS server.
type server string

// UnmarshalText is called by the parser.
func (s *server) UnmarshalText(text []byte) error {
	host, port, err := net.SplitHostPort(string(text))
	number, noPort := strconv.ParseUint(port, 10, 16)
	_, noIP := netip.ParseAddr(host)
	_, name := domainname.Host(host)
	if err != nil || noPort != nil || number == 0 || noIP != nil && !name {
		return fmt.Errorf("%.99q is not HOST:PORT, as 192.0.2.53:53 and [2001:db8::53]:53 are", text)
	}
	*s = server(text)
	return nil
}

// clock is the option for another time than now.
type clock struct {
	Time *int64 `placeholder:"UNIX" help:"The time that signatures are judged at, or made (default: now)."`
}

// now is the clock for the packages, nil for the real one.
func (c clock) now() func() time.Time {
	if c.Time == nil {
		return nil
	}
	return func() time.Time { return time.Unix(*c.Time, 0) }
}
